"""What a metric is: it is shown videos one batch after the other and keeps one value of each column for each video.

Axes: B videos, F frames, C colours (red, green, blue), H and W, N images, D features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.errors import VmcError
from vmc.metrics.record import Record

Value = float | int | bool | str | None
"""Of one video in one column; None where there is none."""

COLUMNS = (
    "prompt",
    "subject",
    "seed",
    "video",
    "valid",
    "predicted",
    "motion_correct",
    "motion_probability",
    "appearance",
    "text_alignment",
    "copy_similarity_first",
    "copy_similarity_any",
    "regularization_similarity",
    "copied",
    "nearest_clip",
    "nearest_frame",
    "frame_consistency",
    "flicker",
    "dynamic_degree",
)
"""Of `scores.csv`, in this order."""

IMAGES_AT_ONCE = 32
"""Images that go through a network together; it bounds memory and changes no score."""


class Metric(Protocol):
    """Videos in, per-video values out. Nothing but these values is kept."""

    @property
    def name(self) -> str:
        """Of the metric, in the protocol."""

    @property
    def columns(self) -> tuple[str, ...]:
        """That it fills."""

    def update(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> None:
        """Score these videos, uint8."""

    def result(self) -> dict[str, list[Value]]:
        """Of each column the values of all videos, in the order they came."""

    def reset(self) -> None:
        """Forget all videos."""

    def describe(self) -> dict[str, Any]:
        """What the values depend on: network files with their SHA-256, and settings; plain JSON."""


class StreamingMetric(ABC):
    """A `Metric` that says what the values of a batch are; the rest is here."""

    name: str
    columns: tuple[str, ...]

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the values depend on: network files with their SHA-256, and settings; plain JSON."""

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

    def result(self) -> dict[str, list[Value]]:
        """Of each column the values of all videos, in the order they came."""
        return {column: list(values) for column, values in self._values.items()}

    def reset(self) -> None:
        """Forget all videos."""
        self._values: dict[str, list[Value]] = {column: [] for column in self.columns}


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
