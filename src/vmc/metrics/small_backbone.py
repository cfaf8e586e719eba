"""A small residual image network for frames of 64 pixels: the backbone of the miniature's gesture classifier.

Axes: N frames, C colours or features, H and W.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (16, 32, 64, 128)
"""Of the four stages, at 32, 16, 8 and 4 pixels."""
BLOCKS = (1, 2, 2, 1)
PLACES, NARROW = 4 * 4, 48
SMALL_FEATURES = PLACES * NARROW
"""The last map is narrowed and kept whole: where a hand is tells one gesture from another."""


class SmallResNet(nn.Module):
    """features_NC of frames_NCHW, 64 pixels high and wide: normalised colours, and what moves; 0.4 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2 * 3, CHANNELS[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(CHANNELS[0])
        blocks: list[nn.Module] = []
        width = CHANNELS[0]
        for stage, (channels, count) in enumerate(zip(CHANNELS, BLOCKS, strict=True)):
            for place in range(count):
                blocks.append(Block(width, channels, stride=2 if stage and not place else 1))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Conv2d(width, NARROW, 1)

    def forward(self, frames_NCHW: Tensor) -> Tensor:
        """features_NC, C = `SMALL_FEATURES`, the places within each channel together."""
        # A third faster than the usual layout on a CPU.
        frames_NCHW = frames_NCHW.contiguous(memory_format=torch.channels_last)
        maps_NCHW = F.relu(self.stem_norm(self.stem(frames_NCHW)))
        return self.narrow(self.blocks(maps_NCHW)).flatten(1)


class Block(nn.Module):
    """Two convolutions of 3 x 3 beside an identity, or beside a mean over `stride` and a change of width."""

    def __init__(self, width: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.beside: nn.Module = nn.Identity()
        if stride > 1 or width != channels:
            mean = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.beside = nn.Sequential(mean, nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """maps_NCHW of `channels` channels, smaller by `stride`."""
        inner = F.relu(self.first_norm(self.first(maps_NCHW)))
        return F.relu(self.second_norm(self.second(inner)) + self.beside(maps_NCHW))
