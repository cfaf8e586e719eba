"""Temporal relation networks (Zhou et al., 2018) and their published checkpoints: which gesture a video shows.

Axes: B videos, S = 8 segments, C colours or features, H and W, K classes.
"""

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.metrics.networks.backbones import FEATURES, SMALL_FEATURES, BNInception, SmallResNet
from vmc.utils.errors import VmcError, first_line
from vmc.utils.randomness import generator
from vmc.utils.tensor_files import COUNTER, misfit

SEGMENTS = 8
WIDTH = 256  # of a frame's feature, and of a relation's hidden layer, in the published networks
RELATIONS = 3  # of each scale but the longest, in evaluation; the original draws them anew for every batch
PREFIX = "module."


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """An image network and the frames that it was trained on.

    Args:
        make: builds it; its output is features_NC.
        features: C.
        short_side: px to which a frame is resized, bilinear.
        crop: px of the centre crop.
        bgr: whether colours come blue first.
        mean: of each channel, in its order, on a scale of 0..255.
        deviation: of each channel.
        width: of a frame's feature, and of a relation's hidden layer.
        moving: whether three channels more hold each frame's difference from the mean of the video's frames, in which
            what moves stands out.
    """

    make: Callable[[], nn.Module]
    features: int
    short_side: int
    crop: int
    bgr: bool
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    width: int = WIDTH
    moving: bool = False


BACKBONES: dict[str, Backbone] = {
    "BNInception": Backbone(
        make=BNInception,
        features=FEATURES,
        short_side=256,
        crop=224,
        bgr=True,
        mean=(104.0, 117.0, 128.0),
        deviation=(1.0, 1.0, 1.0),
    ),
    "SmallResNet": Backbone(
        make=SmallResNet,
        features=SMALL_FEATURES,
        short_side=64,
        crop=64,
        bgr=False,
        mean=(127.5, 127.5, 127.5),
        deviation=(64.0, 64.0, 64.0),
        width=128,
        moving=True,
    ),
}
"""By the `arch` that a checkpoint names."""


class Relations(nn.Module):
    """Multi-scale relations: for every scale from 8 frames down to 2, a network over ordered tuples of frames.

    The original draws at most three tuples of each scale with NumPy's global generator, in evaluation too, so its
    scores change from run to run. Here the tuples are drawn once, by a fixed seed, and kept in `tuples`.
    """

    def __init__(self, *, classes: int, segments: int = SEGMENTS, width: int = WIDTH, seed: int = 0) -> None:
        super().__init__()
        self.scales = list(range(segments, 1, -1))
        self.tuples = [_tuples(segments, scale, seed) for scale in self.scales]
        self.fc_fusion_scales = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(scale * width, width), nn.ReLU(), nn.Linear(width, classes))
            for scale in self.scales
        )

    def forward(self, features_BSC: Tensor) -> Tensor:
        """logits_BK: the sum over scales and tuples."""
        return torch.stack(
            [
                network(features_BSC[:, chosen].flatten(1))
                for network, tuples in zip(self.fc_fusion_scales, self.tuples, strict=True)
                for chosen in tuples
            ]
        ).sum(0)


def _tuples(segments: int, scale: int, seed: int) -> list[list[int]]:
    """Up to three ordered tuples of `scale` segments out of all, the same ones always."""
    every = list(itertools.combinations(range(segments), scale))
    order = torch.randperm(len(every), generator=generator(seed, scale, "relations")).tolist()
    return [list(every[index]) for index in sorted(order[:RELATIONS])]


