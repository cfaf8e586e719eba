"""Gesture classifiers: three kinds of published checkpoints behind one interface.

Axes: B videos, F frames, S segments, N images, C colors or channels, H and W, K classes.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.transforms.functional import normalize

from vmc.metrics.base import IMAGENET, in_parts, resize_short_side
from vmc.metrics.networks.files import Network, NetworkFile, fill, read_weights
from vmc.metrics.networks.trn import SEGMENTS, TRN, load_trn, segment_indices
from vmc.utils.errors import VmcError
from vmc.utils.text_files import normalize_label, read_lines

SHARE = 8  # one in so many channels is taken from the previous frame
SHORT_SIDE, CROP = 256, (224, 224)  # px
LABEL = "motion.label"  # the setting that names the motion's class


def shift_channels(x_NCHW: Tensor, segments: int) -> Tensor:
    """Replace the first eighth of the channels by those of the previous frame, or by zeros in a video's first frame."""
    x_BSCHW = x_NCHW.unflatten(0, (-1, segments))
    count = x_NCHW.shape[1] // SHARE
    before = torch.zeros_like(x_BSCHW[:, :, :count])
    before[:, 1:] = x_BSCHW[:, :-1, :count]
    return torch.cat([before, x_BSCHW[:, :, count:]], dim=2).flatten(0, 1)


class OnlineTSM(nn.Module):
    """The online temporal shift module (Lin et al., ICCV 2019): a MobileNetV2 whose blocks see the previous frame.

    The logits are the mean over segments. Layout and names are those of the online demo of
    github.com/mit-han-lab/temporal-shift-module.
    """

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.features = mobilenet_v2().features
        for block in self.features:
            if isinstance(block, InvertedResidual):  # published names count layers, torchvision's groups of them
                groups = [part if isinstance(part, nn.Sequential) else [part] for part in block.conv]
                block.conv = nn.Sequential(*(layer for group in groups for layer in group))
        self.classifier = nn.Linear(1280, classes)

    def forward(self, frames_BSCHW: Tensor) -> Tensor:
        """logits_BK of the segments' frames, RGB uint8 of any size."""
        batch, segments = frames_BSCHW.shape[:2]
        images = resize_short_side(frames_BSCHW.flatten(0, 1), SHORT_SIDE, crop=CROP) / 255
        x_NCHW = normalize(images, *IMAGENET)
        for block in self.features:
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                x_NCHW = x_NCHW + block.conv(shift_channels(x_NCHW, segments))
            else:
                x_NCHW = block(x_NCHW)
        return self.classifier(x_NCHW.mean((2, 3))).view(batch, segments, -1).mean(1)


def load_tsm(path: Path, *, classes: int) -> OnlineTSM:
    """Load the online TSM from the published checkpoint, a plain state dict; other files raise a `VmcError`."""
    expected = "mobilenetv2_jester_online.pth.tar"
    content = read_weights(path, kind="TSM checkpoint", expected=expected, key="classifier.weight")
    with torch.device("meta"):
        model = OnlineTSM(classes=classes)
    return fill(model, content, str(path), fits=f"the online TSM of {classes} classes")


