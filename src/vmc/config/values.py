"""Which values keys may have: those that the arguments of their class are annotated with, or their default's kind."""

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from vmc.config.free_text import is_path
from vmc.config.schema import annotations, arguments
from vmc.config.targets import INSTRUCTIONS, walk
from vmc.utils.errors import VmcError

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Bounds:
    """Numbers that a key takes, by its pattern; both ends belong to them."""

    low: float
    high: float
    remedy: str


BOUNDS = {
    "seed": Bounds(0, LARGEST, f"a whole number from 0 to {LARGEST}"),
    "seeds.*": Bounds(0, LARGEST, f"a whole number from 0 to {LARGEST}"),
    "prompts.seeds.*": Bounds(0, LARGEST, f"a whole number from 0 to {LARGEST}"),
    "figure3.seed": Bounds(0, LARGEST, f"a whole number from 0 to {LARGEST}"),
    "optimizer.lr": Bounds(0, math.inf, "a rate of 0 or more"),
    "token.learning_rate": Bounds(0, math.inf, "a rate of 0 or more"),
    "token.further.*.learning_rate": Bounds(0, math.inf, "a rate of 0 or more"),
    "rates.*": Bounds(0, math.inf, "a rate of 0 or more"),
    "optimizer.betas.*": Bounds(0, math.nextafter(1, 0), "a number from 0 to below 1"),
    "optimizer.eps": Bounds(0, math.inf, "a number of 0 or more"),
    "optimizer.weight_decay": Bounds(0, math.inf, "a number of 0 or more"),
}
KINDS: dict[str, Any] = {
    # Keys outside of any class whose default is null or a list. All others have the kind of their default.
    **dict.fromkeys(("cache", "control", "export", "init", "prompt", "push", "run", "videos"), str | None),
    **dict.fromkeys(("batch_size", "generation_batch", "step", "prompts.limit", "figure3.seed"), int | None),
    **dict.fromkeys(("figure3.motion", "figure3.subject"), str | None),
    **dict.fromkeys(("seeds", "prompts.seeds"), Sequence[int]),
    **dict.fromkeys(("output", "arm", "runs"), str),
    "prompts.file": str | None,
    "prompts.known": Mapping[str, str] | None,
    "stop.appearance": float | None,
    "rates.*": float,
}
NULLABLE = ("parameters", "figures.*")
"""Keys, by pattern, that may be null where a YAML has a mapping: nothing is trained, a figure is not drawn."""
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    types.NoneType: "null",
}


def check_numbers(config: Any, place: str = "") -> None:
    """Refuse numbers that are none, infinities and what no computer's integer holds, wherever they stand.

    Raises:
        VmcError: naming the key.
    """
    for key, value in walk(config, place):
        if not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise VmcError(f"{key} is {value}; it must be a finite number")
        for pattern, bounds in BOUNDS.items():
            if fnmatchcase(key, pattern) and not bounds.low <= value <= bounds.high:
                raise VmcError(f"{key} is {_said(value)}; it must be {bounds.remedy}")
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise VmcError(f"{key} is {_said(value)}; it must lie within {-LARGEST} and {LARGEST}")


def check_loose(config: Mapping[str, Any], tree: Mapping[str, Any], place: str = "") -> None:
    """Check the values that belong to no class, by `KINDS` and by the defaults in the YAMLs.

    Args:
        config: a composed config as plain dicts, or a part of it.
        tree: the keys of the YAMLs with their values, in the same shape.
        place: the part's dotted key.

    Raises:
        VmcError: naming key, value and what it must be.
    """
    if "_target_" in config:
        return
    for name, value in config.items():
        key, default = f"{place}.{name}" if place else name, tree.get(name)
        kind = next((kind for pattern, kind in KINDS.items() if fnmatchcase(key, pattern)), None)
        if isinstance(value, Mapping) and (kind is None or "_target_" in value):
            check_loose(value, default if isinstance(default, Mapping) else {}, key)
        elif isinstance(default, Mapping) and kind is None:
            if value is not None or not any(fnmatchcase(key, pattern) for pattern in NULLABLE):
                raise VmcError(f"{key} is {_said(value)}; it must be a mapping {{key: value}} or a choice of a group")
        elif kind is not None:
            if value is not None or default is not None:  # a default of null may stay
                check_value(key, value, kind)
        elif type(default) in (bool, int, float) or (isinstance(default, str) and "${" not in default):
            check_value(key, value, type(default))


