"""Metrics without a network: whether a video is valid, flicker, and dynamic degree.

Axes: B videos, F frames, C colors, H and W.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.base import Metric, Record, Scores
from vmc.metrics.columns import Column, Measure
from vmc.utils.errors import VmcError

DARKEST = 16  # of 255: a frame without any brighter value is black
FLATTEST = 2.0  # of 255: a frame whose every color deviates less over its pixels shows one color
LEAST = 2  # frames with a picture that a valid video has: a motion needs two
MOVED = 25.5  # a tenth of the range: more than noise and compression change a pixel by

SETTINGS = {"black_below": DARKEST, "deviation_below": FLATTEST, "least_frames": LEAST}  # for the protocol


def problem(frames_FCHW: Tensor | None) -> str | None:
    """Why a video of uint8, or of floats in 0..1, is invalid; None for valid ones, frozen videos included.

    Videos are invalid that cannot be read (None), have NaN or infinity, or have fewer than two frames that are neither
    black nor of one color.
    """
    if frames_FCHW is None:
        return "it cannot be read"
    if frames_FCHW.is_floating_point() and not torch.isfinite(frames_FCHW).all():
        return "it holds values that are not finite"
    if len(frames_FCHW) < LEAST:
        return f"it has {len(frames_FCHW)} frame, {LEAST} are needed"
    values = as_uint8(frames_FCHW).flatten(2).float()
    has_picture_F = (values.amax((1, 2)) >= DARKEST) & (values.std(2, correction=0).amax(1) >= FLATTEST)
    shown = int(has_picture_F.sum())
    return None if shown >= LEAST else f"{shown} of its {len(frames_FCHW)} frames show anything, {LEAST} are needed"


def as_uint8(frames_FCHW: Tensor) -> Tensor:
    """Convert frames of floats in 0..1 to uint8; frames of uint8 are returned as they are, others refused."""
    if frames_FCHW.ndim != 4 or frames_FCHW.shape[1] != 3:
        raise VmcError(f"a video has shape {tuple(frames_FCHW.shape)}; it must be (frames, 3, height, width)")
    if frames_FCHW.is_floating_point():
        return (frames_FCHW * 255).round().clamp(0, 255).to(torch.uint8)
    if frames_FCHW.dtype != torch.uint8:
        raise VmcError(f"a video has values of {frames_FCHW.dtype}; they must be uint8, or floats in 0..1")
    return frames_FCHW


class Quality(Metric):
    """Columns flicker and dynamic_degree."""

    name = "quality"
    columns = (
        Column("flicker", measure=Measure("flicker", "Stillness", better="neither")),
        Column("dynamic_degree", measure=Measure("dynamic_degree", "Dynamic degree", better="neither")),
    )

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Compute both values of each video."""
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
    """The share of pixels whose brightness (mean of the colors) varies by more than a tenth of the range during the
    video: 0 is frozen. Unlike VBench's measure of this name, it uses no optical flow.
    """
    brightness_FHW = frames_FCHW.float().mean(1)
    range_HW = brightness_FHW.amax(0) - brightness_FHW.amin(0)
    return (range_HW > MOVED).double().mean().item()