class TRN(nn.Module):
    """Frames to gesture: an image network, its features narrowed to 256 or less, and relations over 8 segments."""

    def __init__(self, *, arch: str, classes: int) -> None:
        super().__init__()
        if arch not in BACKBONES:
            raise VmcError(f"the TRN checkpoint's arch is '{arch}'; known are {', '.join(BACKBONES)}")
        self.backbone = BACKBONES[arch]
        self.base_model = self.backbone.make()
        self.new_fc = nn.Linear(self.backbone.features, self.backbone.width)
        self.consensus = Relations(classes=classes, width=self.backbone.width)

    def forward(self, frames_BSCHW: Tensor) -> Tensor:
        """logits_BK of the segments' frames, RGB uint8 of any size."""
        batch, segments = frames_BSCHW.shape[:2]
        images_BSCHW = self.prepare(frames_BSCHW.flatten(0, 1)).unflatten(0, (batch, segments))
        if self.backbone.moving:
            difference_BSCHW = images_BSCHW - images_BSCHW.mean(1, keepdim=True)
            images_BSCHW = torch.cat([images_BSCHW, difference_BSCHW], 2)
        features = self.new_fc(self.base_model(images_BSCHW.flatten(0, 1)))
        return self.consensus(features.view(batch, segments, -1))

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Frames as the backbone wants them. Never flipped: that swaps left and right gestures."""
        wanted = self.backbone
        height, width = frames_NCHW.shape[-2:]
        scale = wanted.short_side / min(height, width)
        size = [max(wanted.crop, round(side * scale)) for side in (height, width)]
        resized = F.interpolate(frames_NCHW.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
        top, left = ((side - wanted.crop) // 2 for side in size)
        cropped = resized[..., top : top + wanted.crop, left : left + wanted.crop]
        ordered = cropped.flip(1) if wanted.bgr else cropped
        mean, deviation = (ordered.new_tensor(part).view(1, 3, 1, 1) for part in (wanted.mean, wanted.deviation))
        return (ordered - mean) / deviation


def segment_indices(frames: int, segments: int = SEGMENTS) -> list[int]:
    """The middle frame of each of `segments` equal parts: int(N / S / 2 + N / S * x)."""
    return [int(frames / segments / 2 + frames / segments * place) for place in range(segments)]


def load_trn(path: Path, *, classes: int) -> TRN:
    """A TRN in eval mode from a published checkpoint, or from one in its format.

    The container is `{epoch, arch, state_dict, best_prec1}`; names may begin with `module.`, BatchNorm tensors may be
    of shape (1, C), `num_batches_tracked` may be there or not.

    Raises:
        VmcError: no such file, one that is truncated or would run code, or tensors that do not fit.
    """
    content = _read(path)
    arch = str(content.get("arch", "BNInception"))
    model = TRN(arch=arch, classes=classes)
    found = {str(name).removeprefix(PREFIX): tensor for name, tensor in content["state_dict"].items()}
    found = {name: tensor for name, tensor in found.items() if not name.endswith(COUNTER)}
    fitted = {name: _squeezed(tensor) if "_bn." in name else tensor for name, tensor in found.items()}
    if problem := misfit(model, fitted):
        raise VmcError(
            f"{path} does not fit a TRN of arch {arch} and {classes} classes: {problem};"
            " give the labels that it was trained for, or get the file again"
        )
    model.load_state_dict(fitted, strict=False)
    return model.requires_grad_(False).eval()


def save_trn(model: TRN, path: Path, *, arch: str, epoch: int, accuracy: float) -> None:
    """Write a checkpoint in the published container and layout; `accuracy` in per cent, as there."""
    state = {PREFIX + name: tensor.cpu() for name, tensor in model.state_dict().items()}
    torch.save({"epoch": epoch, "arch": arch, "state_dict": state, "best_prec1": accuracy}, path)


def _squeezed(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0) if tensor.ndim == 2 and tensor.shape[0] == 1 else tensor


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise VmcError(f"the TRN checkpoint {path} does not exist; give the path of a .pth.tar file")
    try:
        with safe_numbers():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise VmcError(f"the TRN checkpoint {path} does not load ({reason}); get the file again") from error
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise VmcError(f"{path} holds no state_dict; it is not a TRN checkpoint")
    return content


def safe_numbers() -> AbstractContextManager:
    """Lets NumPy numbers through: old files hold their accuracy as one. Nothing on the list could run code."""
    return torch.serialization.safe_globals(_numpy_scalars())


def _numpy_scalars() -> list[Any]:
    """What unpickling a NumPy number needs, under the names of NumPy 1 and 2."""
    scalar = np.core.multiarray.scalar if np.__version__ < "2" else np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64")]
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
