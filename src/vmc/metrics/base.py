"""What a metric is: a class that declares its columns and gives one value of each for each video.

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
    """One video and what it was made from.

    The subject is the phrase that the appearance score looks for, the language the full caption in natural language;
    suite is what the test set asks of the motion here, and then the class of a second gesture that it asks for.
    """

    video: str
    prompt: str
    subject: str | None = None
    language: str | None = None
    seed: int | None = None
    suite: str | None = None
    then: str | None = None


NamedClips = Iterable[tuple[str, Tensor]]
"""Names and frames_FCHW uint8 of clips; every metric that needs them goes through them anew."""
Scores = Mapping[str, Sequence[Value]]
"""For each column one value a video."""
IMAGES_AT_ONCE = 32  # through a network; it bounds memory and changes no score
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""Mean and deviation of ImageNet's colors, on a scale of 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a metric may need to know of the run whose videos it scores.

    Args:
        target: name of the motion's class; None for a motion without one.
        exemplars: clips trained on, at the training crop, all frames, not augmented; None where there are none.
        regularization: regularization clips, likewise.
        cache: folder for what is made of the clips; None keeps nothing.
        device: where networks run.
    """

    target: str | None = None
    exemplars: NamedClips | None = None
    regularization: NamedClips = ()
    cache: Path | None = None
    device: torch.device | str = "cpu"


class Metric(ABC):
    """Videos in, values out.

    To construct one loads nothing. Networks that are its attributes (`NetworkFile`) are found missing or damaged before
    anything runs, and moved to the device. Its name is its key in the protocol.
    """

    name: str
    columns: tuple[Column, ...]
    asks_class = False
    """Whether it asks for the motion's class: of a motion without one it does without files that are not there."""

    @abstractmethod
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Score videos of uint8 frames."""

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
        """Its network files, by the attribute's name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, NetworkFile)}

    def missing(self) -> list[str]:
        """Each file that is not there, with the command that gets it."""
        return [missing for network in self.networks.values() if (missing := network.missing())]

    def check(self, *, target: str | None = None) -> None:
        """Open the networks, which stay open for use; an error says which file, or which class, is not there."""
        for network in self.networks.values():
            network.check()

    def begin(self, run: RunContext) -> Self | None:
        """Copy the metric for the videos of one run; None where the run lacks what it needs."""
        own = copy(self)
        for network in own.networks.values():
            network.to(run.device)
        return own if own.prepare(run) else None


def in_parts(network: Callable[[Tensor], Tensor], images_NCHW: Tensor, *, size: int = IMAGES_AT_ONCE) -> Tensor:
    """Apply a network to `size` images at a time: features_ND on the CPU."""
    return torch.cat([network(part).float().cpu() for part in images_NCHW.split(size)])


def resize_short_side(frames_NCHW: Tensor, short_side: int, *, crop: tuple[int, int] | None = None) -> Tensor:
    """Resize frames to floats of `short_side` px, bilinear and antialiased, and crop height and width at the center."""
    sides = frames_NCHW.shape[-2:]
    least = crop or (short_side, short_side)
    size = [max(wanted, round(side * (short_side / min(sides)))) for side, wanted in zip(sides, least, strict=True)]
    resized = F.interpolate(frames_NCHW.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
    if crop is None:
        return resized
    top, left = ((side - wanted) // 2 for side, wanted in zip(size, crop, strict=True))
    return resized[..., top : top + crop[0], left : left + crop[1]]
