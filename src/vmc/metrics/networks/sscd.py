"""SSCD (Pizzi et al., 2022): descriptors in which a copied image lies near its original, from the published files.

Axes: N images, C colours, H and W, D descriptor width (512 for the default model).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from vmc.metrics.networks.torchscript import first_line, is_torchscript, read_tensors
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.tensor_files import misfit

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, as the published models were trained
DEVIATION = (0.229, 0.224, 0.225)
SHORT_SIDE = 288  # px; github.com/facebookresearch/sscd-copy-detection, README
POWER = 3.0
STEM = 64
"""Channels of the published networks' first stage."""
PREFIX = "backbone."
LAST = f"{PREFIX}fc.weight"
"""The tensor by which torchvision's names are known."""


def generalized_mean(features_NCHW: Tensor, *, power: float = POWER) -> Tensor:
    """features_NC: the generalized mean over places (Radenović et al., 2018); 1 is the average, more leans up."""
    return features_NCHW.clamp(min=1e-6).pow(power).mean((2, 3)).pow(1 / power)


class GeM(nn.Module):
    """`generalized_mean` in place of a ResNet's average pooling; it has no parameters."""

    def forward(self, features_NCHW: Tensor) -> Tensor:
        """features_NC11."""
        return generalized_mean(features_NCHW)[..., None, None]


class SSCDNetwork(nn.Module):
    """A torchvision ResNet with generalized-mean pooling and a linear descriptor, normalised to length one.

    Args:
        bottleneck: whether its blocks are bottlenecks.
        layers: blocks of the four stages.
        width: of the descriptor.
        stem: channels before the first stage; each stage has twice the former's. torchvision's own is 64.
    """

    def __init__(self, *, bottleneck: bool, layers: list[int], width: int, stem: int = STEM) -> None:
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        self.backbone = ResNet(block, layers, num_classes=width)
        if stem != STEM:
            _narrow(self.backbone, block, layers, stem)
        self.backbone.avgpool = GeM()

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> "SSCDNetwork":
        """The network that a state fits, its depth and widths read from the tensors, in single precision.

        Raises:
            RuntimeError: a tensor is missing, too many or of another shape.
        """
        stem = state[f"{PREFIX}conv1.weight"].shape[0] if f"{PREFIX}conv1.weight" in state else STEM
        bottleneck, width = f"{PREFIX}layer1.0.conv3.weight" in state, state[f"{PREFIX}fc.weight"].shape[0]
        with torch.device("meta"):  # a file may name any size
            blank = cls(bottleneck=bottleneck, layers=_layers(state), width=width, stem=stem)
        if problem := misfit(blank, state):
            raise RuntimeError(problem)
        network = cls(bottleneck=bottleneck, layers=_layers(state), width=width, stem=stem)
        network.load_state_dict(dict(state))
        return network

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """descriptors_ND of prepared images."""
        return F.normalize(self.backbone(images_NCHW))


def _narrow(backbone: ResNet, block: type[BasicBlock | Bottleneck], layers: list[int], stem: int) -> None:
    """Gives a ResNet other channels in every stage, all else as torchvision builds it."""
    backbone.inplanes = stem
    backbone.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
    backbone.bn1 = nn.BatchNorm2d(stem)
    for stage, blocks in enumerate(layers):
        made = backbone._make_layer(block, stem * 2**stage, blocks, stride=1 if stage == 0 else 2)
        setattr(backbone, f"layer{stage + 1}", made)
    backbone.fc = nn.Linear(8 * stem * block.expansion, backbone.fc.out_features)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _layers(state: Mapping[str, Tensor]) -> list[int]:
    """Blocks of the four stages."""
    blocks = {tuple(name.split(".")[1:3]) for name in state if name.startswith(f"{PREFIX}layer")}
    return [sum(stage == f"layer{number}" for stage, _ in blocks) for number in (1, 2, 3, 4)]


def normalized(images_NCHW: Tensor) -> Tensor:
    """Images of 0 to 1 on the scale that the network wants."""
    mean, deviation = (images_NCHW.new_tensor(part).view(1, 3, 1, 1) for part in (MEAN, DEVIATION))
    return (images_NCHW - mean) / deviation


class CopyDescriptor:
    """Frames to descriptors whose dot product is the copy similarity.

    Args:
        network: prepared images to descriptors.
        short_side: px that frames are resized to, their proportions kept.
    """

    def __init__(self, network: nn.Module, *, short_side: int = SHORT_SIDE) -> None:
        self.network, self.short_side = network, short_side

    @torch.no_grad()
    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        """descriptors_ND of RGB uint8 frames of any size."""
        return self.network(self.prepare(frames_NCHW))

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Frames as the network wants them."""
        height, width = frames_NCHW.shape[-2:]
        scale = self.short_side / min(height, width)
        size = [max(self.short_side, round(side * scale)) for side in (height, width)]
        images = frames_NCHW.float() / 255
        images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return normalized(images)


def load_sscd(path: Path, *, short_side: int = SHORT_SIDE, trust: bool = False) -> CopyDescriptor:
    """A descriptor from a published file: `NAME.torchvision.pt`, or `NAME.torchscript.pt`.

    Either is read as tensors, which may be of half precision, with names as torchvision's; the depth and the widths are
    read from them. A TorchScript archive with other names describes its network in code, which can do anything.

    Args:
        path: of the file.
        short_side: px that frames are resized to.
        trust: run the code of such an archive.

    Raises:
        VmcError: no such file, a truncated or foreign one, or one that would run code.
    """
    if not path.is_file():
        raise VmcError(f"the SSCD file {path} does not exist; give the path of a .torchvision.pt or .torchscript.pt")
    network = _torchscript(path, trust=trust) if is_torchscript(path) else _torchvision(path)
    return CopyDescriptor(network.eval(), short_side=short_side)


def _torchscript(path: Path, *, trust: bool) -> nn.Module:
    try:
        state = read_tensors(path)
        if LAST in state:
            return _network(path, state)
        reason = f"it has no {LAST}"
    except UnpicklingError as error:
        reason = first_line(error)
    if not trust:
        raise VmcError(
            f"the SSCD file {path} (SHA-256 {fingerprint(path)}) is a TorchScript archive whose network is code of its"
            f" own ({reason}); give a .torchvision.pt (python -m vmc.weights get sscd), or, if you trust this file,"
            " metrics.copying.trust=true"
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # the published format is TorchScript
            return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise VmcError(f"the SSCD file {path} does not load ({first_line(error)}); get it again") from error


def _torchvision(path: Path) -> SSCDNetwork:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise VmcError(f"the SSCD file {path} does not load ({first_line(error)}); get it again") from error
    if not isinstance(content, Mapping) or LAST not in content:
        raise VmcError(f"the SSCD file {path} holds no {LAST}; it is no .torchvision.pt of SSCD")
    return _network(path, content)


def _network(path: Path, content: Mapping[str, Tensor]) -> SSCDNetwork:
    try:
        return SSCDNetwork.of(content).requires_grad_(False)
    except RuntimeError as error:
        raise VmcError(
            f"the SSCD file {path} does not fit a ResNet of {_layers(content)} blocks: {error}; get it again"
        ) from error
