"""What is refused of a composed config before anything is built: overlays, missing values, keys, names, folders."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.folders import check_name, group_files
from vmc.config.free_text import PATHS
from vmc.config.schema import OVERLAYS, arguments, schema_of
from vmc.config.targets import INSTRUCTIONS, walk
from vmc.config.values import check_loose, check_numbers, check_part
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root
from vmc.utils.plain_yaml import read_yaml


def expand_paths(config: DictConfig) -> None:
    """Put the home folder in place of a leading `~` of every path of a config."""
    for key in _path_keys(config):
        parent, _, name = key.rpartition(".")
        node: Any = OmegaConf.select(config, parent) if parent else config
        written: Any = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else {}
        text = written.get(name)
        if isinstance(text, str) and text.startswith("~"):
            node[name] = expanded(text)


def _path_keys(config: DictConfig) -> list[str]:
    metrics = config.get("metrics")
    parts = list(metrics) if isinstance(metrics, DictConfig) else []
    return [pattern.replace("*", str(part)) for pattern in PATHS for part in (parts if "*" in pattern else ("",))]


def expanded(text: str) -> str:
    """A path with the home folder in place of a leading `~`; as it is where there is no such user."""
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        return text


def check_place(key: str, path: str | Path, *, read_only: bool = False) -> None:
    """Refuse a folder that cannot be written to, or be made.

    Args:
        key: the setting that it comes from, for the message.
        path: the folder; it need not be there.
        read_only: one that is there need not be writable.

    Raises:
        VmcError: naming what is in the way.
    """
    folder = Path(path)
    if not str(path).strip() or "\0" in str(path):
        raise VmcError(f"{key} is '{path}', which names no folder; give one")
    try:
        if folder.exists() and not folder.is_dir():
            raise VmcError(f"{key} is {folder}, which is a file; choose another folder")
        there = next(
            parent for parent in (folder, *folder.absolute().parents) if parent.exists() or parent.is_symlink()
        )
    except OSError as error:
        raise VmcError(f"{key} is {folder}, which cannot be a folder ({error.strerror}); choose another") from error
    if not there.is_dir():
        raise VmcError(f"{key} is {folder}, but {there} is a file; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK) and not (read_only and there == folder):
        raise VmcError(f"{key} is {folder}, but {there} cannot be written to (permission); choose another folder")


def check_cache(cache: str | None) -> None:
    """Refuse a folder of caches that cannot be made. One that is there may be another's, to be read alone.

    Raises:
        VmcError: naming the setting that it comes from.
    """
    if cache:
        check_place("cache", cache, read_only=True)
    else:
        key = "VMC_CACHE" if os.environ.get("VMC_CACHE") else "the user's cache folder"
        check_place(key, cache_root(), read_only=True)


HOW = {
    "data.path": "data.path=FOLDER, of Jester (`python -m vmc.prepare jester FOLDER` verifies it) or, with data=videos,"
    " of your own clips"
}
"""What is given for a key that has no default, where its name does not say it."""
NAMES = ("arm", "motion.name", "stack_name")
"""Names of folders."""
GROUPS = (
    *("model", "data", "motion", "token", "parameters", "objective", "timesteps", "regularization", "optimizer"),
    *("lr_schedule", "metrics", "sampler", "trainer", "logger", "prompts"),
)
"""Groups of which classes are made."""


def check_overlays(config: DictConfig, chosen: Mapping[str, Any]) -> None:
    """Refuse an unknown overlay, and two together, which would compose silently, the last one winning.

    Args:
        config: the run's.
        chosen: Hydra's choice of each group.
    """
    for kind in OVERLAYS:
        if kind in config:  # no overlay of that name: Hydra took it for a new key
            raise VmcError(f"+{kind}={config[kind]} is unknown; --help lists the overlays there are")
    if "ablation" in chosen and "baseline" in chosen:
        raise VmcError(
            f"+ablation={chosen['ablation']} and +baseline={chosen['baseline']} are both given;"
            " a run is one arm, choose one of them"
        )


def check_complete(config: DictConfig) -> None:
    """Refuse a config in which a value that has no default is not set."""
    for name in missing_keys(config):
        raise VmcError(f"{name} is not set and has no default; give {HOW.get(name, f'{name}=...')}")


def missing_keys(config: DictConfig) -> list[str]:
    """Dotted keys without a value. `OmegaConf`'s own fails where one value refers to another that is missing."""
    return [key for key, value in walk(OmegaConf.to_container(config)) if value == "???"]


def fill_missing(config: DictConfig) -> list[str]:
    """Put `not-given` in the place of every value that is missing, so that the others can be checked; the keys."""
    missing = missing_keys(config)
    for key in missing:
        OmegaConf.update(config, key, "not-given")
    return missing


def check_config(config: DictConfig, command: str) -> None:
    """Refuse keys that nothing reads, and values that cannot be; cheap, as no class is imported for it.

    Args:
        config: as it was composed, wherever its keys come from. A `~` in its paths becomes the home folder, and the
            optimizer loses what a YAML sets for another class.
        command: train, generate, evaluate or report.

    Raises:
        VmcError: naming the first such key.
    """
    expand_paths(config)
    drop_keys_of_another_class(config, "optimizer")
    plain, schema = resolved(config), schema_of(command)
    for key in schema.unknown(plain):
        raise VmcError(f"{key} is unknown; {schema.advice(key)}")
    check_numbers(plain)
    check_loose(plain, schema.tree)
    for key in NAMES:
        name: Any = OmegaConf.select(config, key)
        if name is not None:
            check_name(key, name)


def drop_keys_of_another_class(config: DictConfig, group: str) -> None:
    """Remove what a group's YAML sets for its own class where another is chosen that does not take it.

    So `optimizer._target_=torch.optim.SGD` needs no `~optimizer.betas`. What was given otherwise than a YAML has it is
    left, and refused by `check_parts`.

    Raises:
        VmcError: the class cannot be imported.
    """
    node = OmegaConf.to_container(config[group], resolve=False) if config.get(group) is not None else {}
    if not isinstance(node, dict) or not isinstance(target := node.get("_target_"), str):
        return
    settings = [read_yaml(file, remedy="correct it") or {} for file in group_files(group)]
    if any(one.get("_target_") == target and node.keys() <= one.keys() for one in settings):
        return  # its own; nothing is imported for it
    taken = arguments(target)
    for key, value in node.items():
        foreign = taken is not None and key not in taken and key not in INSTRUCTIONS
        if foreign and any(key in one and one[key] == value for one in settings):
            with open_dict(config):
                del config[group][key]


def check_parts(config: DictConfig, groups: Sequence[str] = GROUPS) -> None:
    """Check the values of every group by its class, which is imported for it.

    Raises:
        VmcError: naming key, value and what it must be.
    """
    plain = resolved(config)
    for group in groups:
        check_part(plain.get(group), group)


def resolved(config: DictConfig) -> dict[str, Any]:
    """A config as plain dicts and lists.

    Raises:
        VmcError: a value refers to one that is not there.
    """
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        said, *_ = str(error).split("\n")
        raise VmcError(f"the config does not resolve ({said}); correct what stands in ${{...}}") from error
    return plain
