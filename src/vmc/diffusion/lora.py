"""Low-rank adapters beside frozen layers, in place of the layers' own weights (LoRA, Hu et al. 2022).

Beside a layer W runs (alpha / rank) * B A. A begins at random and B at zero, so the adapted model begins as the base.
peft wraps the layers for it, which renames their parameters. Outside this file an adapter's tensors are called
`LAYER.lora_A.weight` and `LAYER.lora_B.weight`, LAYER being the name in the base model.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch.nn import Conv2d, Conv3d, Linear, Module, Parameter, init

from vmc.diffusion.parameters import GROUPS
from vmc.errors import VmcError
from vmc.randomness import generator

ADAPTER = "default"
ADAPTABLE = (Linear, Conv2d, Conv3d)


@dataclass(frozen=True, kw_only=True)
class LoraSubset:
    """Adapters are trained and nothing else; it stands where a `ParameterSubset` does.

    Args:
        rank: of every adapter.
        alpha: an adapter's output is multiplied by alpha / rank.
        targets: groups of `vmc.diffusion.parameters`, or patterns of layer names (`*.attn1.to_[qkv]`). The linear
            layers and convolutions among what they name get adapters; norms have none.
        seed: of the run; A is drawn from it, layer by layer.
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
            raise VmcError(
                f"parameters.targets is '{self.targets or ''}'; it must be a list of groups or of patterns of layer"
                " names, such as [temporal, spatial_kv]"
            )

    def layers(self, unet: Module) -> list[str]:
        """Names of the layers that get adapters, in the model's order.

        Raises:
            VmcError: a target that names none.
        """
        adaptable = [name for name, module in unet.named_modules() if isinstance(module, ADAPTABLE)]
        chosen: set[str] = set()
        for target in self.targets:
            matched = {name for name in adaptable if _names(target, name)}
            if not matched:
                raise VmcError(
                    f"parameters.targets names '{target}', which matches none of the model's {len(adaptable)} linear"
                    f" layers and convolutions; give a group ({', '.join(GROUPS)}) or a pattern of layer names such as"
                    " *.attn1.to_[qkv]"
                )
            chosen |= matched
        return [name for name in adaptable if name in chosen]

    def freeze_rest(self, unet: Module) -> dict[str, Parameter]:
        """Put the adapters in, let them alone require gradients, and return them by name."""
        adapters = self.places(unet)
        for name, parameter in adapters.items():
            if ".lora_A." in name:
                # As peft and LoRA's own code draw it: uniform within 1 / sqrt(inputs).
                init.kaiming_uniform_(parameter, a=5**0.5, generator=generator(self.seed, "lora", name))
            else:
                init.zeros_(parameter)
            parameter.requires_grad_(True)
        return adapters

    def places(self, unet: Module) -> dict[str, Parameter]:
        """Put the adapters in, and return by name what a delta of theirs is copied into."""
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=self.layers(unet))  # type: ignore[arg-type]
        # peft draws initial weights, which are replaced; the global generator is left as it was.
        with torch.random.fork_rng(devices=[]):
            inject_adapter_in_model(config, unet, adapter_name=ADAPTER)
        unet.train(unet.training)  # the new modules, too
        unet.requires_grad_(False)
        adapters = {name: parameter for name, parameter in unet.named_parameters() if ".lora_" in name}
        return {name.replace(f".{ADAPTER}.", "."): parameter for name, parameter in adapters.items()}

    def describe(self) -> dict[str, Any]:
        """What a delta says of it; `vmc.training.delta` makes the subset of it again."""
        targets = [str(target) for target in self.targets]
        return {"groups": ["lora"], "lora": {"rank": self.rank, "alpha": self.alpha, "targets": targets}}


def _names(target: str, layer: str) -> bool:
    """Whether a target, group or pattern, names a layer."""
    return GROUPS[target](f"{layer}.weight") if target in GROUPS else fnmatchcase(layer, target)


@contextmanager
@torch.no_grad()
def merged(unet: Module) -> Iterator[None]:
    """Within, adapters are part of the weights, and every parameter has its name in the base model; then as before.

    A UNet without adapters stays as it is.
    """
    adapted: dict[str, Any] = {name: module for name, module in unet.named_modules() if isinstance(module, LoraLayer)}
    try:
        for name, layer in adapted.items():
            plain = copy.deepcopy(layer.get_base_layer())
            plain.weight += layer.get_delta_weight(ADAPTER).to(plain.weight.dtype)
            unet.set_submodule(name, plain)
        yield
    finally:
        for name, layer in adapted.items():
            unet.set_submodule(name, layer)
