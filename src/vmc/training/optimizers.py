"""The optimizer of a run, its groups of parameters, the schedule of their learning rates, and master weights.

An optimizer is any class of `torch.optim` or of another package, named by a YAML in `conf/optimizer`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter, ParameterList
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vmc.models.text import TextEncoder
from vmc.utils.errors import VmcError

OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]


def parameter_groups(denoiser: Sequence[Parameter], encoder: TextEncoder | None) -> list[dict[str, Any]]:
    """One group for the denoiser's parameters, if any are trained, which take the optimizer's own learning rate; and
    one for each trained token's row, with the token's rate and without weight decay.
    """
    groups: list[dict[str, Any]] = [{"params": list(denoiser)}] if denoiser else []
    if encoder and encoder.token:
        for name, token in encoder.token.tokens.items():
            if token.trained:
                groups.append({"params": [encoder.rows[name]], "lr": token.learning_rate, "weight_decay": 0.0})
    return groups


def make_optimizer(factory: OptimizerFactory, groups: Sequence[dict[str, Any]]) -> Optimizer:
    """Make the optimizer of parameter groups; a VmcError if its class refuses a setting."""
    try:
        return factory(groups)
    except (ValueError, TypeError) as error:
        called = factory.func if isinstance(factory, partial) else type(factory)
        said = f"optimizer is {called.__name__}, which refuses its settings ({' '.join(str(error).split())})"
        raise VmcError(f"{said}; correct them") from error


def in_one_kernel(factory: OptimizerFactory, *, fused: bool, capturable: bool) -> OptimizerFactory:
    """The factory of a `fused` optimizer (one kernel) or a `capturable` one (for CUDA graphs), where its class has such
    an option and the settings do not choose otherwise.
    """
    if not isinstance(factory, partial) or {"fused", "foreach"} & factory.keywords.keys():
        fused = False
    known = settings_of(factory)
    chosen = {"fused": fused and "fused" in known, "capturable": capturable and "capturable" in known}
    names = [name for name, holds in chosen.items() if holds]
    return partial(factory, **dict.fromkeys(names, True)) if names else factory


def settings_of(factory: OptimizerFactory) -> Collection[str]:
    """The settings that an optimizer's class takes."""
    return signature(getattr(factory, "func", factory)).parameters.keys()


def keep_kernels(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A hook that keeps this machine's choice of kernels when a checkpoint, maybe of another machine, is loaded."""
    groups = [
        {**stored, **{name: own[name] for name in ("fused", "foreach", "capturable") if name in own}}
        for own, stored in zip(optimizer.param_groups, state["param_groups"], strict=False)
    ]
    return {**state, "param_groups": groups}


def _one_number() -> list[dict[str, Any]]:
    return [{"params": [torch.nn.Parameter(torch.zeros(1))]}]


def check_optimizer(factory: OptimizerFactory) -> None:
    """Make the optimizer for a single number, before anything is loaded; raises as `make_optimizer` does."""
    if isinstance(factory, partial):
        make_optimizer(factory, _one_number())


def check_schedule(factory: "ScheduleFactory", *, steps: int) -> None:
    """Raise a VmcError for a schedule that is shorter than the run, or that transformers refuses."""
    if factory.steps is not None and factory.steps < steps:
        raise VmcError(
            f"lr_schedule.steps is {factory.steps}, but the run has {steps} steps, and a schedule says nothing beyond"
            f" its end; give lr_schedule.steps={steps} or more, or steps={factory.steps}"
        )
    factory(torch.optim.SGD(_one_number(), lr=1.0))


@dataclass(frozen=True, kw_only=True)
class Constant:
    """No schedule: learning rates stay constant."""

    steps: None = field(default=None, init=False)

    def __call__(self, optimizer: Optimizer) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule of `transformers.get_scheduler`: a factor on the rate of every group, the token's row included.

    Args:
        name: transformers' name: constant_with_warmup, linear, cosine, ...
        warmup_steps: steps over which the rates rise from 0.
        steps: steps over which the rates fall, warm-up included; None for a schedule without an end.
    """

    name: str
    warmup_steps: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or (self.steps is not None and self.warmup_steps >= self.steps):
            less = "" if self.steps is None else f" and less than lr_schedule.steps, {self.steps}"
            raise VmcError(f"lr_schedule.warmup_steps is {self.warmup_steps}; it must be at least 0{less}")

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        """Make the schedule of an optimizer; a VmcError if transformers has none of that name."""
        from transformers import get_scheduler  # takes seconds to import

        settings = {"num_warmup_steps": self.warmup_steps, "num_training_steps": self.steps}
        try:
            made = get_scheduler(self.name, optimizer, **settings)
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise VmcError(f"lr_schedule.name is {self.name}, which is refused ({reason}); correct it") from error
        if not isinstance(made, LambdaLR):  # such as reduce_lr_on_plateau, which needs a metric
            raise VmcError(f"lr_schedule.name is {self.name}, which does not go by steps; choose linear or another")
        return made


ScheduleFactory = Constant | Schedule


class MasterWeights(Module):
    """Float32 weights for the optimizer, of which the network's parameters hold a copy in a low precision
    (Micikevicius et al., 2018, Sec. 3.1). Autocast would instead cast them in every forward pass, and again where
    activations are recomputed.

    Args:
        copies: the network's parameters, in float32; the caller casts them afterwards.
    """

    def __init__(self, copies: Iterable[Parameter]) -> None:
        super().__init__()
        self._copies = list(copies)  # not parameters of this module
        self.masters = ParameterList(Parameter(copy.detach().float().clone()) for copy in self._copies)

    def take_gradients(self) -> None:
        """Add the copies' gradients to those of the master weights, in float32, and free them."""
        sums: list[Tensor] = []
        gradients: list[Tensor] = []
        for copy, master in zip(self._copies, self.masters, strict=True):
            if copy.grad is not None:
                master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                sums.append(master.grad)
                gradients.append(copy.grad)
                copy.grad = None
        if sums:
            torch._foreach_add_(sums, gradients)

    @torch.no_grad()
    def write_copies(self, *_: Any) -> None:
        """Round the master weights into the copies; also a hook of an optimizer's step."""
        torch._foreach_copy_(list[Tensor](self._copies), list[Tensor](self.masters))
