"""The training of the copy descriptor: network, loss, measurement and the two published files.

Axes: N pictures, C colours, H and W, D descriptor width.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.metrics.networks.sscd import SSCDNetwork, normalize_images, prepare_frames
from vmc.mini.makers.copying.augmentation import augment
from vmc.mini.makers.copying.measuring import area, set_similarities
from vmc.mini.makers.copying.people import GROUP
from vmc.mini.makers.copying.pictures import PICTURES, SIZE, Pictures
from vmc.tools.learning.training import Task, TaskProgress
from vmc.utils.files import atomic_write
from vmc.utils.randomness import derive_seed, generator

TEMPERATURE = 0.05
"""The paper's."""


def contrast(first_ND: Tensor, second_ND: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE over both views: each finds its partner among all others (NT-Xent; Chen et al., 2020)."""
    similarity, partner_N = _similarities(first_ND, second_ND)
    return F.cross_entropy(similarity / temperature, partner_N)


def crowding(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """The differential entropy, negated: minus the mean log distance to the nearest descriptor of another picture."""
    similarity, partner_N = _similarities(first_ND, second_ND)
    nearest_N = similarity.scatter(1, partner_N[:, None], -torch.inf).amax(1)
    # A floor under the square keeps the gradient finite where two descriptors meet.
    return -0.5 * (2 - 2 * nearest_N).clamp(min=1e-6).log().mean()


def _similarities(first_ND: Tensor, second_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Of all with all, oneself left out, and the place of each one's partner."""
    descriptors_ND = torch.cat([first_ND, second_ND])
    count = len(descriptors_ND)
    own = torch.eye(count, dtype=torch.bool, device=descriptors_ND.device)
    similarity = (descriptors_ND @ descriptors_ND.T).masked_fill(own, -torch.inf)
    return similarity, torch.arange(count, device=descriptors_ND.device).roll(-(count // 2))


STEPS, CLIPS = 1600, 4000
RATE = 0.02
"""Of Muon."""
EDGES = ("backbone.conv1.", "backbone.fc.")
"""First and last layer, which AdamW trains."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the network and its batches.

    Args:
        layers: basic blocks of the four stages.
        stem: channels of the first stage.
        width: of the descriptor.
        groups: of look-alikes in a batch.
        entropy: weight of the crowding term, the paper's lambda.
    """

    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    stem: int = 24
    width: int = 128
    groups: int = 16
    entropy: float = 5.0


SHORT_SIDE = SIZE
"""px that frames are resized to; the miniature's own size."""
TORCHSCRIPT, TORCHVISION = "copying.torchscript.pt", "copying.torchvision.pt"


def make_network(shape: Shape, seed: int) -> SSCDNetwork:
    """With random weights of that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "copying"))
        return SSCDNetwork(bottleneck=False, layers=list(shape.layers), width=shape.width, stem=shape.stem)


def make_task(pictures: Pictures, seed: int, shape: Shape | None = None) -> Task:
    """The training over these pictures."""
    shape = shape or Shape()
    views = Views(pictures, seed, shape.groups)

    def loss_of(networks: nn.ModuleDict, step: int) -> Tensor:
        network = networks["copying"]
        device = next(network.parameters()).device
        both_ND = network(normalize_images(views(step).to(device)))
        first_ND, second_ND = both_ND.chunk(2)
        return contrast(first_ND, second_ND) + shape.entropy * crowding(first_ND, second_ND)

    def measure(networks: nn.ModuleDict, step: int) -> float:
        network = networks["copying"]
        device = next(network.parameters()).device

        @torch.no_grad()
        def describe(frames_NCHW: Tensor) -> Tensor:
            return network(prepare_frames(frames_NCHW.to(device), short_side=SHORT_SIDE)).cpu()

        return area(*set_similarities(describe, pictures.validation))

    return Task(
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


def export(networks: nn.ModuleDict, folder: Path, progress: TaskProgress) -> None:
    """Write both published formats; weights are rounded to half precision, so that both describe alike."""
    network = cast(SSCDNetwork, networks["copying"])
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in _state(network).items()}
    with atomic_write(folder / TORCHVISION) as temporary:
        torch.save(halves, temporary)
    rounded = SSCDNetwork.of(halves)
    with warnings.catch_warnings(), atomic_write(folder / TORCHSCRIPT) as temporary:
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # the published format is TorchScript
        torch.jit.trace(rounded, torch.zeros(1, 3, SIZE, SIZE)).save(str(temporary))


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
