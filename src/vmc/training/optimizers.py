"""How the optimizer of a run and the schedule of its learning rates are made.

An optimizer is any class of `torch.optim` or of another package, named by a YAML in `conf/optimizer`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vmc.utils.errors import VmcError

OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]


def make_optimizer(factory: OptimizerFactory, groups: Sequence[dict[str, Any]]) -> Optimizer:
    """The optimizer of parameter groups; a VmcError where its class refuses a setting."""
    try:
        return factory(groups)
    except (ValueError, TypeError) as error:
        called = factory.func if isinstance(factory, partial) else type(factory)
        said = f"optimizer is {called.__name__}, which refuses its settings ({' '.join(str(error).split())})"
        raise VmcError(f"{said}; correct them") from error


def in_one_kernel(factory: OptimizerFactory, *, fused: bool, capturable: bool) -> OptimizerFactory:
    """The same in one kernel (`fused`) or as a part of a CUDA graph (`capturable`), where its class knows such a thing
    and its settings do not choose another.
    """
    if not isinstance(factory, partial) or {"fused", "foreach"} & factory.keywords.keys():
        fused = False
    known = takes(factory)
    chosen = {"fused": fused and "fused" in known, "capturable": capturable and "capturable" in known}
    names = [name for name, holds in chosen.items() if holds]
    return partial(factory, **dict.fromkeys(names, True)) if names else factory


def takes(factory: OptimizerFactory) -> Collection[str]:
    """The settings that its class knows."""
    return signature(getattr(factory, "func", factory)).parameters.keys()


def keep_kernels(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A hook: what a checkpoint says of the kernels is of the machine that wrote it."""
    groups = [
        {**stored, **{name: own[name] for name in ("fused", "foreach", "capturable") if name in own}}
        for own, stored in zip(optimizer.param_groups, state["param_groups"], strict=False)
    ]
    return {**state, "param_groups": groups}


def _one_number() -> list[dict[str, Any]]:
    return [{"params": [torch.nn.Parameter(torch.zeros(1))]}]


def check_optimizer(factory: OptimizerFactory) -> None:
    """Have it made for a single number, before anything is loaded; raises as `make_optimizer` does."""
    if isinstance(factory, partial):
        make_optimizer(factory, _one_number())


def check_schedule(factory: "ScheduleFactory", *, steps: int) -> None:
    """Refuse a schedule that is shorter than a run of so many steps, or cannot be made for a single number."""
    if factory.steps is not None and factory.steps < steps:
        raise VmcError(
            f"lr_schedule.steps is {factory.steps}, but the run has {steps} steps, and a schedule says nothing beyond"
            f" its end; give lr_schedule.steps={steps} or more, or steps={factory.steps}"
        )
    factory(torch.optim.SGD(_one_number(), lr=1.0))


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
    """

    name: str
    warmup_steps: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or (self.steps is not None and self.warmup_steps >= self.steps):
            less = "" if self.steps is None else f" and less than lr_schedule.steps, {self.steps}"
            raise VmcError(f"lr_schedule.warmup_steps is {self.warmup_steps}; it must be at least 0{less}")

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        """The schedule of all groups of an optimizer; raises a VmcError where transformers has none of that name."""
        from transformers import get_scheduler  # takes seconds to import

        settings = {"num_warmup_steps": self.warmup_steps, "num_training_steps": self.steps}
        try:
            made = get_scheduler(self.name, optimizer, **settings)
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise VmcError(f"lr_schedule.name is {self.name}, which is refused ({reason}); correct it") from error
        if not isinstance(made, LambdaLR):  # it would want to be told of a metric
            raise VmcError(f"lr_schedule.name is {self.name}, which does not go by steps; choose linear or another")
        return made


ScheduleFactory = Constant | Schedule
