"""What a metric is: it is shown videos one batch after the other and keeps one value of each column for each video.

Axes: B videos, F frames, C colours (red, green, blue), H and W, N images, D features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.metrics.columns import Column, Value
from vmc.metrics.networks.files import NetworkFile
from vmc.utils.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class Record:
    """One video and what it was made from.

    Args:
        video: its file name.
        prompt: as the model was given it.
        subject: the phrase that the appearance score looks for; None where the test set names none.
        language: the full caption in natural language, for text alignment; None where there is none.
        seed: of the video's noise; None for a video whose seed is not known.
    """

    video: str
    prompt: str
    subject: str | None = None
    language: str | None = None
    seed: int | None = None


NamedClips = Iterable[tuple[str, Tensor]]
"""Names and frames_FCHW uint8 of clips; every metric that needs them goes through them anew."""

IMAGES_AT_ONCE = 32
"""Images that go through a network together; it bounds memory and changes no score."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a metric may need to know of the run whose videos it scores.

    Args:
        target: name of the motion's class; None for a motion without one.
        exemplars: names and frames, at the training crop, all frames, not augmented; None where there are none to
            compare with.
        regularization: likewise.
        cache: folder for what is made of the clips; None keeps nothing.
        device: where networks run.
    """

    target: str | None = None
    exemplars: NamedClips | None = None
    regularization: NamedClips = ()
    cache: Path | None = None
    device: torch.device | str = "cpu"


class Metric(ABC):
    """Videos in, per-video values out. Nothing but these values is kept.

    To construct one loads nothing. Networks that are its attributes (`NetworkFile`) are found missing or damaged before
    anything runs, and moved to the device.

    Attributes:
        name: in the protocol.
        columns: that it fills, and what is made of them.
    """

    name: str
    columns: tuple[Column, ...]

    @abstractmethod
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the values depend on: network files with their SHA-256, and settings; plain JSON.

        What differs between motions, seeds and arms stands under `target`, `exemplars` and `regularization`: runs that
        differ in these alone may be compared.
        """

    def prepare(self, run: RunContext) -> bool:
        """Take what is needed of a run; False where it has not got it, which leaves the columns empty."""
        return True

    @property
    def networks(self) -> dict[str, NetworkFile[Any]]:
        """Its network files, by the attribute."""
        return {name: part for name, part in vars(self).items() if isinstance(part, NetworkFile)}

    def missing(self) -> list[str]:
        """Each file that is not there, with the command that gets it."""
        return [missing for network in self.networks.values() if (missing := network.missing())]

    def check(self, *, target: str | None = None) -> None:
        """Open the networks, which stay open for use.

        Args:
            target: name of the motion's class; None for a motion without one.

        Raises:
            VmcError: a file that is not what it should be.
        """
        for network in self.networks.values():
            network.check()

    def begin(self, run: RunContext) -> Self | None:
        """A copy of this metric that scores the videos of one run; None where the run lacks what it needs.

        Raises:
            VmcError: what the run has does not fit.
        """
        own = copy(self)
        own.reset()
        for network in own.networks.values():
            network.to(run.device)
        return own if own.prepare(run) else None

    def update(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> None:
        """Score these videos, uint8.

        Raises:
            VmcError: frames of another type, or another number of videos than of records.
        """
        if frames_BFCHW.dtype != torch.uint8 or frames_BFCHW.ndim != 5:
            raise VmcError(
                f"a metric got frames of {frames_BFCHW.dtype} and shape {tuple(frames_BFCHW.shape)};"
                " it takes uint8 frames (videos, frames, 3, height, width)"
            )
        if len(frames_BFCHW) != len(records):
            raise VmcError(f"a metric got {len(frames_BFCHW)} videos with {len(records)} records; give one for each")
        for column, values in self.score(frames_BFCHW, records).items():
            self._values[column].extend(values)

    def compute(self) -> dict[str, list[Value]]:
        """Of each column the values of all videos, in the order they came."""
        return {column: list(values) for column, values in self._values.items()}

    def reset(self) -> None:
        """Forget all videos."""
        self._values: dict[str, list[Value]] = {column.name: [] for column in self.columns}


def in_parts(network: Callable[[Tensor], Tensor], images_NCHW: Tensor, *, size: int = IMAGES_AT_ONCE) -> Tensor:
    """features_ND on the CPU, of `size` images at a time."""
    return torch.cat([network(part).float().cpu() for part in images_NCHW.split(size)])


def resized_centre(frames_NCHW: Tensor, *, short_side: int, crop: tuple[int, int]) -> Tensor:
    """Frames as floats, their short side at `short_side` px, bilinear and antialiased, cropped at the centre."""
    height, width = frames_NCHW.shape[-2:]
    scale = short_side / min(height, width)
    size = [max(wanted, round(side * scale)) for side, wanted in zip((height, width), crop, strict=True)]
    resized = F.interpolate(frames_NCHW.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
    top, left = ((side - wanted) // 2 for side, wanted in zip(size, crop, strict=True))
    return resized[..., top : top + crop[0], left : left + crop[1]]
