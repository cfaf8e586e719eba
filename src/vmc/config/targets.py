"""Which classes a config may name, and building what a config from elsewhere describes.

A `_target_` is called. One that was typed here, or stands in a YAML of this machine, is the user's own choice. One in a
run folder came with the folder, which people share: a YAML of this machine must name it at the same place, unless the
user trusts the run. The YAMLs are those that ship and those of the command's `--config-dir` and `hydra.searchpath`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vmc.config.folders import config_folder, config_folders, group_files, group_names, package_of
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import SafeLoader

INSTRUCTIONS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys that Hydra follows in place of handing them on."""
CODE = "trust"
"""The key of a class by which a file's own code may run."""
TRUST = "give trust=true if you made the run or know who did"
OWN = f"{TRUST}, or its YAML's folder as --config-dir"
ALTERNATIVE = re.compile(r"\b[A-Za-z_]\w*(?:\.\w+){2,}")
"""A dotted name in the comment on the line of a `_target_`, or below it: what may stand there too."""


def named_targets() -> Mapping[str, frozenset[str]]:
    """The classes that YAMLs of this machine name at each place: `metrics.classifier`; `PLACE.*` are a list's items."""
    return _named(config_folders())


@cache
def _named(folders: tuple[Path, ...]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    other_place: dict[str, str] = {}  # whose value stands there: sampler: ${sampler}
    # Of no other folders: below one that is given may lie runs of somebody else.
    files = [(group, file) for group in group_names() for file in group_files(group, folders)]
    for group, file in [*(("", file) for file in config_folder().glob("*.yaml")), *files]:
        try:
            text = file.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=SafeLoader)
        except (yaml.YAMLError, ValueError):
            continue  # a run that chooses it is told of it
        lines = text.splitlines()
        for place, name, value, line in _scalars(node, package_of(text, group)):
            if name == "_target_":
                below = lines[line + 1] if line + 1 < len(lines) and lines[line + 1].lstrip().startswith("#") else ""
                others = ALTERNATIVE.findall(lines[line].partition("#")[2] + below)
                found.setdefault(place, set()).update([value, *others])
            elif name == "_partial_":
                found.setdefault(f"{place}._partial_", set()).add(value)
            elif same := re.fullmatch(r"\$\{([\w.]+)\}", value):
                other_place[_joined(place, name)] = same[1]
    for place, other in other_place.items():
        found.setdefault(place, set()).update(found.get(other, ()))
    return {place: frozenset(names) for place, names in found.items()}


def _scalars(node: Any, place: str, name: str = "") -> Iterator[tuple[str, str, str, int]]:
    """Of every value: the place of its mapping, its key, its text, and the number of its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, _joined(place, name), str(key.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value, _joined(place, name), "*")
    elif isinstance(node, yaml.ScalarNode):
        yield place, name, node.value, node.start_mark.line


def _joined(place: str, name: str) -> str:
    return ".".join(part for part in (place, name) if part)


def allowed(place: str, target: Any) -> bool:
    """Whether a `_target_` may stand at a place, such as `metrics.classifier`, of a run's config."""
    if not isinstance(target, str):
        return False
    if place == "optimizer" and (found := re.fullmatch(r"torch\.optim\.(\w+)", target)):
        import torch

        named = getattr(torch.optim, found[1], None)
        return isinstance(named, type) and issubclass(named, torch.optim.Optimizer)
    return target in named_targets().get(_any_item(place), ())


def _any_item(place: str) -> str:
    return ".".join("*" if part.isdecimal() else part for part in place.split("."))


def check_foreign(node: Any, place: str, *, source: str, trust: bool = False) -> None:
    """Refuse what a part of a run's config would run or look up beside building what its group is for.

    Args:
        node: the part, as plain dicts and lists.
        place: its dotted key.
        source: the file it comes from, for messages.
        trust: whatever class it names is the user's own wish.

    Raises:
        VmcError: naming the first such thing.
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
        if name not in INSTRUCTIONS:
            continue
        if name == "_target_" and not allowed(parent, value):
            raise VmcError(f"{source} has {key}: {value}, which is no class that a YAML here names for {parent}; {OWN}")
        if name != "_target_" and not (name == "_partial_" and f"{_any_item(parent)}._partial_" in named_targets()):
            raise VmcError(f"{source} has {key}, which no run of this project has; {TRUST}")


def walk(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key below a place with its value; the places of a list count as keys."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in items:
        yield (inner := f"{place}.{key}" if place else str(key)), value
        yield from walk(value, inner)


def build_foreign(node: Any, place: str, *, source: str, trust: bool = False, **more: Any) -> Any:
    """What a part of a run's config describes, built once it is known to be harmless.

    Args:
        node, place, source, trust: see `check_foreign`.
        more: further arguments of the class.

    Raises:
        VmcError: it is not harmless, or its class refuses it.
    """
    from hydra.utils import instantiate

    from vmc.config.values import check_part

    check_foreign(node, place, source=source, trust=trust)
    check_part(node, place)
    return instantiate(node, **more)
