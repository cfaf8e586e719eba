"""Checks of a composed config before anything is built: overlays, missing values, keys, values, folders.

An argument of a class must have its annotated type, any other value the type of its default.
"""

import math
import os
import types
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.folders import check_name, group_files
from vmc.config.known_keys import ANYTHING, INSTRUCTIONS, OVERLAYS, arguments, is_path, join, schema_of, walk
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import cache_root
from vmc.utils.plain_yaml import read_yaml

NAMES = ("arm", "motion.name", "stack_name")
"""Keys whose values become names of folders."""
GROUPS = (
    *("model", "data", "motion", "token", "parameters", "objective", "timesteps", "regularization", "subject"),
    *("optimizer", "lr_schedule", "metrics", "sampler", "trainer", "logger", "prompts"),
)
"""Groups that describe objects."""
REMEDIES = {
    "data.path": "data.path=FOLDER, of Jester (`python -m vmc.prepare jester FOLDER` verifies it) or, with data=videos,"
    " of your own clips",
    "subject.path": "subject.path=FOLDER, of still images",
}
"""What to give for keys without a default, if their name does not say it."""
GIVEN_LATER = {"regularization": ("source", "seed", "base_videos")}
"""Arguments that no config has, because the run passes them."""
NULLABLE = ("parameters", "figures.*")
"""Patterns of keys that may be null in place of a mapping: nothing is trained, a figure is not drawn."""
TYPES: dict[str, Any] = {
    # Of keys outside of classes, whose default is null or a list. All others have the type of their default.
    **dict.fromkeys(("cache", "control", "export", "init", "prompt", "push", "run", "videos"), str | None),
    **dict.fromkeys(
        ("batch_size", "generation_batch", "step", "prompts.limit", "prompts.each", "figure3.seed", "choice.pairs"),
        int | None,
    ),
    **dict.fromkeys(("figure3.motion", "figure3.subject", "prompts.file", "choice.key"), str | None),
    **dict.fromkeys(("seeds", "prompts.seeds"), Sequence[int]),
    **dict.fromkeys(("output", "arm"), str),
    "choice.arms": Sequence[str] | None,
    "choice.answers": Sequence[str] | str | None,
    "prompts.known": Mapping[str, str] | None,
    "stop.appearance": float | None,
    "rates.*": float,
    "search.appearance": float | None,
}
LARGEST = 2**63 - 1
BOUNDS: dict[tuple[str, ...], tuple[float, float, str]] = {
    # Of numbers, by patterns of their keys; both bounds are allowed.
    ("seed", "seeds.*", "prompts.seeds.*", "figure3.seed"): (0, LARGEST, f"a whole number from 0 to {LARGEST}"),
    ("*.learning_rate", "optimizer.lr", "rates.*"): (0, math.inf, "a rate of 0 or more"),
    ("optimizer.betas.*",): (0, math.nextafter(1, 0), "a number from 0 to below 1"),
    ("choice.pairs", "prompts.each"): (1, LARGEST, "a whole number of 1 or more, or null"),
    ("optimizer.eps", "optimizer.weight_decay"): (0, math.inf, "a number of 0 or more"),
}
WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
WORDS |= {types.NoneType: "null", None: "null"}
PLAIN: dict[Any, Any] = {bool: bool, int: int, float: int | float, str: str, Path: str}
"""Types of arguments -> their types in a config."""


# --- what a command checks --------------------------------------------------------------------------------------------


def check_overlays(config: DictConfig, chosen: Mapping[str, Any]) -> None:
    """Raise a VmcError for an unknown overlay, and for two, of which the last would silently win; `chosen` is Hydra's
    choice of each group.
    """
    for kind in OVERLAYS:
        if kind in config:  # Hydra takes an unknown overlay for a new key
            raise VmcError(f"+{kind}={config[kind]} is unknown; --help lists the overlays there are")
    if all(kind in chosen for kind in OVERLAYS):
        both = " and ".join(f"+{kind}={chosen[kind]}" for kind in OVERLAYS)
        raise VmcError(f"{both} are both given; a run is one arm, choose one of them")


def check_complete(config: DictConfig) -> None:
    """Raise a VmcError if a value without a default is not set."""
    for name in missing_keys(config):
        raise VmcError(f"{name} is not set and has no default; give {REMEDIES.get(name, f'{name}=...')}")


def missing_keys(config: DictConfig) -> list[str]:
    """Dotted keys without a value. OmegaConf's own function fails if a value refers to one that is missing."""
    return [key for key, value in walk(OmegaConf.to_container(config)) if value == "???"]


