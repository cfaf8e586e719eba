"""Low-rank adapters, trained beside frozen layers (LoRA, Hu et al. 2022).

A layer W becomes W + (alpha / rank) * B A. A starts at random and B at zero, so the adapted model starts as the base.
peft wraps the layers, which renames their parameters. Outside this file an adapter's tensors are called
`LAYER.lora_A.weight` and `LAYER.lora_B.weight`, LAYER being the layer's name in the base model.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import Conv2d, Conv3d, Linear, Module, Parameter, init

from vmc.models.parameters import Groups, Subset, check_groups
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

ADAPTER = "default"


@dataclass(frozen=True, kw_only=True)
class LoraSubset(Subset):
    """Trains adapters and nothing else, in place of a `ParameterSubset`.

    Args:
        rank: rank of every adapter.
        alpha: an adapter's output is multiplied by alpha / rank.
        targets: groups of the model's family, or patterns of layer names (`*.attn1.to_[qkv]`). Of the layers that they
            name, linear layers and convolutions get adapters; norms get none.
        seed: seed of the run, from which A is drawn layer by layer.
    """

    rank: int
    alpha: float
    targets: Sequence[str]
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise VmcError(f"parameters.rank is {self.rank}; it must be a whole number of at least 1")
        if not isinstance(self.alpha, int | float) or not self.alpha > 0:
            raise VmcError(f"parameters.alpha is {self.alpha}; it must be above 0, the rank itself for a scale of 1")
        if isinstance(self.targets, str) or not self.targets:
            wanted = "a list of groups or of patterns of layer names, such as [temporal, spatial_kv]"
            raise VmcError(f"parameters.targets is '{self.targets or ''}'; it must be {wanted}")

    def check(self, groups: Groups) -> None:
        """Raise a VmcError for a target that is neither a group nor a pattern."""
        check_groups([target for target in self.targets if target.isidentifier()], groups, key="parameters.targets")

    def layers(self, denoiser: Module, groups: Groups) -> list[str]:
        """Names of the layers that get adapters, in the model's order; a VmcError if a target matches none."""
        layers = [name for name, module in denoiser.named_modules() if isinstance(module, Linear | Conv2d | Conv3d)]
        chosen: set[str] = set()
        for target in self.targets:
            belongs = groups.get(target, lambda name, target=target: fnmatchcase(name, f"{target}.weight"))
            matched = {name for name in layers if belongs(f"{name}.weight")}
            if not matched:
                told = f"which matches none of the model's {len(layers)} linear layers and convolutions"
                remedy = f"give a group ({', '.join(groups)}) or a pattern of layer names such as *.attn1.to_[qkv]"
                raise VmcError(f"parameters.targets names '{target}', {told}; {remedy}")
            chosen |= matched
        return [name for name in layers if name in chosen]

    def select(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """Insert the adapters with their initial weights, and return their parameters by name."""
        adapters = self.places(denoiser, groups)  # B is zero
        for name, parameter in adapters.items():
            if ".lora_A." in name:
                # As in peft and LoRA's own code: uniform within 1 / sqrt(inputs).
                init.kaiming_uniform_(parameter, a=5**0.5, generator=generator(self.seed, "lora", name))
        return adapters

    def places(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """Insert the adapters, and return by name the parameters that a delta is copied into."""
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=self.layers(denoiser, groups))  # type: ignore[arg-type]
        # peft draws initial weights from the global generator, whose state is restored; they are replaced later.
        with torch.random.fork_rng(devices=[]):
            inject_adapter_in_model(config, denoiser, adapter_name=ADAPTER)
        denoiser.train(denoiser.training)  # the new modules, too
        for layer in _adapted(denoiser).values():
            layer.register_forward_pre_hook(_as_first_argument, with_kwargs=True)
        denoiser.requires_grad_(False)
        adapters = {name: parameter for name, parameter in denoiser.named_parameters() if ".lora_" in name}
        return {name.replace(f".{ADAPTER}.", "."): parameter for name, parameter in adapters.items()}

    def describe(self) -> dict[str, Any]:
        """Rank, alpha and targets, from which `vmc.training.tuned_weights` makes the subset again."""
        targets = [str(target) for target in self.targets]
        return {"groups": ["lora"], "lora": {"rank": self.rank, "alpha": self.alpha, "targets": targets}}


def _as_first_argument(layer: Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any] | None:
    """A hook for diffusers' motion modules, which pass `input` by keyword as PyTorch names it; peft's name is `x`."""
    return ((named.pop("input"), *args), named) if "input" in named else None


def adapted_parameter(name: str) -> str:
    """The name of the base model's parameter that an adapter's tensor adapts; other names are returned unchanged."""
    return re.sub(r"\.lora_[AB]\.weight$", ".weight", name)


@torch.no_grad()
def merge(denoiser: Module) -> dict[str, Tensor]:
    """Merge adapters into their layers for good; returns the weights that changed, by name."""
    layers = {name: _merged(layer) for name, layer in _adapted(denoiser).items()}
    for name, layer in layers.items():
        denoiser.set_submodule(name, layer)
    if layers:
        del denoiser.peft_config  # or peft would add the next adapters to these
    return {f"{name}.weight": layer.weight for name, layer in layers.items()}


@contextmanager
@torch.no_grad()
def merged(denoiser: Module) -> Iterator[None]:
    """Within, adapters are merged into their layers, and every parameter has its name in the base model."""
    # Not with peft's own merging, because unmerging rounds.
    adapted = _adapted(denoiser)
    try:
        for name, layer in adapted.items():
            denoiser.set_submodule(name, _merged(layer))
        yield
    finally:
        for name, layer in adapted.items():
            denoiser.set_submodule(name, layer)


def _adapted(denoiser: Module) -> dict[str, Any]:
    """Layers with adapters, by name."""
    return {name: module for name, module in denoiser.named_modules() if isinstance(module, LoraLayer)}


def _merged(layer: Any) -> Any:
    """A plain layer that computes the same as a layer with its adapter."""
    plain = copy.deepcopy(layer.get_base_layer())
    plain.weight += layer.get_delta_weight(ADAPTER).to(plain.weight.dtype)
    return plain