_JESTER = """Doing other things, Drumming Fingers, No gesture, Pulling Hand In, Pulling Two Fingers In, \
Pushing Hand Away, Pushing Two Fingers Away, Rolling Hand Backward, Rolling Hand Forward, Shaking Hand, \
Sliding Two Fingers Down, Sliding Two Fingers Left, Sliding Two Fingers Right, Sliding Two Fingers Up, Stop Sign, \
Swiping Down, Swiping Left, Swiping Right, Swiping Up, Thumb Down, Thumb Up, Turning Hand Clockwise, \
Turning Hand Counterclockwise, Zooming In With Full Hand, Zooming In With Two Fingers, Zooming Out With Full Hand, \
Zooming Out With Two Fingers"""
JESTER_LABELS = tuple(_JESTER.split(", "))  # Jester's 27, sorted: the order in which published classifiers number them
Labels = Sequence[str] | str | Path | None
VIDEOS_AT_ONCE = 4
PREPARATIONS = ("preprocessor_config.json", "video_preprocessor_config.json")
FRAMES = 16  # where a folder's configuration does not say


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Names of classes: Jester's for None, those of a file with one name per line (sorted), or the given ones."""
    if labels is None:
        return JESTER_LABELS
    if not isinstance(labels, str | Path):
        return tuple(str(label) for label in labels)
    file = Path(labels).expanduser()
    if not file.is_file():
        raise VmcError(f"metrics.classifier.labels is {file}, which does not exist; give a file with a name a line")
    if not (names := sorted(set(read_lines(file)))):
        raise VmcError(f"metrics.classifier.labels is {file}, which holds no names; write one a line")
    return tuple(names)


def class_index(labels: Sequence[str], name: str, *, setting: str = LABEL) -> int:
    """Index of the class with a name, regardless of case, spaces and underscores. Unknown names are refused.

    `setting` is what an error calls it.
    """
    plain, wanted = [normalize_label(label) for label in labels], normalize_label(name)
    if wanted not in plain:
        raise VmcError(
            f"{setting} is '{name}', which the gesture classifier does not know; its classes are {', '.join(labels)}"
            + " (null for a motion without a class)" * (setting == LABEL)
        )
    return plain.index(wanted)


class GestureClassifier(NetworkFile[Network]):
    """Base class of networks that give the probabilities of named gestures in a video."""

    kind: str
    segments = SEGMENTS  # parts of a video, of each of which it sees one frame
    labels: tuple[str, ...]  # names of its classes

    @torch.no_grad()
    def probabilities(self, frames_BFCHW: Tensor) -> Tensor:
        """Compute probabilities_BK, on the CPU, of RGB uint8 frames of any size and number."""
        frames_BSCHW = frames_BFCHW[:, segment_indices(frames_BFCHW.shape[1], self.segments)]
        return in_parts(lambda part: self.logits(part.to(self.device)), frames_BSCHW, size=VIDEOS_AT_ONCE).softmax(1)

    def logits(self, frames_BSCHW: Tensor) -> Tensor:
        """Compute logits_BK of the segments' frames."""
        return self.network(frames_BSCHW)

    def describe(self) -> dict[str, Any]:
        """Kind, file and classes."""
        return {"kind": self.kind, **super().describe(), "labels": list(self.labels)}


class _LabeledClassifier(GestureClassifier[Network]):
    """A checkpoint that does not name its classes, whose names are given as for `read_labels`."""

    def __init__(self, *, path: str | Path, labels: Labels = None, get: str = "") -> None:
        super().__init__(path=path, get=get)
        self.labels = read_labels(labels)


class TRNClassifier(_LabeledClassifier[TRN]):
    """The paper's classifier: temporal relations over 8 segments, from a `.pth.tar` in the published layout."""

    kind = "TRN"

    def open(self) -> TRN:
        """Read the TRN."""
        return load_trn(self.path, classes=len(self.labels))

    def describe(self) -> dict[str, Any]:
        """File, classes, and the relations, which the original draws anew for every batch."""
        return {**super().describe(), "relations": self.network.consensus.tuples}


class TSMClassifier(_LabeledClassifier[OnlineTSM]):
    """The online MobileNetV2 with temporal shift, averaged over 8 segments: `mobilenetv2_jester_online.pth.tar`."""

    kind = "TSM online"

    def open(self) -> OnlineTSM:
        """Read the TSM."""
        return load_tsm(self.path, classes=len(self.labels))