def check_part(node: Any, place: str) -> None:
    """Check the arguments of the class that a part of a config names, and of those below it.

    Args:
        node: the part, as plain dicts and lists.
        place: its dotted key.

    Raises:
        VmcError: naming key, value and what it must be.
    """
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    taken, kinds = (arguments(target), annotations(target)) if isinstance(target, str) else (None, {})
    for name, value in node.items():
        if name in INSTRUCTIONS:
            continue
        key = f"{place}.{name}"
        if taken is not None and name not in taken:
            known = ", ".join(taken) or "no settings"
            raise VmcError(f"{key} is given, but {str(target).rpartition('.')[2]} takes {known}; leave it out")
        if name in kinds:
            check_value(key, value, kinds[name])
        for inner, part in _parts_of(value, key):
            check_part(part, inner)
    if taken is not None and "_partial_" not in node:
        _check_given(node, place, taken)


def _parts_of(value: Any, key: str) -> list[tuple[str, Any]]:
    """The mappings that an argument is or holds, with their places."""
    if isinstance(value, list | tuple):
        return [(f"{key}.{number}", part) for number, part in enumerate(value)]
    return [(key, value)]


GIVEN_LATER = {"regularization": ("source", "seed", "base_videos")}
"""Arguments that no config has: the run hands them on."""


def _check_given(node: Mapping[str, Any], place: str, taken: Mapping[str, inspect.Parameter]) -> None:
    for name, parameter in taken.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in node and name not in GIVEN_LATER.get(place, ()):
            raise VmcError(f"{place}.{name} is not set and has no default; give {place}.{name}=...")


def check_value(key: str, value: Any, kind: Any) -> None:
    """Refuse a value of another kind.

    Raises:
        VmcError: naming the key, the value and what it must be.
    """
    if not fits(value, kind):
        raise VmcError(f"{key} is {_said(value)}; it must be {words(kind)}{_hint(key, value, kind)}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a plain value may be handed to an argument that is annotated with a kind."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # what its class makes is checked when it is made
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner and not isinstance(value, bool)
    if kind is None or kind is types.NoneType:
        return value is None
    if kind is Any or kind is object:
        return True
    if check := _PLAIN.get(kind):
        return check(value)
    made = origin or kind
    if not isinstance(made, type):
        return True
    if issubclass(made, Mapping):
        return isinstance(value, Mapping) and all(fits(one, inner[1]) for one in value.values() if len(inner) == 2)
    if issubclass(made, Sequence):
        return isinstance(value, list | tuple) and _all_fit(value, inner)
    return False  # an object of a class, which a `_target_` makes


_PLAIN: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    str: lambda value: isinstance(value, str),
    Path: lambda value: isinstance(value, str),
}


def _all_fit(values: Sequence[Any], inner: Sequence[Any]) -> bool:
    if not inner:
        return True
    if len(inner) == 1 or inner[-1] is Ellipsis:
        return all(fits(value, inner[0]) for value in values)
    return len(values) == len(inner) and all(fits(value, one) for value, one in zip(values, inner, strict=True))


def words(kind: Any) -> str:
    """A kind in words, for messages."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        said = list(dict.fromkeys(words(one) for one in inner))
        return " or ".join([one for one in said if one != "null"] + [one for one in said if one == "null"])
    if origin is Literal:
        return " or ".join(map(str, inner))
    if kind in WORDS or kind is None:
        return WORDS.get(kind, "null")
    made = origin or kind
    if isinstance(made, type) and issubclass(made, Mapping):
        return "a mapping {key: value}"
    if isinstance(made, type) and issubclass(made, Sequence):
        if not inner:
            return "a list"
        fixed = len(inner) > 1 and inner[-1] is not Ellipsis
        return f"a list of {len(inner)} values" if fixed else f"a list [...], each {words(inner[0])}"
    return f"a {getattr(made, '__name__', made)}"


def _hint(key: str, value: Any, kind: Any) -> str:
    wanted = get_args(kind) or (kind,)
    if isinstance(value, bool | int | float) and str in wanted:
        return f", as in {key}=./{value}" if Path in wanted or is_path(key) else f""", as in '{key}="{value}"'"""
    if isinstance(value, int | float) and not isinstance(value, bool) and get_origin(kind) in _LISTS:
        return f", as in {key}=[{_said(value)}]"
    return ""


_LISTS = (Sequence, list)


def _said(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = _number(value) if isinstance(value, int) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _number(value: int) -> str:
    return str(value) if abs(value) < 10**100 else "a number of more than 100 digits"
