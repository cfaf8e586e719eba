"""Which keys there are: those of the YAMLs, all choices of a group together, and the arguments of their classes."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from vmc.config.folders import config_folder, config_folders, group_files, package_of
from vmc.config.targets import INSTRUCTIONS, named_targets
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import read_yaml

OVERLAYS = ("ablation", "baseline")
"""Groups that a training adds with a plus."""
FREE = ("hydra", "prompts.known", "figures")
"""Keys of no class below which any key may stand."""
LISTS = ("metrics",)
"""Groups in which a class, or null, may stand under any key."""
ABSENT = object()
RETIRED = {"data.step": "clips are sampled in time: data.fps says how many frames a second are taken"}
"""Keys of earlier versions, and what stands in their place."""


@dataclass(frozen=True)
class Schema:
    """The keys of one command.

    Args:
        tree: nested keys with a value that a YAML gives; a dict is a mapping of further keys.
        groups: names of the groups, overlays included.
    """

    tree: Mapping[str, Any]
    groups: tuple[str, ...] = field(default=())

    def unknown(self, config: Any) -> Iterator[str]:
        """Dotted keys of a composed config, as plain dicts, that nothing reads."""
        yield from self._unknown(config, self.tree, "")

    def _unknown(self, node: Any, known: Any, place: str) -> Iterator[str]:
        if not isinstance(node, Mapping) or place in FREE:
            return
        target = node.get("_target_")
        for name, value in node.items():
            key = f"{place}.{name}" if place else str(name)
            below = known.get(name, ABSENT) if isinstance(known, Mapping) else ABSENT
            if name in INSTRUCTIONS:
                continue
            if below is ABSENT and isinstance(target, str):  # imported for a key that no YAML has
                taken = arguments(target)
                named = value is None or (isinstance(value, Mapping) and "_target_" in value)
                below = None if name in (taken or ()) or (taken is None and (named or place not in LISTS)) else ABSENT
            if below is ABSENT:
                yield key
                continue
            if isinstance(below, str) and (other := re.fullmatch(r"\$\{([\w.]+)\}", below)):
                below = find(self.tree, other[1])
            unknown = list(self._unknown(value, below, key))
            if unknown and not (isinstance(target, str) and "_target_" not in value and _takes_any(target, name)):
                yield from unknown

    def knows(self, key: str) -> bool:
        """Whether a dotted key is in a YAML, or an argument of a class that may stand there."""
        parent, _, name = key.rpartition(".")
        if find(self.tree, key) is not ABSENT or key in self.groups or key.split(".")[0] == "hydra":
            return True
        return any(name in (arguments(target) or {}) for target in named_targets().get(parent, ()))

    def choices(self, key: str) -> list[str]:
        """The choices of its group, `token=trained`, whose YAML has a dotted key."""
        group, _, inner = key.partition(".")
        files = group_files(group) if group in self.groups and inner else []
        return [f"{group}={file.stem}" for file in files if find(_read(file), inner) is not ABSENT]

    def nearest(self, key: str) -> str | None:
        """The known key that is most like another one: of its own group, else of all."""
        siblings = find(self.tree, key.rpartition(".")[0])
        if isinstance(siblings, Mapping) and "." in key:
            prefix = key.rpartition(".")[0]
            if near := difflib.get_close_matches(key, [f"{prefix}.{name}" for name in siblings if name[0] != "_"], 1):
                return near[0]
        names = [name for name in _flat(self.tree) if not any(part in INSTRUCTIONS for part in name.split("."))]
        names += [f"+{name}" if name in OVERLAYS else name for name in self.groups]
        if near := difflib.get_close_matches(key, names, 1):
            return near[0]
        last = {name.rpartition(".")[2]: name for name in names}
        near = difflib.get_close_matches(key.rpartition(".")[2], list(last), 1)
        return last[near[0]] if near else None

    def advice(self, key: str) -> str:
        """What to do about an unknown key."""
        if key in RETIRED:
            return RETIRED[key]
        near = self.nearest(key)
        return f"did you mean {near}?" if near else "--help lists the groups and keys there are"


def find(tree: Any, key: str) -> Any:
    """What stands in nested dicts under a dotted key; `ABSENT` where nothing does."""
    for part in key.split(".") if key else ():
        if not isinstance(tree, Mapping) or part not in tree:
            return ABSENT
        tree = tree[part]
    return tree


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")


def _takes_any(target: str, name: str) -> bool:
    """Whether an argument of a class is a mapping, below which any key may stand: names of classes, captions."""
    kind = annotations(target).get(name, Any)
    made = [get_origin(one) or one for one in (kind, *get_args(kind))]
    return any(one is Any or (isinstance(one, type) and issubclass(one, Mapping)) for one in made)


@cache
def annotations(target: str) -> Mapping[str, Any]:
    """The kinds of the arguments of a class or function; of those that can be told."""
    module, _, name = target.rpartition(".")
    called = getattr(import_module(module), name)
    try:
        return get_type_hints(called.__init__ if isinstance(called, type) else called)  # type: ignore[misc]
    except (NameError, TypeError, AttributeError):  # kinds that are imported for checkers of types alone
        return {}


@cache
def arguments(target: str) -> Mapping[str, inspect.Parameter] | None:
    """The arguments of a class or function by its dotted name; None where it takes any.

    Raises:
        VmcError: it cannot be imported.
    """
    module, _, name = target.rpartition(".")
    try:
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        remedy = "give the dotted name of a class that is installed"
        if module.startswith("bitsandbytes"):
            remedy = "pip install 'vmc[bnb]', or use optimizer=adamw"
        raise VmcError(f"_target_ is {target}, which cannot be imported ({error}); {remedy}") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return dict(parameters)


def schema_of(command: str) -> Schema:
    """The keys of `train`, `generate`, `evaluate` or `report`."""
    return _schema(command, config_folders())


@cache
def _schema(command: str, folders: tuple[Path, ...]) -> Schema:
    primary = _read(config_folder() / f"{command}.yaml")
    groups = [name for default in primary.pop("defaults") for name in (default if isinstance(default, dict) else ())]
    groups = [name for name in groups if not name.startswith("override ")]
    if command == "train":
        groups += OVERLAYS
    for group in groups:
        for file in group_files(group, folders):
            content = _read(file)
            content.pop("defaults", None)
            place = package_of(file.read_text(encoding="utf-8"), group)
            for part in reversed(place.split(".") if place else []):
                content = {part: content}
            _merge(primary, content)
    primary.pop("hydra", None)
    return Schema(primary, tuple(groups))


def _read(file: Path) -> dict[str, Any]:
    return dict(read_yaml(file, remedy="correct it, or install the project anew where it is the project's") or {})


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add keys; of a value that several YAMLs give, a mapping stays, else the first that is not null."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            inner = dict(tree[key]) if isinstance(tree.get(key), Mapping) else {}
            _merge(inner, value)
            tree[key] = inner
        elif tree.get(key) is None:
            tree[key] = value
