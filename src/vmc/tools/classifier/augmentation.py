"""Changes of training clips that leave the gesture as it is: no flips, and never backwards.

All frames of a clip are changed alike, but for the noise. Draws are made on the CPU, so they are the same whatever
device the frames are on. Axes: B clips, F frames, C colours, H and W.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

ZOOM, SHIFT = 0.08, 0.07
"""Largest change of scale, as a factor beyond 1, and of place, in picture widths."""
GAIN, CHANNEL_GAIN, BRIGHTNESS, SATURATION = 0.2, 0.06, 20.0, 0.3
"""Largest changes of contrast, of a single channel, of all pixels in 255ths, and of distance from grey."""
BLUR, NOISE = 0.8, 6.0
"""Largest deviations of the blur, in pixels, and of the noise, in 255ths; half of the clips have neither."""


def changed(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    """The clips, 0..255, moved, coloured, blurred and with noise."""
    moved = _moved(frames_BFCHW, random)
    coloured = _coloured(moved, random)
    return _with_noise(_blurred(coloured, random), random).clamp(0, 255)


def _uniform(random: Generator, count: int, size: float, device: torch.device) -> Tensor:
    return ((torch.rand(count, generator=random) * 2 - 1) * size).to(device)


def _moved(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    count, frames = frames_BFCHW.shape[:2]
    device = frames_BFCHW.device
    scale_B = 1 / (1 + _uniform(random, count, ZOOM, device))
    x_B, y_B = (2 * _uniform(random, count, SHIFT, device) for _ in range(2))
    zero_B = torch.zeros(count, device=device)
    rows = (torch.stack([scale_B, zero_B, x_B], 1), torch.stack([zero_B, scale_B, y_B], 1))
    pictures = frames_BFCHW.flatten(1, 2)
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved.unflatten(1, (frames, -1))


def _coloured(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    count, device = len(frames_BFCHW), frames_BFCHW.device
    gain_B, brightness_B, saturation_B = (
        _uniform(random, count, size, device).view(-1, 1, 1, 1, 1) for size in (GAIN, BRIGHTNESS, SATURATION)
    )
    gain_BC = 1 + _uniform(random, 3 * count, CHANNEL_GAIN, device).view(-1, 1, 3, 1, 1)
    grey = frames_BFCHW.mean(2, keepdim=True)
    saturated = grey + (1 + saturation_B) * (frames_BFCHW - grey)
    return (saturated - 127.5) * (gain_BC * (1 + gain_B)) + (127.5 + brightness_B)


def _blurred(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    """A Gaussian of a deviation of its own for each clip, none for half of them."""
    count, frames, colours = frames_BFCHW.shape[:3]
    deviation_B = _uniform(random, count, BLUR, frames_BFCHW.device).clamp(min=1e-3)
    offsets = torch.arange(-2.0, 3.0, device=frames_BFCHW.device)
    kernel_B5 = torch.softmax(-(offsets**2) / (2 * deviation_B[:, None] ** 2), 1).repeat_interleave(frames * colours, 0)
    maps = frames_BFCHW.reshape(1, -1, *frames_BFCHW.shape[3:])
    for shape, padding in (((-1, 1, 5, 1), (0, 0, 2, 2)), ((-1, 1, 1, 5), (2, 2, 0, 0))):
        maps = F.conv2d(F.pad(maps, padding, mode="replicate"), kernel_B5.view(shape), groups=maps.shape[1])
    return maps.view_as(frames_BFCHW)


def _with_noise(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    device = frames_BFCHW.device
    deviation_B = _uniform(random, len(frames_BFCHW), NOISE, device).clamp(min=0).view(-1, 1, 1, 1, 1)
    return frames_BFCHW + deviation_B * torch.randn(frames_BFCHW.shape, generator=random).to(device)
