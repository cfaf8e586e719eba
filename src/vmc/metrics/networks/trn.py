"""Temporal relation networks (Zhou et al., ECCV 2018), which classify gestures; github.com/zhoubolei/TRN-pytorch.

The image network is the published BNInception, or a small residual network for frames of 64 pixels.
Axes: B videos, S = 8 segments, N images, C colors, channels or features, H and W, K classes.
"""

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from vmc.metrics.base import resize_short_side
from vmc.metrics.networks.files import fill, read_weights
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator
from vmc.utils.tensor_files import COUNTER

SEGMENTS = 8
RELATIONS = 3  # of each scale but the longest, in evaluation; the original draws them anew for every batch
PREFIX = "module."

# Channels of each block: 1x1, 3x3 (reduce, out), double 3x3 (reduce, out), pooled projection. A block without 1x1 and
# projection halves the resolution (stride 2). TRN-pytorch, model_zoo/bninception.
INCEPTION: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
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


class Backbone(nn.Module):
    """Base class of image networks, whose output is features_NC, with the preparation of frames that they expect."""

    features: int  # C
    width: int  # of a frame's feature below the relations, and of a relation's hidden layer
    short_side: int  # px to which the shorter side of a frame is resized, bilinear
    crop: int  # px of the square in its center that is kept
    bgr: bool  # whether blue is the first channel
    mean: list[float]  # of each channel, in the order of channels, on a scale of 0..255
    deviation: list[float]
    moving = False  # whether three more channels hold each frame's difference from the mean frame, which shows motion


class BNInception(Backbone):
    """The published network. Every convolution `NAME` has a bias and is followed by a BatchNorm, `NAME_bn`."""

    features, width, short_side, crop = 1024, 256, 256, 224
    bgr, mean, deviation = True, [104.0, 117.0, 128.0], [1.0, 1.0, 1.0]

    def __init__(self) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, kernel=7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, kernel=3)
        channels = 192
        for name, (single, three, double, projection) in INCEPTION.items():
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

    def _units(self, x_NCHW: Tensor, *names: str) -> Tensor:
        for name in names:
            x_NCHW = torch.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x_NCHW)))
        return x_NCHW

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Compute features_NC, C = 1024, of images that are BGR, 0..255 minus the channel means."""
        x_NCHW = self.pool(self._units(images_NCHW, "conv1_7x7_s2"))
        x_NCHW = self.pool(self._units(x_NCHW, "conv2_3x3_reduce", "conv2_3x3"))
        for name, (single, *_, projection) in INCEPTION.items():
            block = f"inception_{name}"
            branches = [self._units(x_NCHW, f"{block}_1x1")] if single else []
            branches.append(self._units(x_NCHW, f"{block}_3x3_reduce", f"{block}_3x3"))
            double = (f"{block}_double_3x3_{part}" for part in ("reduce", 1, 2))
            branches.append(self._units(x_NCHW, *double))
            # Before a projection, features are averaged; the last block takes the maximum instead.
            around = F.max_pool2d if name == "5b" else F.avg_pool2d
            pooled = around(x_NCHW, 3, stride=1, padding=1, ceil_mode=True) if projection else self.pool(x_NCHW)
            branches.append(self._units(pooled, f"{block}_pool_proj") if projection else pooled)
            x_NCHW = torch.cat(branches, dim=1)
        return x_NCHW.mean((2, 3))


STAGES = ((16, 1), (32, 2), (64, 2), (128, 1))  # channels and blocks of SmallResNet, at 32, 16, 8 and 4 pixels
NARROW = 48  # channels of the last map, which is not pooled: gestures differ in where the hand is


class SmallResNet(Backbone):
    """A residual network of 0.4 M parameters for frames of 64 px: their colors, and differences from the mean frame."""

    features, width, short_side, crop = 4 * 4 * NARROW, 128, 64, 64
    bgr, mean, deviation, moving = False, [127.5, 127.5, 127.5], [64.0, 64.0, 64.0], True

    def __init__(self) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.stem = nn.Conv2d(2 * 3, width, 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        for stage, (channels, count) in enumerate(STAGES):
            for place in range(count):
                blocks.append(Block(width, channels, stride=2 if stage and not place else 1))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Conv2d(width, NARROW, 1)

    def forward(self, frames_NCHW: Tensor) -> Tensor:
        """Compute features_NC: all places of all channels."""
        # On a CPU a third faster than the default layout.
        frames_NCHW = frames_NCHW.contiguous(memory_format=torch.channels_last)
        return self.narrow(self.blocks(F.relu(self.stem_norm(self.stem(frames_NCHW))))).flatten(1)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a skip connection, which pools by `stride` and changes the width where needed."""

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
        """Compute maps_NCHW of `channels` channels, with the resolution divided by `stride`."""
        inner = F.relu(self.first_norm(self.first(maps_NCHW)))
        return F.relu(self.second_norm(self.second(inner)) + self.beside(maps_NCHW))


