"""Augmentation that does not change a clip's motion: small crops, shifts, turns and color changes, equal in all frames.

Nothing here turns a clip far or upside down or plays it backwards, because Down would become Up and Forward would
become Backward. Mirroring swaps Left and Right, so the motion must allow it.

Axes: F frames, C color channels (red, green, blue), H rows, W columns.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vmc.utils.errors import VmcError

_MUCH_LARGER = 1.33
"""Ratio of source to target from which point sampling would skip pixels, so the source is resized first."""

_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64)
"""RGB to luma and the two axes of the color plane (NTSC)."""
_PAIRS = {"crop_scale": (0.05, 1.0), "crop_ratio": (0.5, 2.0)}
"""Lowest and highest values of the settings that are pairs."""
_HIGHEST = {
    "rotate": (15.0, " degrees, because large turns make Down look like Up"),
    "translate": (0.3, ", or the motion leaves the picture"),
    **dict.fromkeys(("brightness", "contrast", "saturation"), (0.9, "")),
    "hue": (0.5, ", half the color circle"),
}
"""Highest values of the other settings, and why."""


class Draw(NamedTuple):
    """The changes to one clip; `Augmentation` has their ranges."""

    crop_height: float  # share of the height of the plain center crop
    crop_width: float  # share of its width
    shift_down: float  # of the crop's center, in shares as above
    shift_right: float
    turn: float  # radians
    brightness: float
    contrast: float
    saturation: float
    hue: float  # radians
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crop, shift and turn in one resampling, then color changes, the same for every frame of a clip.

    The crop lies within the part of the frame that plain resizing and center cropping would show. Where shift and turn
    reach beyond the frame, its mirror image continues it, so that no black corners are learned.

    A VmcError names a value outside its range.
    """

    crop_scale: tuple[float, float] = (0.8, 1.0)  # share of that part's area which is kept, lowest and highest
    crop_ratio: tuple[float, float] = (0.9, 1.1)  # width to height relative to the target's; 1 keeps circles round
    translate: float = 0.05  # greatest shift, as a share of the crop's width and height
    rotate: float = 5.0  # greatest turn to either side, degrees
    brightness: float = 0.1  # greatest change of the factor on all values
    contrast: float = 0.1  # greatest change of the factor on the distance from the clip's mean gray
    saturation: float = 0.1  # greatest change of the factor on the distance from gray
    hue: float = 0.02  # greatest turn of the color circle to either side, as a share of the circle

    def __post_init__(self) -> None:
        # Configs give lists and integers, but equal settings must have equal texts, which are part of cache keys.
        for name, (lowest, highest) in _PAIRS.items():
            pair = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, pair)
            if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest:
                shown, within = ", ".join(f"{value:g}" for value in pair), f"{lowest:g} and {highest:g}"
                raise VmcError(f"data.augmentation.{name} is [{shown}]; it must be [lowest, highest] within {within}")
        for name, (highest, why) in _HIGHEST.items():
            value = float(getattr(self, name))
            object.__setattr__(self, name, value)
            if not 0 <= value <= highest:
                between = f"must lie between 0 (none) and {highest:g}{why}"
                raise VmcError(f"data.augmentation.{name} is {value:g}; it {between}")

    def __call__(self, frames_FCHW: Tensor, size: int, *, mirror: bool, generator: Generator) -> Tensor:
        """Augment frames_FCHW, uint8, to a square of `size` px. `mirror` swaps left and right in half of the draws."""
        draw = self.draw(mirror=mirror, generator=generator)
        moved_FCHW = torch.cat([_move(frame_CHW[None], size, draw) for frame_CHW in frames_FCHW])
        return to_uint8(_recolor(moved_FCHW, draw))

    def draw(self, *, mirror: bool, generator: Generator) -> Draw:
        """Draw the changes of a clip, always from the same number of random values, whatever the settings."""
        values = torch.rand(12, generator=generator, dtype=torch.float64).tolist()
        area, ratio, down, right, shift_down, shift_right, turn, *colors, hue, coin = values
        area = _between(area, *self.crop_scale)
        ratio = math.exp(_between(ratio, *map(math.log, self.crop_ratio)))
        height, width = min(1.0, math.sqrt(area / ratio)), min(1.0, math.sqrt(area * ratio))
        shift_down, shift_right = (_between(value, -1, 1) * self.translate for value in (shift_down, shift_right))
        changes = zip((self.brightness, self.contrast, self.saturation), colors, strict=True)
        brightness, contrast, saturation = (1 + change * _between(value, -1, 1) for change, value in changes)
        down = _between(down, -0.5, 0.5) * (1 - height) + shift_down * height
        right = _between(right, -0.5, 0.5) * (1 - width) + shift_right * width
        turn = math.radians(_between(turn, -self.rotate, self.rotate))
        hue = 2 * math.pi * _between(hue, -self.hue, self.hue)
        mirrored = mirror and coin < 0.5
        return Draw(height, width, down, right, turn, brightness, contrast, saturation, hue, mirrored)


