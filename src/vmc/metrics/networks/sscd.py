"""SSCD (Pizzi et al., 2022): descriptors of images in which copies are close to their original.

Axes: N images, C colors, H and W, D descriptor width (512 for the default model).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.transforms.functional import normalize

from vmc.metrics.base import IMAGENET, resize_short_side
from vmc.metrics.networks.files import NetworkFile, fill, is_torchscript, read_tensors, read_weights
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import sha256_of

SHORT_SIDE = 288  # px; github.com/facebookresearch/sscd-copy-detection, README
POWER = 3.0
STEM = 64  # channels of the first stage of the published networks
FIRST, LAST = "backbone.conv1.weight", "backbone.fc.weight"  # by which torchvision's names are recognized


def generalized_mean(features_NCHW: Tensor) -> Tensor:
    """features_NC: the generalized mean over places (Radenović et al., 2018), between the average and the maximum."""
    return features_NCHW.clamp(min=1e-6).pow(POWER).mean((2, 3)).pow(1 / POWER)


class GeM(nn.Module):
    """`generalized_mean` in place of the average pooling of a ResNet, without parameters."""

    def forward(self, features_NCHW: Tensor) -> Tensor:
        """features_NC11."""
        return generalized_mean(features_NCHW)[..., None, None]


class SSCDNetwork(nn.Module):
    """A torchvision ResNet with generalized-mean pooling and a linear descriptor, normalised to length one.

    `layers` are the numbers of blocks in the four stages, `stem` the channels of the first; each has twice as many.
    """

    def __init__(self, *, bottleneck: bool, layers: list[int], width: int, stem: int = STEM) -> None:
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        self.backbone = ResNet(block, layers, num_classes=width)
        if stem != STEM:
            _narrow(self.backbone, block, layers, stem)
        self.backbone.avgpool = GeM()

    @classmethod
    def of(cls, state: Mapping[str, Tensor], file: str = "the state") -> "SSCDNetwork":
        """Build the network of a state dict, in single precision; depth and widths are inferred from the tensors."""
        blocks = {tuple(name.split(".")[1:3]) for name in state if name.startswith("backbone.layer")}
        layers = [sum(stage == f"layer{number}" for stage, _ in blocks) for number in (1, 2, 3, 4)]
        bottleneck, width = "backbone.layer1.0.conv3.weight" in state, state[LAST].shape[0]
        stem = state[FIRST].shape[0] if FIRST in state else STEM
        fits = f"a ResNet of {layers} blocks"
        try:
            with torch.device("meta"):
                network = cls(bottleneck=bottleneck, layers=layers, width=width, stem=stem)
        except RuntimeError as error:  # a file may name any size
            raise VmcError(f"{file} does not fit {fits}: {first_line(error)}; get it again") from error
        return fill(network, state, file, fits=fits)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """descriptors_ND of prepared images."""
        return F.normalize(self.backbone(images_NCHW))


def _narrow(backbone: ResNet, block: type[BasicBlock | Bottleneck], layers: list[int], stem: int) -> None:
    """Rebuild the stages of a ResNet with other channels; all else is as torchvision builds it."""
    backbone.inplanes = stem
    backbone.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
    backbone.bn1 = nn.BatchNorm2d(stem)
    for stage, blocks in enumerate(layers):
        made = backbone._make_layer(block, stem * 2**stage, blocks, stride=1 if stage == 0 else 2)
        setattr(backbone, f"layer{stage + 1}", made)
    backbone.fc = nn.Linear(8 * stem * block.expansion, backbone.fc.out_features)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def normalize_images(images_NCHW: Tensor) -> Tensor:
    """Normalize images of 0 to 1 by ImageNet's mean and deviation."""
    return normalize(images_NCHW, *IMAGENET)


def prepare_frames(frames_NCHW: Tensor, *, short_side: int) -> Tensor:
    """Resize RGB uint8 frames, keeping their proportions, and normalize them."""
    return normalize_images(resize_short_side(frames_NCHW.float() / 255, short_side))


class CopyNetwork(NetworkFile[nn.Module]):
    """SSCD in a file (`load_sscd`): descriptors of length one, whose dot product is the copy similarity.

    Frames are resized to a shorter side of `short_side` px. `trust` allows a TorchScript archive that is no plain
    network to run its code.
    """

    def __init__(self, *, path: str | Path, short_side: int = SHORT_SIDE, trust: bool = False, get: str = "") -> None:
        super().__init__(path=path, get=get)
        if not isinstance(trust, bool):
            raise VmcError(f"metrics.copying.trust is '{trust}'; it must be true or false")
        self.short_side, self.trust = short_side, trust

    def open(self) -> nn.Module:
        """Load the network."""
        return load_sscd(self.path, trust=self.trust)

    @torch.no_grad()
    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        """Compute descriptors_ND of RGB uint8 frames of any size."""
        return self.network(prepare_frames(frames_NCHW.to(self.device), short_side=self.short_side))

    def describe(self) -> dict[str, Any]:
        """The file, and the size of frames."""
        return {**super().describe(), "short_side": self.short_side}


def load_sscd(path: Path, *, trust: bool = False) -> nn.Module:
    """Load the network, prepared images to descriptors, of a published `NAME.torchvision.pt` or `NAME.torchscript.pt`.

    Both are read as tensors with torchvision's names, in single or half precision. A TorchScript archive with other
    names describes its network in code, which could do anything.

    Raises:
        VmcError: the file is missing, truncated or foreign, or its code would have to be run without `trust`.
    """
    reason = f"it has no {LAST}"
    if is_torchscript(path):
        try:
            state = read_tensors(path)
        except UnpicklingError as error:
            state, reason = {}, first_line(error)
        if LAST not in state:
            return _run_archive(path, reason, trust=trust).eval()
    else:
        state = read_weights(path, kind="SSCD file", expected="a .torchvision.pt or .torchscript.pt", key=LAST)
    return SSCDNetwork.of(state, f"the SSCD file {path}")


def _run_archive(path: Path, reason: str, *, trust: bool) -> nn.Module:
    if not trust:
        raise VmcError(
            f"the SSCD file {path} (SHA-256 {sha256_of(path)}) is a TorchScript archive whose network is code of its"
            f" own ({reason}); give a .torchvision.pt (python -m vmc.weights get sscd), or, if you trust this file,"
            " metrics.copying.trust=true"
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # the published format is TorchScript
            return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise VmcError(f"the SSCD file {path} does not load ({first_line(error)}); get it again") from error
