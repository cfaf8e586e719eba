"""Image networks below a TRN: the published BNInception, and a small residual one for frames of 64 pixels.

Axes: N images, C channels, H and W.

Axes: N frames, C colours or features, H and W.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1024

# Channels of each block: 1x1, 3x3 (reduce, out), double 3x3 (reduce, out), pooled projection. A block without 1x1 and
# projection halves the resolution (stride 2). github.com/zhoubolei/TRN-pytorch, model_zoo/bninception.
BLOCKS: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
    "3a": (64, (64, 64), (64, 96), 32),
    "3b": (64, (64, 96), (64, 96), 64),
    "3c": (0, (128, 160), (64, 96), 0),
    "4a": (224, (64, 96), (96, 128), 128),
    "4b": (192, (96, 128), (96, 128), 128),
    "4c": (160, (128, 160), (128, 160), 128),
    "4d": (96, (128, 192), (160, 192), 128),
    "4e": (0, (128, 192), (192, 256), 0),
    "5a": (352, (192, 320), (160, 224), 128),
    "5b": (352, (192, 320), (192, 224), 128),
}


class BNInception(nn.Module):
    """Image features. Every convolution has a bias and a BatchNorm beside it, named `NAME` and `NAME_bn`."""

    def __init__(self) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, kernel=7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, kernel=3)
        channels = 192
        for name, (single, three, double, projection) in BLOCKS.items():
            block, stride = f"inception_{name}", 1 if single else 2
            if single:
                self._add(f"{block}_1x1", channels, single)
            self._add(f"{block}_3x3_reduce", channels, three[0])
            self._add(f"{block}_3x3", *three, kernel=3, stride=stride)
            self._add(f"{block}_double_3x3_reduce", channels, double[0])
            self._add(f"{block}_double_3x3_1", *double, kernel=3)
            self._add(f"{block}_double_3x3_2", double[1], double[1], kernel=3, stride=stride)
            if projection:
                self._add(f"{block}_pool_proj", channels, projection)
            channels = single + three[1] + double[1] + (projection or channels)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)

    def _add(self, name: str, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def _unit(self, name: str, x_NCHW: Tensor) -> Tensor:
        return torch.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x_NCHW)))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """features_NC, C = 1024, of images that are BGR, 0..255 less the channel means."""
        x_NCHW = self.pool(self._unit("conv1_7x7_s2", images_NCHW))
        x_NCHW = self.pool(self._unit("conv2_3x3", self._unit("conv2_3x3_reduce", x_NCHW)))
        for name in BLOCKS:
            x_NCHW = self._block(name, x_NCHW)
        return x_NCHW.mean((2, 3))

    def _block(self, name: str, x_NCHW: Tensor) -> Tensor:
        single, *_, projection = BLOCKS[name]
        block = f"inception_{name}"
        branches = OrderedDict()
        if single:
            branches["1x1"] = self._unit(f"{block}_1x1", x_NCHW)
        branches["3x3"] = self._unit(f"{block}_3x3", self._unit(f"{block}_3x3_reduce", x_NCHW))
        double = self._unit(f"{block}_double_3x3_reduce", x_NCHW)
        for part in (1, 2):
            double = self._unit(f"{block}_double_3x3_{part}", double)
        branches["double"] = double
        branches["pool"] = self._unit(f"{block}_pool_proj", _pooled(name, x_NCHW)) if projection else self.pool(x_NCHW)
        return torch.cat(list(branches.values()), dim=1)


def _pooled(name: str, x_NCHW: Tensor) -> Tensor:
    """The pooling before a projection: the average but in the last block, which takes the maximum."""
    if name == "5b":
        return nn.functional.max_pool2d(x_NCHW, 3, stride=1, padding=1, ceil_mode=True)
    return nn.functional.avg_pool2d(x_NCHW, 3, stride=1, padding=1, ceil_mode=True, count_include_pad=True)


CHANNELS = (16, 32, 64, 128)
"""Of the four stages, at 32, 16, 8 and 4 pixels."""
SMALL_BLOCKS = (1, 2, 2, 1)
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
        for stage, (channels, count) in enumerate(zip(CHANNELS, SMALL_BLOCKS, strict=True)):
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