def fill_missing(config: DictConfig) -> list[str]:
    """Replace missing values by `not-given`, so that the others can be checked; returns their keys."""
    missing = missing_keys(config)
    for key in missing:
        OmegaConf.update(config, key, "not-given")
    return missing


def check_config(config: DictConfig, command: str) -> None:
    """Raise a VmcError for unknown keys and invalid values, without importing their classes.

    Args:
        config: the composed config. A `~` in its paths is replaced by the home folder, and the optimizer loses settings
            that a YAML made for another class.
        command: train, generate, evaluate or report.
    """
    for key, value in walk(OmegaConf.to_container(config)):
        if isinstance(value, str) and value.startswith("~") and is_path(key):
            OmegaConf.update(config, key, os.path.expanduser(value))  # noqa: PTH111 - Path's fails without such a user
    drop_keys_of_another_class(config, "optimizer")
    plain, schema = resolved(config), schema_of(command)
    for key in schema.unknown(plain):
        raise VmcError(schema.refusal(key))
    check_free_values(plain, schema.tree)
    for key in NAMES:
        if (name := OmegaConf.select(config, key)) is not None:
            check_name(key, name)


def drop_keys_of_another_class(config: DictConfig, group: str) -> None:
    """Remove settings that a group's YAML makes for its own class, if another class is chosen that does not take them.

    So `optimizer._target_=torch.optim.SGD` needs no `~optimizer.betas`. Values that no YAML has are kept, for
    `check_parts` to refuse.
    """
    node: Any = OmegaConf.to_container(config[group], resolve=False) if config.get(group) is not None else {}
    if not isinstance(node, dict) or not isinstance(target := node.get("_target_"), str):
        return
    settings = [read_yaml(file, remedy="correct it") or {} for file in group_files(group)]
    if any(one.get("_target_") == target and node.keys() <= one.keys() for one in settings):
        return  # the class of a YAML, which need not be imported
    if ANYTHING not in (taken := arguments(target)):
        given = {key for key, value in node.items() if any(key in one and one[key] == value for one in settings)}
        with open_dict(config):
            for key in given - taken.keys() - set(INSTRUCTIONS):
                del config[group][key]


def check_parts(config: DictConfig, groups: Sequence[str] = GROUPS) -> None:
    """Check the values of every group by its class, which this imports."""
    plain = resolved(config)
    for group in groups:
        check_part(plain.get(group), group)


def resolved(config: DictConfig) -> dict[str, Any]:
    """A config as plain dicts and lists, with interpolations resolved."""
    try:
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        said = first_line(error)
        raise VmcError(f"the config does not resolve ({said}); correct what stands in ${{...}}") from error


# --- folders ----------------------------------------------------------------------------------------------------------


