"""Networks in training with their moving average and their optimizers: all that must survive a restart.

Matrices are trained with Muon (Jordan et al., 2024), momentum that is made orthogonal before it is applied. With the
small batches that two cores allow it needs several times fewer steps than AdamW alone.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vmc.utils.errors import VmcError

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
    """The nearest matrix with singular values of 0.7 to 1.2; of a convolution's weights, each filter is a row."""
    rows = matrix.flatten(1)
    tall = rows.shape[0] > rows.shape[1]
    rows = rows.T if tall else rows
    rows = rows / (rows.norm() + 1e-7)
    for _ in range(5):  # the quintic Newton-Schulz iteration with the coefficients published
        square = rows @ rows.T
        rows = 3.4445 * rows + (-4.7750 * square + 2.0315 * square @ square) @ rows
    return (rows.T if tall else rows).reshape(matrix.shape)


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions that are neither first nor last layers nor embeddings.

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
    """Trains networks, their matrices with Muon and all else with AdamW, and averages them.

    Args:
        networks: by name, on their device, in the mode they are trained in.
        rate: of Muon, after warming up.
        steps: length of the schedule.
        edges: parts of the names of matrices that AdamW trains.

    Running statistics are averaged as the weights are.
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
        """How much of their rates the optimizers use in the step to come."""
        falling = 0.5 * (1 + math.cos(math.pi * min(self.step / self.steps, 1.0)))
        warm = min(1.0, (self.step - self._warm_from + 1) / WARM_UP)
        return warm * (LAST + (1 - LAST) * falling)

    def learn(self, loss: Tensor) -> float:
        """Make one update; the loss as a number.

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
        """Weights and average for the state file, of embedding tables only the rows that have moved."""
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
        """Take weights and average of `tensors()`; the optimizers begin anew and warm up.

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
        """For a file of its own, which need not travel."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return {"names": self._names(), "warm_from": self._warm_from, "states": states}

    def restore_optimizer(self, stored: Mapping[str, Any] | None) -> bool:
        """Take what `optimizer_state` gave; False, and nothing done, where there is none or it is of other networks."""
        if stored is None or stored.get("names") != self._names():
            return False
        for optimizer, state in zip(self._optimizers, stored["states"], strict=True):
            optimizer.load_state_dict(state)
        self._warm_from = int(stored["warm_from"])
        return True

    def _names(self) -> list[str]:
        return [name for name, _ in self.networks.named_parameters()]


def _buffers(networks: nn.ModuleDict) -> dict[str, Tensor]:
    """Running statistics: what the state of the networks holds besides parameters."""
    kept = networks.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in networks.named_buffers() if name in kept}