class HuggingFaceClassifier(GestureClassifier[nn.Module]):
    """A `*ForVideoClassification` of transformers: a folder with config, weights and `preprocessor_config.json`.

    Its classes are named by `id2label`, in any order.
    """

    def open(self) -> nn.Module:
        """Load the model, as tensors only, none of which may be missing."""
        from transformers import AutoModelForVideoClassification

        _ = self.labels, self._preparation  # read now, so that errors in these files come first
        self._refuse_own_code()
        safely = {"local_files_only": True, "trust_remote_code": False, "weights_only": True}
        model, found = AutoModelForVideoClassification.from_pretrained(
            str(self.path), output_loading_info=True, **safely
        )
        if missing := sorted(found["missing_keys"]):
            raise VmcError(f"the video classifier {self.path} has no tensor {missing[0]}; it was not fully trained")
        return model

    def _refuse_own_code(self) -> None:
        """Refuse a folder that brings code, or is of no video classifier that transformers has."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES as KNOWN

        file, kinds = self.path / "config.json", self._config.get("architectures") or []
        if "auto_map" in self._config:
            raise VmcError(f"{file} has an auto_map, which names code of its own; give a model of transformers' own")
        if self._config.get("model_type") not in KNOWN or not set(kinds) <= set(KNOWN.values()):
            kind = next((kind for kind in kinds if kind not in KNOWN.values()), self._config.get("model_type"))
            raise VmcError(f"{file} is of {kind}, which is no video classifier of transformers; give one of its own")

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The model's class."""
        return (self._config.get("architectures") or ["?"])[0]

    @property
    def segments(self) -> int:  # type: ignore[override]
        """Number of frames that the model takes."""
        return int(self._config.get("num_frames") or self._config.get("frames_per_clip") or FRAMES)

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of classes from `id2label`."""
        names = {int(place): str(name) for place, name in self._config.get("id2label", {}).items()}
        if not names or sorted(names) != list(range(len(names))):
            raise VmcError(f"{self.path / 'config.json'} has no whole id2label; write there what each class is called")
        return tuple(names[place] for place in range(len(names)))

    def logits(self, frames_BSCHW: Tensor) -> Tensor:
        """Compute logits_BK of frames, which are prepared as the folder says."""
        wanted = self._preparation
        images = resize_short_side(frames_BSCHW.flatten(0, 1), wanted["short_side"], crop=wanted["crop"])
        images = normalize(images * wanted["scale"] - wanted["offset"], wanted["mean"], wanted["deviation"])
        name = getattr(self.network, "main_input_name", "pixel_values")
        return self.network(**{name: images.unflatten(0, frames_BSCHW.shape[:2])}).logits

    def describe(self) -> dict[str, Any]:
        """Kind, folder, classes and how frames are prepared."""
        return {**super().describe(), "preparation": self._preparation}

    @cached_property
    def _config(self) -> dict[str, Any]:
        return self._json("config.json")

    @cached_property
    def _preparation(self) -> dict[str, Any]:
        said = self._json(next((name for name in PREPARATIONS if (self.path / name).is_file()), PREPARATIONS[0]))
        short_side, size = _sides(said.get("size", 224))
        crop = _sides(said["crop_size"])[1] if said.get("do_center_crop", True) and "crop_size" in said else size
        normalized = said.get("do_normalize", True)
        return {
            "short_side": short_side,
            "crop": crop,
            "scale": said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0,
            "offset": float(bool(said.get("offset", False))),
            "mean": list(said.get("image_mean", [0.5] * 3)) if normalized else [0.0] * 3,
            "deviation": list(said.get("image_std", [0.5] * 3)) if normalized else [1.0] * 3,
        }

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VmcError(f"{file} does not read ({error}); give the whole folder of a video classifier") from error


def _sides(size: int | dict[str, int]) -> tuple[int, tuple[int, int]]:
    """The short side, and height and width, of a size in any of the forms that these files use."""
    if isinstance(size, int):
        return size, (size, size)
    if "shortest_edge" in size:
        return size["shortest_edge"], (size["shortest_edge"],) * 2
    return min(size["height"], size["width"]), (size["height"], size["width"])
