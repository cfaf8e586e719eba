"""How small networks are trained, with a moving average and optimizers that survive a restart; and what the trainings
of a TRN have in common: that of the miniature's classifier and that of one for Jester.

Matrices are trained with Muon (Jordan et al., 2024), momentum that is made orthogonal before it is applied. With the
small batches that two cores allow it needs several times fewer steps than AdamW alone.

Axes: B or N clips, S = 8 segments, F frames, C colors, H and W pixels, K classes.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vmc.metrics.networks.trn import TRN
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

DECAY = 0.999
"""Of the moving average, reached by a ramp (1 + n) / (10 + n), so that the first weights are soon forgotten."""
LAST = 0.03
"""The share of its rate that an optimizer ends with, after falling as a cosine."""
ADAM_RATE, ADAM_DECAY, MUON_DECAY = 2e-3, 1e-4, 0.01
CLIP_NORM = 1.0
WARM_UP = 100
"""Steps, also after a restart without the optimizers' state."""
TABLE = "token_embedding.weight"
"""How the embedding table's name ends: most rows are never used, so they are neither decayed nor stored."""
EDGES = ("conv_in.", "conv_out.", "embedding.weight")
"""In the names of first and last layers and of embeddings, which are no mappings that Muon is made for."""


def orthogonal(matrix: Tensor) -> Tensor:
    """Compute the nearest matrix with singular values of 0.7 to 1.2; each filter of a convolution is a row."""
    rows = matrix.flatten(1)
    tall = rows.shape[0] > rows.shape[1]
    rows = rows.T if tall else rows
    rows = rows / (rows.norm() + 1e-7)
    for _ in range(5):  # the quintic Newton-Schulz iteration with the coefficients published
        square = rows @ rows.T
        rows = 3.4445 * rows + (-4.7750 * square + 2.0315 * square @ square) @ rows
    return (rows.T if tall else rows).reshape(matrix.shape)


