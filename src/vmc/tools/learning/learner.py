"""Networks in training with their moving average and their optimiser: all of a phase that must survive a restart."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vmc.tools.learning.muon import Muon
from vmc.utils.errors import VmcError

DECAY = 0.999
"""Of the moving average, reached by a ramp (1 + n) / (10 + n), so that the first weights are soon forgotten."""
LAST = 0.03
"""The share of its rate that an optimiser ends with, after falling as a cosine."""
ADAM_RATE, ADAM_DECAY = 2e-3, 1e-4
MUON_DECAY = 0.01
CLIP_NORM = 1.0
WARM_UP = 100
"""Steps, also after a restart without the optimisers' state."""
TABLE = "token_embedding.weight"
"""How the embedding table's name ends: most rows are never used, so they are neither decayed nor stored."""
EDGES = ("conv_in.", "conv_out.", "embedding.weight")
"""In the names of first and last layers and of embeddings, which are no mappings that Muon is made for."""


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
        self.step = 0
        self._warm_from = 0
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
        """How much of their rates the optimisers use in the step to come."""
        falling = 0.5 * (1 + math.cos(math.pi * min(self.step / self.steps, 1.0)))
        warm = min(1.0, (self.step - self._warm_from + 1) / WARM_UP)
        return warm * (LAST + (1 - LAST) * falling)

    def learn(self, loss: Tensor) -> float:
        """One update; the loss as a number.

        Raises:
            VmcError: the loss is not finite.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise VmcError(
                f"the loss at step {self.step + 1} is {value}; the same command goes on from the last state saved"
            )
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
            for name, value_now in _buffers(self.networks).items():
                buffer = _buffers(self.average)[name]
                buffer.lerp_(value_now, 1 - decay) if buffer.is_floating_point() else buffer.copy_(value_now)
        return value

    def tensors(self) -> dict[str, Tensor]:
        """Weights and average for the state file, of embedding tables only the rows that have moved."""
        found: dict[str, Tensor] = {}
        for place, networks in (("weights", self.networks), ("average", self.average)):
            for name, tensor in networks.named_parameters():
                value = tensor.detach().cpu()
                if name in self._first_tables:
                    moved = (value != self._first_tables[name]).any(1).nonzero()[:, 0]
                    found |= {f"{place}.{name}.rows": moved, f"{place}.{name}": value[moved]}
                else:
                    found[f"{place}.{name}"] = value.contiguous()
            found |= {f"{place}.{name}": value.detach().cpu().clone() for name, value in _buffers(networks).items()}
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take weights and average of `tensors()`; the optimiser begins anew and warms up.

        Raises:
            VmcError: a tensor is missing or of another shape.
        """
        for place, networks in (("weights", self.networks), ("average", self.average)):
            for name, tensor in [*networks.named_parameters(), *_buffers(networks).items()]:
                key = f"{place}.{name}"
                rows = tensors.get(f"{key}.rows")
                first = self._first_tables.get(name)
                value = tensors.get(key)
                shape = None if value is None or rows is None else (len(rows), *tensor.shape[1:])
                if value is None or value.shape != (shape or tensor.shape):
                    raise VmcError(f"the state has no fitting {key}; it is of another training, choose a new folder")
                tensor.copy_(value if first is None or rows is None else first.index_copy(0, rows, value))
        self.step = self._warm_from = step

    def optimizer_state(self) -> dict[str, Any]:
        """For a file of its own, which need not travel."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return {"names": _names(self.networks), "warm_from": self._warm_from, "states": states}

    def restore_optimizer(self, stored: Mapping[str, Any]) -> bool:
        """Take what `optimizer_state` gave; False, and nothing done, where it is of another phase."""
        if stored.get("names") != _names(self.networks):
            return False
        for optimizer, state in zip(self._optimizers, stored["states"], strict=True):
            optimizer.load_state_dict(state)
        self._warm_from = int(stored["warm_from"])
        return True


def _names(networks: nn.ModuleDict) -> list[str]:
    return [name for name, _ in networks.named_parameters()]


def _buffers(networks: nn.ModuleDict) -> dict[str, Tensor]:
    """Running statistics: what the state of the networks holds besides parameters."""
    kept = networks.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in networks.named_buffers() if name in kept}