def _move(frames_FCHW: Tensor, size: int, draw: Draw) -> Tensor:
    """Crop, shift, turn and mirror in one affine resampling, as floats."""
    height, width = frames_FCHW.shape[2:]
    # Pixels of the source per pixel of the target in the plain center crop.
    unit = min(height / size, width / size)
    pixels_down, pixels_right = unit * size * draw.crop_height, unit * size * draw.crop_width
    shrink = min(pixels_down / size, pixels_right / size)
    frames_FCHW = frames_FCHW.float()
    if shrink > _MUCH_LARGER:
        frames_FCHW = resize(frames_FCHW, (max(1, round(height / shrink)), max(1, round(width / shrink))))
    cos, sin = math.cos(draw.turn), math.sin(draw.turn)
    across, along = (-pixels_right if draw.mirrored else pixels_right), pixels_down
    # Rows are x and y in the source, columns x, y and 1 in the target, all from -1 to 1. The turn is in pixels of the
    # source, which are square, and only then divided by its sides.
    affine = torch.tensor(
        [
            [across * cos / width, -along * sin / width, 2 * draw.shift_right * unit * size / width],
            [across * sin / height, along * cos / height, 2 * draw.shift_down * unit * size / height],
        ]
    )
    grid = F.affine_grid(affine[None], [1, 1, size, size], align_corners=False)
    # Bicubic, because bilinear interpolation blurs at this scale, and the model would learn the blur.
    return F.grid_sample(frames_FCHW, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def _recolor(frames_FCHW: Tensor, draw: Draw) -> Tensor:
    """Hue and saturation as one linear map about gray, then contrast about the clip's mean gray, then brightness."""
    cos, sin = draw.saturation * math.cos(draw.hue), draw.saturation * math.sin(draw.hue)
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    matrix = (torch.linalg.inv(_YIQ) @ turn @ _YIQ).to(frames_FCHW.dtype)
    # One mean for the whole clip, or it would flicker when something bright appears.
    mean_gray = float((frames_FCHW.mean((0, 2, 3), dtype=torch.float64) * _YIQ[0]).sum())
    recolored_FCHW = torch.einsum("dc,fchw->fdhw", matrix, frames_FCHW)
    return ((recolored_FCHW - mean_gray) * draw.contrast + mean_gray) * draw.brightness


def resize(frames_FCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames as floats at another size, bilinear and antialiased."""
    frames_FCHW = frames_FCHW.float()
    if frames_FCHW.shape[2:] == size:
        return frames_FCHW
    return F.interpolate(frames_FCHW, size, mode="bilinear", antialias=True, align_corners=False)


def to_uint8(frames_FCHW: Tensor) -> Tensor:
    """Frames of 0 to 255 as uint8, rounded."""
    return frames_FCHW.round().clamp(0, 255).to(torch.uint8)


def _between(value: float, low: float, high: float) -> float:
    """Interpolate between `low` and `high` by a value of 0 to 1."""
    return low + (high - low) * value
