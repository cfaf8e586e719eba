"""The known keys, and how an unknown or misspelt one is refused ("did you mean ...?").

Known are those in the YAMLs of all choices of each group, and the arguments of their classes.

The YAMLs are those that ship, and those in the command's `--config-dir` and `hydra.searchpath`.
"""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

from vmc.config.folders import config_folder, config_folders, group_files, group_names, package_of
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import read_yaml

INSTRUCTIONS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys that Hydra itself interprets."""
OVERLAYS = ("ablation", "baseline")
"""Groups that are added to a training command with a plus."""
FREE = ("hydra", "prompts.known", "figures")
"""Keys outside of classes, below which any key is allowed."""
LISTS = ("metrics",)
"""Groups in which any key may hold a class or null."""
ABSENT = object()
EXTRAS = {"bitsandbytes": "pip install 'vmc[bnb]', or use optimizer=adamw"}
"""Packages that extras of the project install -> what to do if a YAML names a class of one that is missing."""
ALTERNATIVE = re.compile(r"\b[A-Za-z_]\w*(?:\.\w+){2,}")
"""A dotted name in the comment on the line of a `_target_` or below it, which is allowed as well."""
NAMED = re.compile(r"_target_: *([\w.]+)(.*(?:\n\s*#.*)?)")
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
FREE_TEXT = (
    *("prompt", "motion.caption", "motion.label", "motion.language", "motion.prompt", "subject.caption", "token.word"),
    "data.source.caption",
    *("token.further.subject.word", "figure3.subject", "choice.motion", "choice.text"),
)
"""Keys whose value is always text."""
PATHS = (
    *("output", "init", "run", "runs", "videos", "cache", "export", "data.path", "data.source.regularization_path"),
    *("model.path", "prompts.file", "regularization.path", "regularization.csv", "subject.path", "choice.key"),
    *("choice.answers", "model.motion_adapter", "data.source.held_out_path"),
    *("metrics.*.path", "metrics.classifier.labels"),
)
"""Keys whose value is a path, in which `~` is the home folder and `${key}` refers to another key."""
NAME_KEYS = ("arm", "motion.name", "logger.name", "logger.project", "logger.group")
"""Keys whose value is a name, quoted like a path."""
ANYTHING = "**"
"""Among the arguments of a class: it takes any."""


# --- nested keys ------------------------------------------------------------------------------------------------------


def join(place: str, name: object) -> str:
    """The dotted key of a name below a place, which is empty for the outermost level."""
    return f"{place}.{name}" if place and name else f"{place}{name}"


def walk(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key below a place with its value; the indices of a list count as keys."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, value in items:
        yield (key := f"{place}.{name}" if place else str(name)), value
        yield from walk(value, key)


def find(tree: Any, key: str) -> Any:
    """The value of a dotted key in nested dicts, or `ABSENT`."""
    for part in key.split(".") if key else ():
        if not isinstance(tree, Mapping) or part not in tree:
            return ABSENT
        tree = tree[part]
    return tree


def is_path(key: str) -> bool:
    """Whether the value of a dotted key is a path."""
    return any(fnmatchcase(key, pattern) for pattern in PATHS)


# --- classes ----------------------------------------------------------------------------------------------------------


@cache
def arguments(target: str) -> Mapping[str, inspect.Parameter]:
    """Import a class or function by its dotted name and return its arguments; `ANYTHING` is one if it takes any."""
    module, _, name = target.rpartition(".")
    try:
        called = getattr(import_module(module), name)
        try:
            found = inspect.signature(called, eval_str=True)
        except Exception:  # annotations that cannot be evaluated
            found = inspect.signature(called)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        remedy = EXTRAS.get(module.partition(".")[0], "give the dotted name of a class that is installed")
        raise VmcError(f"_target_ is {target}, which cannot be imported ({error}); {remedy}") from error
    return {ANYTHING if one.kind is one.VAR_KEYWORD else name: one for name, one in found.parameters.items()}


def named_targets() -> Mapping[str, frozenset[str]]:
    """The classes that YAMLs of this machine name, by place (`metrics.classifier`); `PLACE.*` are items of a list."""
    return _named(config_folders())


@cache
def _named(folders: tuple[Path, ...]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    other_place: dict[str, str] = {}  # places that refer to another, as in `sampler: ${sampler}`
    # Only the groups of each folder are read, because below it may be runs of somebody else.
    files = [(group, file) for group in group_names() for file in group_files(group, folders)]
    for group, file in [*(("", file) for file in config_folder().glob("*.yaml")), *files]:
        try:
            content, text = _read(file), file.read_text(encoding="utf-8")
        except VmcError:
            continue  # an error for the runs that choose it
        comments = {line[1]: line[2].partition("#")[2] for line in NAMED.finditer(text)}
        for key, value in walk(content, package_of(text, group)):
            parent, _, name = any_item(key).rpartition(".")
            if name == "_target_" and isinstance(value, str):
                found.setdefault(parent, set()).update([value, *ALTERNATIVE.findall(comments.get(value, ""))])
            elif name == "_partial_":
                found[any_item(key)] = {str(value)}
            elif isinstance(value, str) and (same := REFERENCE.fullmatch(value)):
                other_place[any_item(key)] = same[1]
    for place, other in other_place.items():  # with all places below it
        for below, names in [(below, names) for below, names in found.items() if f"{below}.".startswith(f"{other}.")]:
            found.setdefault(f"{place}{below.removeprefix(other)}", set()).update(names)
    return {place: frozenset(names) for place, names in found.items()}


def any_item(key: str) -> str:
    """A dotted key with `*` in place of each index of a list."""
    return ".".join("*" if part.isdecimal() else part for part in key.split("."))


# --- the keys of a command --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schema:
    """The keys of a command: `tree` holds them nested, with a value that some YAML gives, and `groups` the names of its
    groups, overlays included.
    """

    tree: Mapping[str, Any]
    groups: tuple[str, ...] = ()

    def unknown(self, node: Any, known: Any = None, place: str = "") -> Iterator[str]:
        """Dotted keys of a composed config, as plain dicts, that nothing reads; or of its part at a place, where YAMLs
        have the keys `known`.
        """
        if not isinstance(node, Mapping) or place in FREE:
            return
        known = known if place else self.tree
        target = node["_target_"] if isinstance(node.get("_target_"), str) else None
        for name, value in node.items():
            if name in INSTRUCTIONS:
                continue
            key = join(place, name)
            below = known.get(name, ABSENT) if isinstance(known, Mapping) else ABSENT
            if below is ABSENT and target:  # a key in no YAML may be an argument of the class
                taken = arguments(target)
                named = value is None or (isinstance(value, Mapping) and "_target_" in value)
                if name in taken or (ANYTHING in taken and (named or place not in LISTS)):
                    below = None
            if below is ABSENT:
                yield key
                continue
            if isinstance(below, str) and (other := REFERENCE.fullmatch(below)):
                below = find(self.tree, other[1])
            unknown = list(self.unknown(value, below, key))
            if unknown and not (target and "_target_" not in value and _takes_mapping(target, name)):
                yield from unknown

    def explain(self, key: str) -> str:
        """Why a key that was typed without a plus is in no chosen YAML, and what to do."""
        group, _, inner = key.partition(".")
        parent, _, name = key.rpartition(".")
        files = group_files(group) if group in self.groups and inner else []
        if choices := [f"{group}={file.stem}" for file in files if _sets(file, group, inner)]:
            return f"{key} belongs to {' or '.join(choices)}, which is not chosen; choose it, or leave the key out"
        known = find(self.tree, key) is not ABSENT or key in self.groups or group == "hydra"
        if known or any(_takes(target, name) for target in named_targets().get(parent, ())):
            return f"{key} stands in no file that is chosen; +{key}=... adds it"
        return self.refusal(key)

    def refusal(self, key: str) -> str:
        """The message for an unknown key, with the most similar known one of its group, else of all."""
        parent, _, last = key.rpartition(".")
        names = [name for name, _ in walk(self.tree) if not re.search(r"(^|\.)(\d+|_\w+_)(\.|$)", name)]
        siblings = [name for name in names if parent and name.rpartition(".")[0] == parent]
        names += [f"+{name}" if name in OVERLAYS else name for name in self.groups]
        by_last = {name.rpartition(".")[2]: name for name in names}
        near = difflib.get_close_matches(key, siblings, 1) or difflib.get_close_matches(key, names, 1)
        near = near or [by_last[name] for name in difflib.get_close_matches(last, list(by_last), 1)]
        remedy = f"did you mean {near[0]}?" if near else "--help lists the groups and keys there are"
        return f"{key} is unknown; {remedy}"


def _takes(target: str, name: str) -> bool:
    try:
        return name in arguments(target)
    except VmcError:  # its package is not installed
        return False


def _takes_mapping(target: str, name: str) -> bool:
    """Whether an argument of a class is a mapping, in which any key is allowed: names of classes, captions."""
    taken = arguments(target)
    kind = taken[name].annotation if name in taken else Any
    made = [get_origin(one) or one for one in (kind, *get_args(kind))]
    mappings = [one for one in made if isinstance(one, type) and issubclass(one, Mapping)]
    return isinstance(kind, str) or bool(mappings) or any(one in (Any, inspect.Parameter.empty) for one in made)


def schema_of(command: str) -> Schema:
    """The keys of `train`, `generate`, `evaluate` or `report`."""
    return _schema(command, config_folders())


@cache
def _schema(command: str, folders: tuple[Path, ...]) -> Schema:
    primary = _read(config_folder() / f"{command}.yaml")
    groups = [name for default in primary.pop("defaults") for name in (default if isinstance(default, dict) else ())]
    groups = [name.removeprefix("optional ") for name in groups if not name.startswith("override ")]
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


def _sets(file: Path, group: str, inner: str) -> bool:
    """Whether a YAML sets a key of its group, also if its package is the outermost level."""
    outermost = not package_of(file.read_text(encoding="utf-8"), group)
    return find(_read(file), f"{group}.{inner}" if outermost else inner) is not ABSENT


def _merge(tree: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add keys to a tree; values of one key are merged if they are mappings, else the first that is not null stays."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            inner = dict(tree[key]) if isinstance(tree.get(key), Mapping) else {}
            _merge(inner, value)
            tree[key] = inner
        elif tree.get(key) is None:
            tree[key] = value
