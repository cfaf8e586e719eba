"""How the optimiser of a run is made, and those that are not PyTorch's own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch.optim import Optimizer

from vmc.errors import VmcError

OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]


def make_optimizer(factory: OptimizerFactory, groups: Sequence[dict[str, Any]]) -> Optimizer:
    """The optimiser of parameter groups.

    Raises:
        VmcError: its class refuses a setting.
    """
    try:
        return factory(groups)
    except (ValueError, TypeError) as error:
        called = factory.func if isinstance(factory, partial) else type(factory)
        reason = " ".join(str(error).split())
        raise VmcError(
            f"optimizer is {called.__name__}, which refuses its settings ({reason}); correct them"
        ) from error


def check_optimizer(factory: OptimizerFactory) -> None:
    """Have one of PyTorch's own made of a single number, before anything is loaded.

    Raises:
        VmcError: see `make_optimizer`.
    """
    if isinstance(factory, partial):
        make_optimizer(factory, [{"params": [torch.nn.Parameter(torch.zeros(1))]}])


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
