"""Networks in training with their moving average and their optimiser: all of a phase that must survive a restart."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vmc.errors import VmcError

DECAY = 0.999
"""Of the moving average, reached by a ramp (1 + n) / (10 + n), so that the first weights are soon forgotten."""
WEIGHT_DECAY = 1e-4
CLIP_NORM = 1.0
WARM_UP = 100
"""Steps, also after a restart without the optimiser's state."""
TABLE = "token_embedding.weight"
"""How the embedding table's name ends: most rows are never used, so they are neither decayed nor stored."""


class Learner:
    """Trains networks with AdamW and averages them.

    Args:
        networks: by name, on their device, in eval mode where dropout must be off.
        rate: first learning rate, after warming up.
        last_rate: the rate that a cosine falls to.
        steps: length of the schedule.
    """

    def __init__(self, networks: Mapping[str, nn.Module], *, rate: float, last_rate: float, steps: int) -> None:
        self.networks = nn.ModuleDict(networks)
        self.average = copy.deepcopy(self.networks).requires_grad_(False).eval()
        self.rate, self.last_rate, self.steps = rate, last_rate, steps
        self.step = 0
        self._warm_from = 0
        tables = [(name, tensor) for name, tensor in self.networks.named_parameters() if name.endswith(TABLE)]
        self._first_tables = {name: tensor.detach().cpu().clone() for name, tensor in tables}
        chosen = {id(tensor) for _, tensor in tables}
        others = [tensor for tensor in self.networks.parameters() if id(tensor) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": [tensor for _, tensor in tables], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=rate, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY
        )

    @property
    def learning_rate(self) -> float:
        """Of the step to come."""
        falling = 0.5 * (1 + math.cos(math.pi * min(self.step / self.steps, 1.0)))
        warm = min(1.0, (self.step - self._warm_from + 1) / WARM_UP)
        return warm * (self.last_rate + (self.rate - self.last_rate) * falling)

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
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        decay = min(DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, weights in zip(self.average.parameters(), self.networks.parameters(), strict=True):
                average.lerp_(weights, 1 - decay)
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
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take weights and average of `tensors()`; the optimiser begins anew and warms up.

        Raises:
            VmcError: a tensor is missing or of another shape.
        """
        for place, networks in (("weights", self.networks), ("average", self.average)):
            for name, tensor in networks.named_parameters():
                key = f"{place}.{name}"
                rows = tensors.get(f"{key}.rows")
                first = self._first_tables.get(name)
                value = tensors.get(key)
                shape = None if value is None or rows is None else (len(rows), *tensor.shape[1:])
                if value is None or value.shape != (shape or tensor.shape):
                    raise VmcError(f"the state has no fitting {key}; it is of another pretraining, choose a new folder")
                tensor.copy_(value if first is None or rows is None else first.index_copy(0, rows, value))
        self.step = self._warm_from = step

    def optimizer_state(self) -> dict[str, Any]:
        """For a file of its own, which need not travel."""
        return {"names": _names(self.networks), "warm_from": self._warm_from, "state": self.optimizer.state_dict()}

    def restore_optimizer(self, stored: Mapping[str, Any]) -> bool:
        """Take what `optimizer_state` gave; False, and nothing done, where it is of another phase."""
        if stored.get("names") != _names(self.networks):
            return False
        self.optimizer.load_state_dict(stored["state"])
        self._warm_from = int(stored["warm_from"])
        return True


def _names(networks: nn.ModuleDict) -> list[str]:
    return [name for name, _ in networks.named_parameters()]
