"""Which gesture a video shows, by three kinds of published checkpoints behind one small interface.

Axes: B videos, F frames, S segments, C colours, H and W, K classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vmc.metrics.base import in_parts
from vmc.metrics.networks.files import NetworkFile
from vmc.metrics.networks.trn import SEGMENTS, TRN, load_trn, segment_indices
from vmc.metrics.networks.tsm import OnlineTSM, load_tsm
from vmc.utils.errors import VmcError
from vmc.utils.text_files import normalize_label

JESTER_LABELS = (
    "Doing other things",
    "Drumming Fingers",
    "No gesture",
    "Pulling Hand In",
    "Pulling Two Fingers In",
    "Pushing Hand Away",
    "Pushing Two Fingers Away",
    "Rolling Hand Backward",
    "Rolling Hand Forward",
    "Shaking Hand",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Up",
    "Stop Sign",
    "Swiping Down",
    "Swiping Left",
    "Swiping Right",
    "Swiping Up",
    "Thumb Down",
    "Thumb Up",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Full Hand",
    "Zooming Out With Two Fingers",
)
"""Jester's 27, sorted: the order in which published classifiers number them."""

Labels = Sequence[str] | str | Path | None
VIDEOS_AT_ONCE = 4


class GestureClassifier(Protocol):
    """Videos to the probabilities of named gestures."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, in the order of the probabilities."""

    def probabilities(self, frames_BFCHW: Tensor) -> Tensor:
        """probabilities_BK on the CPU, of RGB uint8 frames of any size and number."""

    def describe(self) -> dict[str, Any]:
        """What the probabilities depend on."""


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Names of classes: None for Jester's, a file with one name a line (sorted here), or the names in their order.

    Raises:
        VmcError: no such file, or no names in it.
    """
    if labels is None:
        return JESTER_LABELS
    if not isinstance(labels, str | Path):
        return tuple(str(label) for label in labels)
    file = Path(labels).expanduser()
    if not file.is_file():
        raise VmcError(f"metrics.classifier.labels is {file}, which does not exist; give a file with a name a line")
    names = {line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()} - {""}
    if not names:
        raise VmcError(f"metrics.classifier.labels is {file}, which holds no names; write one a line")
    return tuple(sorted(names))


def class_index(labels: Sequence[str], name: str) -> int:
    """The class of that name; case, spaces and underscores do not matter.

    Raises:
        VmcError: the classifier has no such class.
    """
    plain = [normalize_label(label) for label in labels]
    if normalize_label(name) not in plain:
        raise VmcError(
            f"motion.label is '{name}', which the gesture classifier does not know; its classes are {', '.join(labels)}"
            " (null for a motion without a class)"
        )
    return plain.index(normalize_label(name))


class TRNClassifier(NetworkFile[TRN]):
    """The paper's: temporal relations over 8 segments (`vmc.metrics.networks.trn`).

    Args:
        path: a `.pth.tar` in the published layout.
        labels: see `read_labels`.
        get: the command that gets the file.
    """

    def __init__(self, *, path: str | Path, labels: Labels = None, get: str = "") -> None:
        super().__init__(path=path, get=get)
        self.labels = read_labels(labels)

    def open(self) -> TRN:
        """The TRN, in eval mode."""
        return load_trn(self.path, classes=len(self.labels)).to(self.device)

    @staticmethod
    def module(opened: TRN) -> nn.Module:
        """The TRN."""
        return opened

    def probabilities(self, frames_BFCHW: Tensor) -> Tensor:
        """probabilities_BK on the CPU."""
        return _softmax(self.network, frames_BFCHW, segments=SEGMENTS, device=self.device)

    def describe(self) -> dict[str, Any]:
        """File and classes, and the relations: the original draws them anew for every batch."""
        relations = self.network.consensus.tuples
        return {"kind": "TRN", **super().describe(), "labels": list(self.labels), "relations": relations}


class TSMClassifier(NetworkFile[OnlineTSM]):
    """The online MobileNetV2 with temporal shift (`vmc.metrics.networks.tsm`), averaged over 8 segments.

    Args:
        path: `mobilenetv2_jester_online.pth.tar`.
        labels: see `read_labels`.
        get: the command that gets the file.
    """

    def __init__(self, *, path: str | Path, labels: Labels = None, get: str = "") -> None:
        super().__init__(path=path, get=get)
        self.labels = read_labels(labels)

    def open(self) -> OnlineTSM:
        """The TSM, in eval mode."""
        return load_tsm(self.path, classes=len(self.labels)).to(self.device)

    @staticmethod
    def module(opened: OnlineTSM) -> nn.Module:
        """The TSM."""
        return opened

    def probabilities(self, frames_BFCHW: Tensor) -> Tensor:
        """probabilities_BK on the CPU."""
        return _softmax(self.network, frames_BFCHW, segments=SEGMENTS, device=self.device)

    def describe(self) -> dict[str, Any]:
        """File and classes."""
        return {"kind": "TSM online", **super().describe(), "labels": list(self.labels)}


@torch.no_grad()
def _softmax(network: nn.Module, frames_BFCHW: Tensor, *, segments: int, device: torch.device) -> Tensor:
    frames_BSCHW = frames_BFCHW[:, segment_indices(frames_BFCHW.shape[1], segments)]
    return in_parts(lambda part: network(part.to(device)), frames_BSCHW, size=VIDEOS_AT_ONCE).softmax(1)
