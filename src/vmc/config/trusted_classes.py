"""Which classes the config of a run folder may name.

A `_target_` is called. One that was typed, or is in a YAML of this machine, is the user's own choice. One in a run
folder, which people share, must also be named by a YAML of this machine at the same place, unless the user trusts the
run.
"""

import re
from typing import Any

from vmc.config.checks import check_part
from vmc.config.known_keys import INSTRUCTIONS, any_item, named_targets, walk
from vmc.utils.errors import VmcError
from vmc.utils.text_files import shortened

CODE = "trust"
"""The argument of a class that lets a file's own code run."""
TRUST = "give trust=true if you made the run or know who did"


def is_allowed(place: str, target: Any) -> bool:
    """Whether a run's config may have a `_target_` at a place, such as `metrics.classifier`."""
    if place == "optimizer" and isinstance(target, str) and (found := re.fullmatch(r"torch\.optim\.(\w+)", target)):
        import torch

        named = getattr(torch.optim, found[1], None)
        return isinstance(named, type) and issubclass(named, torch.optim.Optimizer)
    return isinstance(target, str) and target in named_targets().get(any_item(place), ())


def check_foreign(node: Any, place: str, *, source: str, trust: bool = False) -> None:
    """Raise a VmcError if a part of a run's config would run code or look up values beyond what its group is for.

    Args:
        node: the part, as plain dicts and lists.
        place: its dotted key.
        source: the file that it comes from, for messages.
        trust: whether it may name any class.
    """
    for key, value in walk(node, place):
        parent, _, name = key.rpartition(".")
        if isinstance(value, str) and "${" in value:
            raise VmcError(f"{source} has {key}: {value}, but what refers to other values is not looked up in a run")
        if value == "???":
            raise VmcError(f"{source} has no value for {key}; make the run anew, or correct the file")
        if trust:
            continue
        if name == CODE and value is not False:
            raise VmcError(f"{source} has {key}: {value}, which runs the code of a file; {TRUST}")
        if name == "_target_" and not is_allowed(parent, value):
            raise VmcError(
                f"{source} has {key}: {shortened(str(value))}, which is no class that a YAML here names for {parent};"
                f" {TRUST}, or its YAML's folder as --config-dir"
            )
        partial = name == "_partial_" and f"{any_item(parent)}._partial_" in named_targets()
        if name in INSTRUCTIONS and name != "_target_" and not partial:
            raise VmcError(f"{source} has {key}, which no run of this project has; {TRUST}")


def build_foreign(node: Any, place: str, *, source: str, trust: bool = False) -> Any:
    """Build what a part of a run's config describes, after `check_foreign`."""
    from hydra.utils import instantiate

    check_foreign(node, place, source=source, trust=trust)
    check_part(node, place)
    return instantiate(node)