# By the `arch` that a checkpoint names.
BACKBONES: dict[str, type[Backbone]] = {"BNInception": BNInception, "SmallResNet": SmallResNet}


def _tuples(scale: int) -> list[list[int]]:
    """Draw up to three ordered tuples of `scale` segments, always the same ones."""
    every = list(itertools.combinations(range(SEGMENTS), scale))
    order = torch.randperm(len(every), generator=generator(0, scale, "relations")).tolist()
    return [list(every[index]) for index in sorted(order[:RELATIONS])]


SCALES = range(SEGMENTS, 1, -1)
TUPLES = [_tuples(scale) for scale in SCALES]


class Relations(nn.Module):
    """Multi-scale relations: for every scale from 8 frames down to 2, a network over ordered tuples of frames.

    The original draws at most three tuples of each scale with NumPy's global generator, in evaluation too, so its
    scores differ from run to run. Here the tuples are drawn once, with a fixed seed.
    """

    def __init__(self, *, classes: int, width: int) -> None:
        super().__init__()
        self.tuples = TUPLES
        self.fc_fusion_scales = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(scale * width, width), nn.ReLU(), nn.Linear(width, classes))
            for scale in SCALES
        )

    def forward(self, features_BSC: Tensor) -> Tensor:
        """Compute logits_BK, summed over scales and tuples."""
        scales = zip(self.fc_fusion_scales, self.tuples, strict=True)
        logits = [network(features_BSC[:, chosen].flatten(1)) for network, tuples in scales for chosen in tuples]
        return torch.stack(logits).sum(0)


class TRN(nn.Module):
    """An image network, whose features are projected to 256 or fewer, and relations over 8 segments."""

    def __init__(self, *, arch: str, classes: int) -> None:
        super().__init__()
        if arch not in BACKBONES:
            raise VmcError(f"the TRN checkpoint's arch is '{arch}'; known are {', '.join(BACKBONES)}")
        self.backbone = BACKBONES[arch]
        self.base_model = self.backbone()
        self.new_fc = nn.Linear(self.backbone.features, self.backbone.width)
        self.consensus = Relations(classes=classes, width=self.backbone.width)

    def forward(self, frames_BSCHW: Tensor) -> Tensor:
        """Compute logits_BK of the segments' frames, RGB uint8 of any size."""
        batch, segments = frames_BSCHW.shape[:2]
        images_BSCHW = self.prepare(frames_BSCHW.flatten(0, 1)).unflatten(0, (batch, segments))
        if self.backbone.moving:
            difference_BSCHW = images_BSCHW - images_BSCHW.mean(1, keepdim=True)
            images_BSCHW = torch.cat([images_BSCHW, difference_BSCHW], 2)
        features = self.new_fc(self.base_model(images_BSCHW.flatten(0, 1)))
        return self.consensus(features.view(batch, segments, -1))

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Prepare frames for the backbone. They are never mirrored, which would swap left and right gestures."""
        wanted = self.backbone
        cropped = resize_short_side(frames_NCHW, wanted.short_side, crop=(wanted.crop, wanted.crop))
        return normalize(cropped.flip(1) if wanted.bgr else cropped, wanted.mean, wanted.deviation)


def segment_indices(frames: int, segments: int = SEGMENTS) -> list[int]:
    """Indices of the middle frames of `segments` equal parts: int(N / S / 2 + N / S * x)."""
    return [int(frames / segments / 2 + frames / segments * place) for place in range(segments)]


def load_trn(path: Path, *, classes: int) -> TRN:
    """Load a TRN from a checkpoint in the published format; other files raise a `VmcError`.

    The container is `{epoch, arch, state_dict, best_prec1}`. Names may begin with `module.`, BatchNorm tensors may have
    the shape (1, C), and `num_batches_tracked` may be missing.
    """
    content = read_weights(path, kind="TRN checkpoint", expected="a .pth.tar file of a TRN", key="state_dict")
    arch = str(content.get("arch", "BNInception"))
    found = {str(name).removeprefix(PREFIX): tensor for name, tensor in content["state_dict"].items()}
    state = {
        name: tensor[0] if "_bn." in name and tensor.ndim == 2 and len(tensor) == 1 else tensor
        for name, tensor in found.items()
        if not name.endswith(COUNTER)
    }
    remedy = "give the labels that it was trained for, or get the file again"
    with torch.device("meta"):
        model = TRN(arch=arch, classes=classes)
    return fill(model, state, str(path), fits=f"a TRN of arch {arch} and {classes} classes", remedy=remedy)


def save_trn(model: TRN, path: Path, *, arch: str, epoch: int, accuracy: float) -> None:
    """Write a checkpoint in the published format, with the accuracy in percent."""
    state = {PREFIX + name: tensor.cpu() for name, tensor in model.state_dict().items()}
    torch.save({"epoch": epoch, "arch": arch, "state_dict": state, "best_prec1": accuracy}, path)