def check_place(key: str, path: str | Path, *, read_only: bool = False) -> None:
    """Raise a VmcError for a folder that cannot be created or written to; an existing one may be `read_only`."""
    folder = Path(path)
    if not str(path).strip() or "\0" in str(path):
        raise VmcError(f"{key} is '{path}', which names no folder; give one")
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists() or one.is_symlink())
    except OSError as error:
        raise VmcError(f"{key} is {folder}, which cannot be a folder ({error.strerror}); choose another") from error
    what = "which" if there == folder else f"but {there}"
    if not there.is_dir():
        raise VmcError(f"{key} is {folder}, {what} is a file; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK) and not (read_only and there == folder):
        raise VmcError(f"{key} is {folder}, {what} cannot be written to (permission); choose another folder")


def check_cache(cache: str | None) -> None:
    """Raise a VmcError for a cache folder that cannot be created. An existing one may be somebody else's, read-only."""
    named = "cache" if cache else "VMC_CACHE" if os.environ.get("VMC_CACHE") else "the user's cache folder"
    check_place(named, cache or cache_root(), read_only=True)


# --- values -----------------------------------------------------------------------------------------------------------


def check_free_values(config: Mapping[str, Any], tree: Mapping[str, Any]) -> None:
    """Check all numbers by `BOUNDS`, and values outside of classes by `TYPES` and their defaults.

    Args:
        config: a composed config as plain dicts.
        tree: the keys of the YAMLs with their values, in the same structure.
    """
    for key, value in walk(config):
        if not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise VmcError(f"{key} is {value}; it must be a finite number")
        for patterns, (low, high, wanted) in BOUNDS.items():
            if any(fnmatchcase(key, pattern) for pattern in patterns) and not low <= value <= high:
                raise VmcError(f"{key} is {_shown(value)}; it must be {wanted}")
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise VmcError(f"{key} is {_shown(value)}; it must lie within {-LARGEST} and {LARGEST}")
    _check_types(config, tree, "")


def _check_types(config: Mapping[str, Any], tree: Mapping[str, Any], place: str) -> None:
    if "_target_" in config:
        return
    for name, value in config.items():
        key, default = join(place, name), tree.get(name)
        wanted = next((kind for pattern, kind in TYPES.items() if fnmatchcase(key, pattern)), None)
        if isinstance(value, Mapping) and (wanted is None or "_target_" in value):
            _check_types(value, default if isinstance(default, Mapping) else {}, key)
        elif wanted is not None:
            if value is not None or default is not None:  # a default of null may stay
                check_value(key, value, wanted)
        elif isinstance(default, Mapping):
            if value is not None or not any(fnmatchcase(key, pattern) for pattern in NULLABLE):
                raise VmcError(f"{key} is {_shown(value)}; it must be a mapping {{key: value}} or a choice of a group")
        elif isinstance(default, bool | int | float | str) and "${" not in str(default):
            check_value(key, value, type(default))


def check_part(node: Any, place: str) -> None:
    """Check the arguments of the class in a part of a config, and of the classes below it; `place` is its key."""
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    taken = arguments(target) if isinstance(target, str) else None
    for name, value in node.items():
        if name in INSTRUCTIONS:
            continue
        key = f"{place}.{name}"
        if taken is not None and not {name, ANYTHING} & taken.keys():
            known = ", ".join(taken) or "no settings"
            raise VmcError(f"{key} is given, but {str(target).rpartition('.')[2]} takes {known}; leave it out")
        if taken is not None and name in taken and taken[name].annotation is not taken[name].empty:
            check_value(key, value, taken[name].annotation)
        check_part(value, key)
        for number, part in enumerate(value if isinstance(value, list) else ()):
            check_part(part, f"{key}.{number}")
    if taken is None or ANYTHING in taken or "_partial_" in node:
        return
    for name, parameter in taken.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in node and name not in GIVEN_LATER.get(place, ()):
            raise VmcError(f"{place}.{name} is not set and has no default; give {place}.{name}=...")


def check_value(key: str, value: Any, kind: Any) -> None:
    """Raise a VmcError for a value that does not have the annotated type of its argument."""
    if _fits(value, kind):
        return
    wanted, hint = get_args(kind) or (kind,), ""
    if isinstance(value, bool | int | float) and str in wanted:
        hint = f", as in {key}=./{value}" if Path in wanted or is_path(key) else f""", as in '{key}="{value}"'"""
    elif _fits(value, float) and get_origin(kind) in (Sequence, list):
        hint = f", as in {key}=[{_shown(value)}]"
    raise VmcError(f"{key} is {_shown(value)}; it must be {_described(kind)}{hint}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a plain value may be passed to an argument of a type."""
    made, inner = get_origin(kind) or kind, get_args(kind)
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # what its class makes is checked when it is made
    if made in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if made is Literal:
        return value in inner and not isinstance(value, bool)
    if made in (None, types.NoneType):
        return value is None
    if made in PLAIN:
        return isinstance(value, PLAIN[made]) and isinstance(value, bool) == (made is bool)
    if made in (Any, object) or not isinstance(made, type):  # such as a type variable
        return True
    if issubclass(made, Mapping):
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values() if len(inner) == 2)
    if not issubclass(made, Sequence) or not isinstance(value, list | tuple):
        return False  # an object, which only a `_target_` makes
    if len(inner) > 1 and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return all(_fits(one, inner[0]) for one in value) if inner else True


def _described(kind: Any) -> str:
    """A type in words, for messages."""
    made, inner = get_origin(kind) or kind, get_args(kind)
    if made in (Union, types.UnionType):
        said = dict.fromkeys(_described(one) for one in inner)
        return " or ".join(sorted(said, key=lambda one: one == "null"))
    if made is Literal:
        return " or ".join(map(str, inner))
    if made in WORDS:
        return WORDS[made]
    if isinstance(made, type) and issubclass(made, Mapping):
        return "a mapping {key: value}"
    if isinstance(made, type) and issubclass(made, Sequence):
        fixed = len(inner) > 1 and inner[-1] is not Ellipsis
        each = f"a list [...], each {_described(inner[0])}" if inner else "a list"
        return f"a list of {len(inner)} values" if fixed else each
    return f"a {getattr(made, '__name__', made)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and abs(value) >= 10**100:
        return "a number of more than 100 digits"  # Python refuses to write the longest
    return text if len(text := str(value)) <= 80 else f"{text[:80]}..."
