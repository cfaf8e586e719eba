"""The course of the copy descriptor: network, loss, measurement and the two published files.

Axes: N pictures, C colours, H and W, D descriptor width.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from vmc.metrics.networks.sscd import SSCDNetwork, normalized, prepared
from vmc.mini.makers.copying.augmentation import augment
from vmc.mini.makers.copying.measuring import area, set_similarities
from vmc.mini.makers.copying.objective import contrast, crowding
from vmc.mini.makers.copying.people import GROUP
from vmc.mini.makers.copying.pictures import PICTURES, SIZE, Pictures
from vmc.mini.makers.copying.plan import EDGES, RATE, STEPS, Shape
from vmc.tools.learning.course import Course, Progress
from vmc.utils.files import atomic_write
from vmc.utils.randomness import derive_seed, generator

SHORT_SIDE = SIZE
"""px that frames are resized to; the miniature's own size."""
TORCHSCRIPT, TORCHVISION = "copying.torchscript.pt", "copying.torchvision.pt"


def make_network(shape: Shape, seed: int) -> SSCDNetwork:
    """With random weights of that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "copying"))
        return SSCDNetwork(bottleneck=False, layers=list(shape.layers), width=shape.width, stem=shape.stem)


def make_course(pictures: Pictures, seed: int, shape: Shape | None = None) -> Course:
    """The course over these pictures."""
    shape = shape or Shape()
    views = Views(pictures, seed, shape.groups)

    def loss_of(networks: nn.ModuleDict, step: int) -> Tensor:
        network = networks["copying"]
        device = next(network.parameters()).device
        both_ND = network(normalized(views(step).to(device)))
        first_ND, second_ND = both_ND.chunk(2)
        return contrast(first_ND, second_ND) + shape.entropy * crowding(first_ND, second_ND)

    def measure(networks: nn.ModuleDict) -> float:
        network = networks["copying"]
        device = next(network.parameters()).device

        @torch.no_grad()
        def describe(frames_NCHW: Tensor) -> Tensor:
            return network(prepared(frames_NCHW.to(device), short_side=SHORT_SIDE)).cpu()

        return area(*set_similarities(describe, pictures.validation))

    return Course(
        name="copying",
        steps=STEPS,
        rate=RATE,
        edges=EDGES,
        identity={"shape": repr(shape), "pictures": pictures.key, "clips": pictures.clips},
        networks={"copying": make_network(shape, seed)},
        loss_of=loss_of,
        measure=measure,
        export=export,
    )


@dataclass(frozen=True)
class Views:
    """Batches of two views of every clip, whole groups of look-alikes side by side.

    Args:
        pictures: to draw from.
        seed: of the draws.
        groups: in a batch, none of them twice.
    """

    pictures: Pictures
    seed: int
    groups: int

    def __call__(self, step: int) -> Tensor:
        """images_NCHW of a step, first all first views, then all second ones."""
        random = generator(self.seed, step, "copying batch")
        drawn = torch.randperm(self.pictures.clips // GROUP, generator=random)[: self.groups]
        clips = (drawn[:, None] * GROUP + torch.arange(GROUP)).flatten().tolist()
        chosen = torch.randint(PICTURES, (2, len(clips)), generator=random).tolist()
        images_NCHW = torch.cat([self.pictures.take(clips, view) for view in chosen])
        return augment(images_NCHW, generator(self.seed, step, "copying views"))


def export(networks: nn.ModuleDict, folder: Path, progress: Progress) -> None:
    """Write both published formats; weights are rounded to half precision, so that both describe alike."""
    network = cast(SSCDNetwork, networks["copying"])
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in _state(network).items()}
    with atomic_write(folder / TORCHVISION) as temporary:
        torch.save(halves, temporary)
    rounded = SSCDNetwork.of(halves).requires_grad_(False).eval()
    with warnings.catch_warnings(), atomic_write(folder / TORCHSCRIPT) as temporary:
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # the published format is TorchScript
        torch.jit.trace(rounded, torch.zeros(1, 3, SIZE, SIZE)).save(str(temporary))


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