class Muon(torch.optim.Optimizer):
    """Muon for weights of two and more dimensions that are neither first nor last layers nor embeddings.

    `torch.optim.Muon` takes matrices alone, no convolutions. `lr` is the change of a weight matrix in a step, as a
    share of an orthogonal matrix.
    """

    def __init__(self, parameters: Sequence[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(group["momentum"]).add_(weight.grad)
                change = orthogonal(weight.grad + group["momentum"] * momentum)
                longer = max(1.0, len(weight) / weight[0].numel()) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"] * longer)


class Learner:
    """Trains networks, their matrices with Muon and all else with AdamW, and averages weights and running statistics.

    Args:
        networks: the networks by name, on their device, in the mode they are trained in.
        rate: the rate of Muon after warming up.
        steps: the length of the schedule.
        edges: parts of the names of matrices that AdamW trains.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], *, rate: float, steps: int, edges: Sequence[str] = EDGES
    ) -> None:
        self.networks = nn.ModuleDict(networks)
        self.average = copy.deepcopy(self.networks).requires_grad_(False).eval()
        self.steps = steps
        self.step = self._warm_from = 0
        named = dict(self.networks.named_parameters())
        tables = {name: tensor for name, tensor in named.items() if name.endswith(TABLE)}
        inner = {name for name, tensor in named.items() if tensor.ndim > 1 and not any(edge in name for edge in edges)}
        others = [tensor for name, tensor in named.items() if name not in inner and name not in tables]
        self._first_tables = {name: tensor.detach().cpu().clone() for name, tensor in tables.items()}
        groups = [{"params": others, "weight_decay": ADAM_DECAY}, {"params": [*tables.values()], "weight_decay": 0.0}]
        self._optimizers: list[torch.optim.Optimizer] = [
            Muon([named[name] for name in sorted(inner)], lr=rate, weight_decay=MUON_DECAY),
            torch.optim.AdamW([group for group in groups if group["params"]], lr=ADAM_RATE, betas=(0.9, 0.99)),
        ]
        self._rates = (rate, ADAM_RATE)

    @property
    def share(self) -> float:
        """The share of their rates that the optimizers use in the next step."""
        falling = 0.5 * (1 + math.cos(math.pi * min(self.step / self.steps, 1.0)))
        warm = min(1.0, (self.step - self._warm_from + 1) / WARM_UP)
        return warm * (LAST + (1 - LAST) * falling)

    def learn(self, loss: Tensor) -> float:
        """Make one update, and return the loss as a number.

        Raises:
            VmcError: the loss is not finite.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            told = f"the loss at step {self.step + 1} is {value}"
            raise VmcError(f"{told}; the same command goes on from the last state saved")
        self.networks.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), CLIP_NORM)
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.share
            optimizer.step()
        self.step += 1
        decay = min(DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, weights in zip(self.average.parameters(), self.networks.parameters(), strict=True):
                average.lerp_(weights, 1 - decay)
            averages = _buffers(self.average)
            for name, now in _buffers(self.networks).items():
                buffer = averages[name]
                buffer.lerp_(now, 1 - decay) if buffer.is_floating_point() else buffer.copy_(now)
        return value

    def tensors(self) -> dict[str, Tensor]:
        """Collect weights and average for the state file, of embedding tables only the rows that have moved."""
        found: dict[str, Tensor] = {}
        for place, networks in (("weights", self.networks), ("average", self.average)):
            for name, tensor in networks.named_parameters():
                key, value = f"{place}.{name}", tensor.detach().cpu().contiguous()
                if name in self._first_tables:
                    found[f"{key}.rows"] = (value != self._first_tables[name]).any(1).nonzero()[:, 0]
                    value = value[found[f"{key}.rows"]]
                found[key] = value
            found |= {f"{place}.{name}": value.detach().cpu().clone() for name, value in _buffers(networks).items()}
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Restore weights and average from `tensors()`; the optimizers begin anew and warm up.

        Raises:
            VmcError: a tensor is missing or of another shape.
        """
        for place, networks in (("weights", self.networks), ("average", self.average)):
            for name, tensor in [*networks.named_parameters(), *_buffers(networks).items()]:
                key, first = f"{place}.{name}", self._first_tables.get(name)
                value, rows = tensors.get(key), tensors.get(f"{key}.rows")
                shape = tensor.shape if rows is None else (len(rows), *tensor.shape[1:])
                if value is None or value.shape != shape:
                    raise VmcError(f"the state has no fitting {key}; it is of another training, choose a new folder")
                tensor.copy_(value if first is None or rows is None else first.index_copy(0, rows, value))
        self.step = self._warm_from = step

    def optimizer_state(self) -> dict[str, Any]:
        """Collect the optimizers' state for a file of its own, without which a training can go on, too."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return {"names": self._names(), "warm_from": self._warm_from, "states": states}

    def restore_optimizer(self, stored: Mapping[str, Any] | None) -> bool:
        """Restore what `optimizer_state` gave; False, and nothing done, where it is None or of other networks."""
        if stored is None or stored.get("names") != self._names():
            return False
        for optimizer, state in zip(self._optimizers, stored["states"], strict=True):
            optimizer.load_state_dict(state)
        self._warm_from = int(stored["warm_from"])
        return True

    def _names(self) -> list[str]:
        return [name for name, _ in self.networks.named_parameters()]


def _buffers(networks: nn.ModuleDict) -> dict[str, Tensor]:
    """Collect the running statistics: what the state of the networks holds besides parameters."""
    kept = networks.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in networks.named_buffers() if name in kept}


# --- a TRN ---

TRN_RATE = 0.015
"""Of Muon, as a share of an orthogonal matrix in a step."""
SMOOTHING = 0.1
"""Share of every label that is spread over all classes."""
TRN_EDGES = ("stem.weight", "conv1_7x7_s2.weight", ".3.weight")
"""The `edges` of a TRN for `Learner`: the first layer of either backbone, and the last ones."""
AT_ONCE = 32
ZOOM, SHIFT = 0.08, 0.07
"""Largest change of scale, as a factor beyond 1, and of place, in picture widths."""
GAIN, CHANNEL_GAIN, BRIGHTNESS, SATURATION = 0.2, 0.06, 20.0, 0.3
"""Largest changes of contrast, of a single channel, of all pixels in 255ths, and of distance from gray."""
BLUR, NOISE = 0.8, 6.0
"""Largest deviations of the blur, in pixels, and of the noise, in 255ths; half of the clips have neither."""


