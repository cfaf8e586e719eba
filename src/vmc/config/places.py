"""Folders that are written to: known to be possible before anything is loaded."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vmc.config.free_text import PATHS
from vmc.errors import VmcError
from vmc.files import cache_root


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
