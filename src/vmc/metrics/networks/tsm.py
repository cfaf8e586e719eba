"""The online temporal shift module (Lin et al., ICCV 2019): a MobileNetV2 whose blocks see the frame before.

Layout and names of github.com/mit-han-lab/temporal-shift-module, online demo. Axes: B videos, S segments, N images,
C colors or channels, H and W, K classes.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.transforms.functional import normalize

from vmc.metrics.base import IMAGENET, resize_short_side
from vmc.metrics.networks.files import fill, read_weights
from vmc.utils.errors import VmcError

SHARE = 8  # a channel in this many is taken from the frame before
SHORT_SIDE, CROP = 256, (224, 224)  # px


def shift_channels(x_NCHW: Tensor, segments: int) -> Tensor:
    """Take the first eighth of the channels from the frame before, zero for a video's first."""
    x_BSCHW = x_NCHW.unflatten(0, (-1, segments))
    count = x_NCHW.shape[1] // SHARE
    before = torch.zeros_like(x_BSCHW[:, :, :count])
    before[:, 1:] = x_BSCHW[:, :-1, :count]
    return torch.cat([before, x_BSCHW[:, :, count:]], dim=2).flatten(0, 1)


class OnlineTSM(nn.Module):
    """Frames to gesture: the mean over segments of what the network says at each, having seen those before."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.features = mobilenet_v2().features
        for block in self.features:
            if isinstance(block, InvertedResidual):  # the published names count layers, torchvision's groups of them
                groups = [part if isinstance(part, nn.Sequential) else [part] for part in block.conv]
                block.conv = nn.Sequential(*(layer for group in groups for layer in group))
        self.classifier = nn.Linear(1280, classes)

    def forward(self, frames_BSCHW: Tensor) -> Tensor:
        """logits_BK of the segments' frames, RGB uint8 of any size."""
        batch, segments = frames_BSCHW.shape[:2]
        images = resize_short_side(frames_BSCHW.flatten(0, 1), SHORT_SIDE, crop=CROP) / 255
        x_NCHW = normalize(images, *IMAGENET)
        for block in self.features:
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                x_NCHW = x_NCHW + block.conv(shift_channels(x_NCHW, segments))
            else:
                x_NCHW = block(x_NCHW)
        return self.classifier(x_NCHW.mean((2, 3))).view(batch, segments, -1).mean(1)


def load_tsm(path: Path, *, classes: int) -> OnlineTSM:
    """The online TSM from the published checkpoint, a bare state dict; a damaged or foreign one is a `VmcError`."""
    content = read_weights(path, kind="TSM checkpoint", expected="mobilenetv2_jester_online.pth.tar")
    if not isinstance(content, Mapping) or "classifier.weight" not in content:
        raise VmcError(f"{path} holds no classifier.weight; it is not the online TSM's bare state dict")
    with torch.device("meta"):
        model = OnlineTSM(classes=classes)
    return fill(model, content, str(path), fits=f"the online TSM of {classes} classes")
