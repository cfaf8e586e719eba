"""Which frames of a clip are taken, and how they are brought to the size that the model wants.

Axes: F frames, C colour channels, H rows, W columns.
"""

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vmc.errors import VmcError

Start = Literal["random", "first", "centre"]


class Window(NamedTuple):
    """Frames taken from a clip: their `indices`, of which the last `padded` repeat the clip's last frame."""

    indices: tuple[int, ...]
    padded: int


def check_window(*, frames: int, step: int, start: str) -> None:
    """Raises a VmcError naming the argument that no window can be made of."""
    if frames < 1:
        raise VmcError(f"data.frames is {frames}; it must be at least 1")
    if step < 1:
        raise VmcError(f"data.step is {step}; it must be at least 1 (1 takes consecutive frames)")
    if start not in get_args(Start):
        raise VmcError(f"data.start is {start!r}; it must be one of {', '.join(get_args(Start))}")


def window(total: int, *, frames: int, step: int, start: Start, generator: Generator) -> Window:
    """Frames `step` apart, in order; a clip that is too short is padded by its last frame.

    Args:
        total: frames that the clip has.
        frames: frames wanted.
        step: distance between frames, in frames of the clip; 1 takes consecutive ones.
        start: `random` draws among all starts at which the window fits, `first` takes frame 0, `centre` the middle.
        generator: used by `random` alone.

    Raises:
        VmcError: naming `data.frames`, `data.step` or `data.start`, or the clip has no frames.
    """
    check_window(frames=frames, step=step, start=start)
    if total < 1:
        raise VmcError(f"a clip has {total} frames; remove it or replace it by one that has at least 1")
    spare = max(0, total - 1 - (frames - 1) * step)
    first = {"first": 0, "centre": spare // 2}.get(start)
    if first is None:
        first = int(torch.randint(spare + 1, (1,), generator=generator))
    wanted = [first + place * step for place in range(frames)]
    return Window(tuple(min(index, total - 1) for index in wanted), sum(index >= total for index in wanted))


def resize_and_crop(frames_FCHW: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Frames scaled just so far that they cover the size, both sides by one factor, and cropped at their centre.

    Args:
        frames_FCHW: uint8.
        size: side of a square, or (height, width).

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
