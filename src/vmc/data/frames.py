"""Which frames of a clip are taken, and how they are brought to the size that the model wants.

Axes: F frames, C color channels, H rows, W columns.
"""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vmc.utils.errors import VmcError

Start = Literal["random", "first", "centre"]

MAX_FRAMES = 1000
"""Frames of a window: no base model draws nearly as many at once, and a mistyped number must not fill the memory."""
_ROUNDING = 0.25
"""Share of the interval before a frame by which a moment may lie before the frame and still mean it: containers round
timestamps, a GIF's to hundredths of a second."""


class Window(NamedTuple):
    """Frames taken from a clip: their `indices`, of which the last `padded` repeat the clip's last frame."""

    indices: tuple[int, ...]
    padded: int


def check_window(*, frames: int, fps: float, start: str) -> None:
    """Raises a VmcError naming the argument that no window can be made of."""
    if not isinstance(frames, int) or not 1 <= frames <= MAX_FRAMES:
        most = f"from 1 to {MAX_FRAMES}, as windows lie in memory"
        raise VmcError(f"data.frames is {frames}; it must be a whole number {most}")
    check_rate("data.fps", fps)
    if start not in get_args(Start):
        raise VmcError(f"data.start is {start!r}; it must be one of {', '.join(get_args(Start))}")


def check_rate(key: str, rate: float) -> None:
    """Raises a VmcError naming the key whose value is no rate in frames a second."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise VmcError(f"{key} is {rate}; it must be a number greater than 0, in frames a second, for example 12")


def even_times(total: int, rate: float) -> list[float]:
    """The times, in seconds, of `total` frames of which `rate` are shown in a second."""
    return [index / rate for index in range(total)]


def typical_interval(times: Sequence[float]) -> float:
    """Seconds from one frame to the next, the median; 0 for a clip of one frame."""
    return statistics.median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else 0.0


def is_slower(times: Sequence[float], fps: float) -> bool:
    """Whether a clip has fewer frames a second than are wanted, so that each of its frames is taken once."""
    return typical_interval(times) * fps > 1


def window(times: Sequence[float], *, frames: int, fps: float, start: Start, generator: Generator) -> Window:
    """The frames that are shown at `fps` moments a second, in order; a clip that is too short is padded by its last.

    A frame is never shown twice for want of others: of a clip that is slower than `fps`, each frame is taken once.

    Args:
        times: when each frame of the clip is shown, seconds, increasing.
        frames: frames wanted.
        fps: moments a second at which they are taken.
        start: `random` draws among all frames at which a whole window begins, `first` takes frame 0, `centre` the
            middle of them.
        generator: source of the draw for `random`.
    """
    check_window(frames=frames, fps=fps, start=start)
    if len(times) == 1 or is_slower(times, fps):
        times = even_times(len(times), fps)
    after = times[-1] + (typical_interval(times) or 1 / fps)  # when the last frame is no longer shown
    # From when on a moment means a frame, and last, is past the clip.
    onsets = [times[0], *(later - _ROUNDING * (later - earlier) for earlier, later in pairwise([*times, after]))]
    spare = max(0, bisect_left(times, onsets[-1] - (frames - 1) / fps) - 1)
    first = {"first": 0, "centre": spare // 2}.get(start)
    if first is None:
        first = int(torch.randint(spare + 1, (1,), generator=generator))
    shown = [bisect_right(onsets, times[first] + place / fps) - 1 for place in range(frames)]
    return Window(tuple(min(index, len(times) - 1) for index in shown), sum(index >= len(times) for index in shown))


def resize_and_crop(frames_FCHW: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Frames scaled just so far that they cover the size, both sides by one factor, and cropped at their centre.

    Args:
        frames_FCHW: uint8.
        size: side of a square, or (height, width), px.

    Returns:
        frames_FCHW, uint8, at that size.
    """
    height, width = (size, size) if isinstance(size, int) else size
    source_height, source_width = frames_FCHW.shape[2:]
    scale = max(height / source_height, width / source_width)
    scaled = max(height, round(source_height * scale)), max(width, round(source_width * scale))
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    # Frame by frame: a long clip in floating point at its own size would take gigabytes.
    resized = [to_uint8(resize(frame_CHW[None], scaled)) for frame_CHW in frames_FCHW]
    return torch.cat(resized)[:, :, top : top + height, left : left + width].contiguous()


def resize(frames_FCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames as floats at another size, bilinear and antialiased."""
    frames_FCHW = frames_FCHW.float()
    if frames_FCHW.shape[2:] == size:
        return frames_FCHW
    return F.interpolate(frames_FCHW, size, mode="bilinear", antialias=True, align_corners=False)


def to_uint8(frames_FCHW: Tensor) -> Tensor:
    """Frames of 0 to 255 as uint8, rounded."""
    return frames_FCHW.round().clamp(0, 255).to(torch.uint8)
