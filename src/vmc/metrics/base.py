"""The interface of metrics: a class declares its columns and gives each video a value in each of them.

Axes: B videos, F frames, C colors (red, green, blue), H and W, N images, D features.
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


@dataclass(frozen=True, kw_only=True)
class Record:
    """One video and what it was made from."""

    video: str
    prompt: str
    subject: str | None = None  # the phrase that the appearance score looks for
    language: str | None = None  # the full caption in natural language
    seed: int | None = None
    suite: str | None = None  # what the test set asks of the motion here
    then: str | None = None  # the class of a second gesture that the prompt asks for


NamedClips = Iterable[tuple[str, Tensor]]  # names and frames_FCHW uint8 of clips; each metric iterates over them anew
Scores = Mapping[str, Sequence[Value]]  # for each column one value a video
IMAGES_AT_ONCE = 32  # through a network; it bounds memory and changes no score
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and deviation of ImageNet's colors, of a scale to 1


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a metric may need to know of the run whose videos it scores."""

    target: str | None = None  # name of the motion's class; None for a motion without one
    exemplars: NamedClips | None = None  # clips trained on, at the training crop, all frames, not augmented
    regularization: NamedClips = ()  # regularization clips, likewise
    cache: Path | None = None  # folder for what is made of the clips; None keeps nothing
    device: torch.device | str = "cpu"  # where networks run


class Metric(ABC):
    """Base class of metrics.

    The constructor loads nothing. Networks (`NetworkFile`) that are attributes are checked before anything runs, and
    moved to the device.
    """

    name: str  # its key in the protocol
    columns: tuple[Column, ...]
    asks_class = False  # whether it needs the motion's class; without one it is left out where its files are missing

    @abstractmethod
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Score videos of uint8 frames."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the values depend on, as plain JSON: network files with their SHA-256, and settings.

        What differs between motions, seeds and arms belongs under `target`, `exemplars` and `regularization`: runs that
        differ in these alone can be compared.
        """

    def prepare(self, run: RunContext) -> bool:
        """Take what the metric needs of a run; False where the run lacks it, which leaves the columns empty."""
        return True

    @property
    def networks(self) -> dict[str, NetworkFile[Any]]:
        """Network files of the metric, by the attribute's name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, NetworkFile)}

    def missing(self) -> list[str]:
        """Missing files, each with the command that downloads it."""
        return [missing for network in self.networks.values() if (missing := network.missing())]

    def check(self, *, target: str | None = None) -> None:
        """Open the networks, which stay open for use. Errors name the file that is damaged, or the unknown class."""
        for network in self.networks.values():
            network.check()

    def begin(self, run: RunContext) -> Self | None:
        """Copy the metric for the videos of one run; None where the run lacks what it needs."""
        own = copy(self)
        for network in own.networks.values():
            network.to(run.device)
        return own if own.prepare(run) else None


def in_parts(network: Callable[[Tensor], Tensor], images_NCHW: Tensor, *, size: int = IMAGES_AT_ONCE) -> Tensor:
    """Apply a network to `size` images at a time and give all features_ND, on the CPU."""
    return torch.cat([network(part).float().cpu() for part in images_NCHW.split(size)])


def resize_short_side(frames_NCHW: Tensor, short_side: int, *, crop: tuple[int, int] | None = None) -> Tensor:
    """Resize frames until the shorter side has `short_side` px (bilinear, antialiased), and crop the center."""
    sides = frames_NCHW.shape[-2:]
    least = crop or (short_side, short_side)
    size = [max(wanted, round(side * (short_side / min(sides)))) for side, wanted in zip(sides, least, strict=True)]
    resized = F.interpolate(frames_NCHW.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
    if crop is None:
        return resized
    top, left = ((side - wanted) // 2 for side, wanted in zip(size, crop, strict=True))
    return resized[..., top : top + crop[0], left : left + crop[1]]
