"""Which parameters of a denoiser a run trains (paper, Sec. 3.2 and Table 2a, 2b).

Groups are predicates on parameter names, those of a UNet here and of other networks in their family
(`VideoModel.groups`), so a subset can be tested without a model. Training adapters is a subset of its own,
`vmc.models.lora.LoraSubset`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.nn import Module, Parameter

from vmc.utils.errors import VmcError

Groups = Mapping[str, Callable[[str], bool]]
"""Parameter groups: their names, and whether each contains the parameter of a name."""


# Temporal layers have an attn2 that attends to frames, not to text: matching the whole path segment `attentions`
# leaves out `temp_attentions` and `motion_modules`.
SPATIAL_KV = re.compile(r"(^|\.)attentions\.\d+\.transformer_blocks\.\d+\.attn2\.to_[kv]\.weight$")


def unet_groups(is_temporal: Callable[[str], bool]) -> Groups:
    """Parameter groups of a UNet with temporal layers between those of an image model (paper, Sec. 3.2, Table 2a, 2b).

        temporal     layers that mix frames
        spatial_kv   keys and values of the spatial cross-attention: what the text says about a frame
        spatial      all layers that are not temporal
        all          all layers

    `is_temporal` says whether the parameter of a name belongs to a temporal layer.
    """
    return {
        "temporal": is_temporal,
        "spatial_kv": lambda name: SPATIAL_KV.search(name) is not None,
        "spatial": lambda name: not is_temporal(name),
        "all": lambda name: True,
    }


def select_names(names: Iterable[str], chosen_groups: Sequence[str], groups: Groups) -> list[str]:
    """The names that belong to any of the chosen groups, in the order given; a VmcError if a group matches none."""
    names = list(names)
    check_groups(chosen_groups, groups)
    for group in chosen_groups:
        if not any(map(groups[group], names)):
            told = f"which matches none of the model's {len(names)} parameters"
            raise VmcError(f"parameters.groups names '{group}', {told}; choose a model with such layers or others")
    return [name for name in names if any(groups[group](name) for group in chosen_groups)]


def check_groups(chosen: Sequence[str], groups: Groups, *, key: str = "parameters.groups") -> None:
    """Raise a VmcError for a group that the family lacks; `key` is the setting that names it."""
    if unknown := [group for group in chosen if group not in groups]:
        other = "a pattern is like *.attn1.to_[qkv]" if key.endswith("targets") else "adapters are parameters=lora"
        told = f"which this family of models lacks; its groups are {', '.join(groups)} ({other})"
        raise VmcError(f"{key} names '{unknown[0]}', {told}")


class Subset(ABC):
    """Which parameters of a denoiser are trained; `groups` are those of its family."""

    @abstractmethod
    def select(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """The trained parameters by name, in the order of `denoiser.named_parameters()`."""

    def check(self, groups: Groups) -> None:  # noqa: B027 - most have nothing to refuse
        """Raise a VmcError, before anything is loaded, for what the family lacks."""

    def select_trainable(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """Make exactly the subset require gradients, and return it by name."""
        selected = self.select(denoiser, groups)
        denoiser.requires_grad_(False)  # no gradient at all: a zero one would still let AdamW's decay move a weight
        for parameter in selected.values():
            parameter.requires_grad_(True)
        return selected

    def places(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """The parameters by name that a delta of the subset is copied into."""
        return dict(denoiser.named_parameters())

    def describe(self) -> dict[str, Any]:
        """The subset in a delta's metadata, from which `vmc.training.tuned_weights` can make it again."""
        return {"groups": [type(self).__name__]}


@dataclass(frozen=True, kw_only=True)
class ParameterSubset(Subset):
    """The union of named groups; without any, nothing in the denoiser is trained (the token alone)."""

    groups: Sequence[str] = ("temporal", "spatial_kv")

    def check(self, groups: Groups) -> None:
        """Raise a VmcError for a group that the family lacks."""
        check_groups(self.groups, groups)

    def select(self, denoiser: Module, groups: Groups) -> dict[str, Parameter]:
        """The parameters of the groups."""
        parameters = dict(denoiser.named_parameters())
        return {name: parameters[name] for name in select_names(parameters, self.groups, groups)}

    def describe(self) -> dict[str, Any]:
        """Its groups."""
        return {"groups": list(self.groups)}
