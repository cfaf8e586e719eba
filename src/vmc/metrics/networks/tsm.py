"""The online temporal shift module (Lin et al., ICCV 2019): a MobileNetV2 whose blocks see the frame before.

Layout and channels of github.com/mit-han-lab/temporal-shift-module, online demo. Axes: B videos, S segments, N images,
C colours or channels, H and W, K classes.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from vmc.metrics.base import resized_centre
from vmc.utils.errors import VmcError, first_line
from vmc.utils.tensor_files import misfit

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Of MobileNetV2 (Sandler et al., 2018, Table 2): expansion, channels, blocks, stride of the first."""
STEM, LAST = 32, 1280
SHARE = 8  # a channel in this many is taken from the frame before
SHORT_SIDE, CROP = 256, (224, 224)  # px
MEAN = (0.485, 0.456, 0.406)  # ImageNet's
DEVIATION = (0.229, 0.224, 0.225)


class Block(nn.Module):
    """An inverted residual. One that keeps its size takes an eighth of its channels from the frame before."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        widen = [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x_NCHW: Tensor, segments: int) -> Tensor:
        """x_NCHW of consecutive frames, `segments` of each video."""
        if not self.residual:
            return self.conv(x_NCHW)
        return x_NCHW + self.conv(shifted(x_NCHW, segments))


def shifted(x_NCHW: Tensor, segments: int) -> Tensor:
    """The first eighth of the channels comes from the frame before, zero for a video's first."""
    x_BSCHW = x_NCHW.unflatten(0, (-1, segments))
    count = x_NCHW.shape[1] // SHARE
    before = torch.zeros_like(x_BSCHW[:, :, :count])
    before[:, 1:] = x_BSCHW[:, :-1, :count]
    return torch.cat([before, x_BSCHW[:, :, count:]], dim=2).flatten(0, 1)


def _unit(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class OnlineTSM(nn.Module):
    """Frames to gesture: the mean over segments of what the network says at each, having seen those before."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        features: list[nn.Module] = [_unit(3, STEM, kernel=3, stride=2)]
        inputs = STEM
        for expansion, outputs, count, stride in STAGES:
            for place in range(count):
                features.append(Block(inputs, outputs, stride=1 if place else stride, expansion=expansion))
                inputs = outputs
        features.append(_unit(inputs, LAST, kernel=1))
        self.features = nn.ModuleList(features)
        self.classifier = nn.Linear(LAST, classes)

    def forward(self, frames_BSCHW: Tensor) -> Tensor:
        """logits_BK of the segments' frames, RGB uint8 of any size."""
        batch, segments = frames_BSCHW.shape[:2]
        x_NCHW = self.prepare(frames_BSCHW.flatten(0, 1))
        for feature in self.features:
            x_NCHW = feature(x_NCHW, segments) if isinstance(feature, Block) else feature(x_NCHW)
        return self.classifier(x_NCHW.mean((2, 3))).view(batch, segments, -1).mean(1)

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Frames as the network wants them."""
        images = resized_centre(frames_NCHW, short_side=SHORT_SIDE, crop=CROP) / 255
        mean, deviation = (images.new_tensor(part).view(1, 3, 1, 1) for part in (MEAN, DEVIATION))
        return (images - mean) / deviation


def load_tsm(path: Path, *, classes: int) -> OnlineTSM:
    """The online TSM in eval mode from the published checkpoint, a bare state dict.

    Raises:
        VmcError: no such file, one that is truncated or would run code, or tensors that do not fit.
    """
    if not path.is_file():
        raise VmcError(f"the TSM checkpoint {path} does not exist; give the path of mobilenetv2_jester_online.pth.tar")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise VmcError(f"the TSM checkpoint {path} does not load ({reason}); get the file again") from error
    model = OnlineTSM(classes=classes)
    counters = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")}
    if not isinstance(content, Mapping) or "classifier.weight" not in content:
        raise VmcError(f"{path} holds no classifier.weight; it is not the online TSM's bare state dict")
    state = {**counters, **content}
    if problem := misfit(model, state):
        raise VmcError(f"{path} does not fit the online TSM of {classes} classes: {problem}; get the file again")
    model.load_state_dict(state)
    return model.requires_grad_(False).eval()