class ClipBatch(NamedTuple):
    """Frames of 0..255 and labels_B."""

    frames_BSCHW: Tensor
    labels_B: Tensor


def to_frames(frames_BSHWC: NDArray[np.uint8]) -> Tensor:
    """Convert decoded clips to frames_BSCHW, floats of 0..255."""
    return torch.from_numpy(frames_BSHWC).permute(0, 1, 4, 2, 3).float()


def make_network(seed: int, *, arch: str, classes: int) -> TRN:
    """Make the network with the weights of the first step, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "classifier weights"))
        return TRN(arch=arch, classes=classes).train()


def loss_of(network: nn.Module, batch: ClipBatch, *, device: str) -> Tensor:
    """Compute the cross-entropy with smoothed labels."""
    logits_BK = network(batch.frames_BSCHW.to(device))
    return F.cross_entropy(logits_BK, batch.labels_B.to(device), label_smoothing=SMOOTHING)


@torch.no_grad()
def classes_of(network: nn.Module, frames_NSHWC: NDArray[np.uint8], *, device: str) -> NDArray[np.int64]:
    """Classify clips by a network in eval mode."""
    parts = [frames_NSHWC[start : start + AT_ONCE] for start in range(0, len(frames_NSHWC), AT_ONCE)]
    return np.concatenate([network(to_frames(part).to(device)).argmax(1).cpu().numpy() for part in parts])


# --- augmentation ---


def augment(frames_BFCHW: Tensor, random: Generator) -> Tensor:
    """Move, color and blur clips of 0..255 and add noise; never flipped, for that would be another gesture.

    All frames of a clip are changed alike, but for the noise. Draws are made on the CPU, so they are the same whatever
    device the frames are on.
    """
    count, frames, colors = frames_BFCHW.shape[:3]
    device = frames_BFCHW.device

    def uniform(size: float, values: int = count) -> Tensor:
        return ((torch.rand(values, generator=random) * 2 - 1) * size).to(device)

    # Moved.
    scale_B, x_B, y_B = 1 / (1 + uniform(ZOOM)), 2 * uniform(SHIFT), 2 * uniform(SHIFT)
    zero_B = torch.zeros(count, device=device)
    rows = (torch.stack([scale_B, zero_B, x_B], 1), torch.stack([zero_B, scale_B, y_B], 1))
    pictures = frames_BFCHW.flatten(1, 2)
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False).unflatten(1, (frames, -1))

    # Colored.
    gain_B, brightness_B, saturation_B = (uniform(size).view(-1, 1, 1, 1, 1) for size in (GAIN, BRIGHTNESS, SATURATION))
    gain_BC = 1 + uniform(CHANNEL_GAIN, 3 * count).view(-1, 1, 3, 1, 1)
    gray = moved.mean(2, keepdim=True)
    saturated = gray + (1 + saturation_B) * (moved - gray)
    colored = (saturated - 127.5) * (gain_BC * (1 + gain_B)) + (127.5 + brightness_B)

    # Blurred by a Gaussian of a deviation of its own for each clip.
    deviation_B = uniform(BLUR).clamp(min=1e-3)
    offsets = torch.arange(-2.0, 3.0, device=device)
    kernel_B5 = torch.softmax(-(offsets**2) / (2 * deviation_B[:, None] ** 2), 1).repeat_interleave(frames * colors, 0)
    maps = colored.reshape(1, -1, *colored.shape[3:])
    for shape, padding in (((-1, 1, 5, 1), (0, 0, 2, 2)), ((-1, 1, 1, 5), (2, 2, 0, 0))):
        maps = F.conv2d(F.pad(maps, padding, mode="replicate"), kernel_B5.view(shape), groups=maps.shape[1])

    noise_B = uniform(NOISE).clamp(min=0).view(-1, 1, 1, 1, 1)
    noisy = maps.view_as(colored) + noise_B * torch.randn(colored.shape, generator=random).to(device)
    return noisy.clamp(0, 255)
