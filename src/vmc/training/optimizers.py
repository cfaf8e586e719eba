"""Optimisers that are not PyTorch's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch.optim import Optimizer

from vmc.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class AdamW8bit:
    """Makes bitsandbytes' AdamW, whose two moments take a byte each (Dettmers et al. 2022, block-wise quantisation).

    Tensors of fewer than 4096 elements keep theirs in float32.

    Args:
        lr: learning rate.
        betas: decay of the first and the second moment.
        eps: added to the root of the second moment.
        weight_decay: decoupled.

    Raises:
        VmcError: bitsandbytes is not installed. Said at construction, before anything is loaded.
    """

    lr: float
    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if find_spec("bitsandbytes") is None:
            raise VmcError(
                "optimizer is adamw8bit, which needs bitsandbytes; pip install 'vmc[bnb]', or use optimizer=adamw"
            )

    def __call__(self, groups: Iterable[dict[str, Any]]) -> Optimizer:
        """The optimiser of parameter groups."""
        from bitsandbytes.optim import AdamW8bit as Quantised  # takes seconds to import

        betas = (self.betas[0], self.betas[1])
        return Quantised(list(groups), lr=self.lr, betas=betas, eps=self.eps, weight_decay=self.weight_decay)
