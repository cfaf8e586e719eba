"""Videos that show nothing. They count as wrong and stay in the denominator, or collapse would raise the score.

Axes: F frames, C colours, H and W.
"""

import torch
from torch import Tensor

from vmc.errors import VmcError

DARKEST = 16  # of 255: a frame without any brighter value is black
FLATTEST = 2.0  # of 255: a frame whose every colour deviates less over its pixels shows one colour
LEAST = 2  # frames with a picture that a video needs: a motion is seen in no fewer

SETTINGS = {"black_below": DARKEST, "deviation_below": FLATTEST, "least_frames": LEAST}
"""For the protocol."""


def problem(frames_FCHW: Tensor | None) -> str | None:
    """Why a video is invalid, None for a valid one: unreadable (None), NaN or infinite, fewer than two frames, or
    fewer than two frames that are neither black nor of one colour. A frozen video is valid.

    Args:
        frames_FCHW: uint8, or floats in 0..1.
    """
    if frames_FCHW is None:
        return "it cannot be read"
    if frames_FCHW.is_floating_point() and not torch.isfinite(frames_FCHW).all():
        return "it holds values that are not finite"
    if len(frames_FCHW) < LEAST:
        return f"it has {len(frames_FCHW)} frame, {LEAST} are needed"
    shown = int(has_picture(as_uint8(frames_FCHW)).sum())
    return None if shown >= LEAST else f"{shown} of its {len(frames_FCHW)} frames show anything, {LEAST} are needed"


def has_picture(frames_FCHW: Tensor) -> Tensor:
    """picture_F: whether a uint8 frame is neither black nor of one colour."""
    values = frames_FCHW.flatten(2).float()
    return (values.amax((1, 2)) >= DARKEST) & (values.std(2, correction=0).amax(1) >= FLATTEST)


def as_uint8(frames_FCHW: Tensor) -> Tensor:
    """Frames as uint8, from floats in 0..1 where they are floats.

    Raises:
        VmcError: frames of another type or shape.
    """
    if frames_FCHW.ndim != 4 or frames_FCHW.shape[1] != 3:
        raise VmcError(f"a video has shape {tuple(frames_FCHW.shape)}; it must be (frames, 3, height, width)")
    if frames_FCHW.is_floating_point():
        return (frames_FCHW * 255).round().clamp(0, 255).to(torch.uint8)
    if frames_FCHW.dtype != torch.uint8:
        raise VmcError(f"a video has values of {frames_FCHW.dtype}; they must be uint8, or floats in 0..1")
    return frames_FCHW
