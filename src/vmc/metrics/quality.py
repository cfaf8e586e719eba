"""Flicker and dynamic degree, which need no network. They watch each other: a frozen video has no flicker.

Axes: B videos, F frames, C colours, H and W.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vmc.metrics.base import Metric
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.record import Record

MOVED = 25.5  # a tenth of the range: more than noise and compression change a pixel


class Quality(Metric):
    """Columns flicker and dynamic_degree."""

    name = "quality"
    columns = (
        Column("flicker", measure=Measure("flicker", "Stillness", better="neither")),
        Column("dynamic_degree", measure=Measure("dynamic_degree", "Dynamic degree", better="neither")),
    )

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""
        return {
            "flicker": [flicker(frames_FCHW) for frames_FCHW in frames_BFCHW],
            "dynamic_degree": [dynamic_degree(frames_FCHW) for frames_FCHW in frames_BFCHW],
        }

    def describe(self) -> dict[str, Any]:
        """The formulas."""
        return {
            "flicker": "(255 - mean absolute difference of adjacent frames) / 255",
            "dynamic_degree": f"share of pixels whose brightness ranges over more than {MOVED} of 255",
        }


def flicker(frames_FCHW: Tensor) -> float | None:
    """(255 - mean absolute difference of adjacent frames) / 255: 1 is still (VBench, Huang et al., 2024: temporal
    flickering). None for a single frame.
    """
    if len(frames_FCHW) < 2:
        return None
    difference = (frames_FCHW[1:].int() - frames_FCHW[:-1].int()).abs()
    return 1 - difference.double().mean().item() / 255


def dynamic_degree(frames_FCHW: Tensor) -> float:
    """The share of pixels whose brightness (mean of the colours) ranges over more than a tenth of the scale in the
    course of the video: 0 is frozen. It needs no optical flow; VBench's measure of this name, which does, is another.
    """
    brightness_FHW = frames_FCHW.float().mean(1)
    range_HW = brightness_FHW.amax(0) - brightness_FHW.amin(0)
    return (range_HW > MOVED).double().mean().item()
