"""How the optimiser of a run and the schedule of its rates are made."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vmc.utils.errors import VmcError

OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]


class ScheduleFactory(Protocol):
    """Makes what changes the rates of an optimiser from step to step."""

    @property
    def steps(self) -> int | None:
        """How long it is; None for one without an end."""

    def __call__(self, optimizer: Optimizer) -> LRScheduler | None:
        """The schedule of all groups of an optimiser, stepped after each of its steps; None where no rate changes."""


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


def check_schedule(factory: ScheduleFactory, *, steps: int) -> None:
    """Have it made for a single number, before anything is loaded.

    Args:
        factory: makes the schedule.
        steps: of the run.

    Raises:
        VmcError: it is shorter than the run, or its class refuses a setting.
    """
    if factory.steps is not None and factory.steps < steps:
        raise VmcError(
            f"lr_schedule.steps is {factory.steps}, but the run has {steps} steps, and a schedule says nothing beyond"
            f" its end; give lr_schedule.steps={steps} or more, or steps={factory.steps}"
        )
    factory(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))


@dataclass(frozen=True, kw_only=True)
class Constant:
    """No schedule: the rates stay."""

    steps: None = field(default=None, init=False)

    def __call__(self, optimizer: Optimizer) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule of `transformers.get_scheduler`: a factor on the rate of every group, the token's row included.

    Args:
        name: as transformers has it: constant_with_warmup, linear, cosine, ...
        warmup_steps: steps over which the rates rise from 0.
        steps: over which the rates fall, those of the warm-up included; None for a schedule without an end.

    Raises:
        VmcError: a number of steps that cannot be; when it is made, a name that is not known or needs `steps`.
    """

    name: str
    warmup_steps: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise VmcError(f"lr_schedule.warmup_steps is {self.warmup_steps}; it must be at least 0")
        if self.steps is not None and not self.warmup_steps < self.steps:
            raise VmcError(
                f"lr_schedule.warmup_steps is {self.warmup_steps}; it must be less than lr_schedule.steps, {self.steps}"
            )

    def __call__(self, optimizer: Optimizer) -> LRScheduler:
        """The schedule of all groups of an optimiser."""
        from transformers import get_scheduler  # takes seconds to import

        try:
            made = get_scheduler(
                self.name, optimizer, num_warmup_steps=self.warmup_steps, num_training_steps=self.steps
            )
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise VmcError(f"lr_schedule.name is {self.name}, which is refused ({reason}); correct it") from error
        if not isinstance(made, torch.optim.lr_scheduler.LambdaLR):  # it would want to be told of a metric
            raise VmcError(
                f"lr_schedule.name is {self.name}, which does not go by steps; choose linear, cosine or another"
            )
        return made


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
