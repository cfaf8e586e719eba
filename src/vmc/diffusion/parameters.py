"""Which parameters of a diffusers `UNet3DConditionModel` a run trains (paper, Sec. 3.2 and Table 2a, 2b).

Groups are sets over parameter names, so a subset can be stated, compared and tested without a model:

    temporal     transformer_in, temp_convs, temp_attentions: what mixes frames
    spatial_kv   keys and values of the spatial cross-attention: what the text says about a frame
    spatial      everything that is not temporal
    all          everything

Adapters beside the parameters are a subset of their own, `vmc.diffusion.lora.LoraSubset`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch.nn import Module, Parameter

from vmc.errors import VmcError

TEMPORAL_MODULES = frozenset({"transformer_in", "temp_convs", "temp_attentions"})

# `temp_attentions` has an attn2 of its own, which attends to frames and not to text: the match on the whole path
# segment `attentions` leaves it out.
SPATIAL_KV = re.compile(r"(^|\.)attentions\.\d+\.transformer_blocks\.\d+\.attn2\.to_[kv]\.weight$")


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a layer that mixes frames."""
    return not TEMPORAL_MODULES.isdisjoint(name.split("."))


GROUPS: dict[str, Callable[[str], bool]] = {
    "temporal": is_temporal,
    "spatial_kv": lambda name: SPATIAL_KV.search(name) is not None,
    "spatial": lambda name: not is_temporal(name),
    "all": lambda name: True,
}


def select_names(names: Iterable[str], groups: Sequence[str]) -> list[str]:
    """The names that belong to any of the groups, in the order given.

    Raises:
        VmcError: an unknown group, or one that matches none of the names.
    """
    names = list(names)
    chosen: set[str] = set()
    for group in groups:
        if group not in GROUPS:
            known = ", ".join(GROUPS)
            raise VmcError(f"parameters.groups names '{group}'; the groups are {known} (for adapters: parameters=lora)")
        matched = {name for name in names if GROUPS[group](name)}
        if not matched:
            raise VmcError(
                f"parameters.groups names '{group}', which matches none of the model's {len(names)} parameters;"
                " choose a model with such layers or another subset"
            )
        chosen |= matched
    return [name for name in names if name in chosen]


class Subset(Protocol):
    """What is trained of a UNet, as module, session and delta see it."""

    def freeze_rest(self, unet: Module) -> dict[str, Parameter]:
        """Let exactly the subset require gradients, and return it by name."""

    def places(self, unet: Module) -> dict[str, Parameter]:
        """What a delta of the subset is copied into, by name."""

    def describe(self) -> dict[str, Any]:
        """What the delta says of it: `groups`, and what else `vmc.training.delta.subset_of` needs."""


@dataclass(frozen=True, kw_only=True)
class ParameterSubset:
    """The union of named groups; no group at all trains nothing in the UNet (the token alone)."""

    groups: Sequence[str] = ("temporal", "spatial_kv")

    def names(self, unet: Module) -> list[str]:
        """Names of the trained parameters, in the order of `unet.named_parameters()`."""
        return select_names((name for name, _ in unet.named_parameters()), self.groups)

    def freeze_rest(self, unet: Module) -> dict[str, Parameter]:
        """Let exactly the subset require gradients, and return it by name.

        What is frozen gets no gradient at all: a zero gradient would still let AdamW's decay move it.
        """
        trained = set(self.names(unet))
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(name in trained)
        return {name: parameter for name, parameter in unet.named_parameters() if name in trained}

    def places(self, unet: Module) -> dict[str, Parameter]:
        """What a delta of the subset is copied into, by name."""
        return dict(unet.named_parameters())

    def describe(self) -> dict[str, Any]:
        """What the delta says of it."""
        return {"groups": list(self.groups)}
