"""Pipelines of the Hugging Face hub, in its own cache; its library resumes and keeps what is there."""

import errno
import re
from collections.abc import Iterable
from pathlib import Path

from vmc.tools.downloads.transfer import sha256
from vmc.utils.errors import VmcError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def get_pipeline(repository: str, family: str) -> Path:
    """The local folder of a pipeline, downloaded where it is not complete in the cache.

    Args:
        repository: its name.
        family: of models, which says what parts it has.

    Raises:
        VmcError: offline, no network, no such repository, no room, or a part is missing.
    """
    from vmc.models.pipelines import families

    kind = families()[family]
    folder = _fetched(repository, kind.parts, kind.networks)
    return _whole(repository, folder, kind.incomplete(folder))


def get_network(repository: str) -> Path:
    """As `get_pipeline`, of a repository that is a single network's folder."""
    from vmc.models.loading import weight_files

    folder = _fetched(repository, [""], [""], key="the model's field for it")
    if not (folder / "config.json").is_file():
        return _whole(repository, folder, "has no config.json")
    return _whole(repository, folder, None if weight_files(folder) else "has no weights")


def _whole(repository: str, folder: Path, lack: str | None) -> Path:
    """The folder, where nothing is lacking."""
    if lack:
        remedy = "unset HF_HUB_OFFLINE" if hub_is_offline() else "go online"
        raise VmcError(f"{repository} is not whole in the hub's cache ({folder} {lack}): {remedy} and run this again")
    return folder


def _fetched(repository: str, parts: Iterable[str], weighted: Iterable[str], *, key: str = "model.path") -> Path:
    """See `vmc.models.loading.snapshot`, its errors as sentences."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    from vmc.models.loading import snapshot

    try:
        return snapshot(repository, parts, weighted)
    except LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE is set" if hub_is_offline() else "the hub cannot be reached"
        raise VmcError(
            f"{repository} is not in the hub's cache and {reason}: go online and run the same command,"
            f" or set {key} to a local copy of the folder"
        ) from error
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise VmcError(
            f"the hub has no {repository} for you ({type(error).__name__}): look whether it has moved or asks for"
            " `hf auth login`"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise VmcError(f"no room for {repository}: free some, or set HF_HOME to another disk") from error
        raise VmcError(f"{repository} cannot be downloaded ({error}): run the same command to go on") from error
    except Exception as error:  # the library's own network errors are of many kinds
        raise VmcError(f"{repository} cannot be downloaded ({error}): run the same command to go on") from error


def is_cached(repository: str, family: str) -> bool:
    """Whether every part is in the hub's cache, with its weights, as far as can be known without asking."""
    return cached_folder(repository, family) is not None


def cached_folder(repository: str, family: str) -> Path | None:
    """Where a pipeline is in the hub's cache; None where a part or its weights are not, or nobody can tell."""
    from vmc.models.loading import snapshot
    from vmc.models.pipelines import families

    try:
        kind = families()[family]
        folder = snapshot(repository, kind.parts, kind.networks, local=True)
        return folder if kind.incomplete(folder) is None else None
    except Exception:
        return None


def check_contents(folder: Path) -> int:
    """How many files of a cached repository were compared with the SHA-256 that the hub publishes.

    In the cache a large file is a link to one that is named by it.

    Raises:
        VmcError: a file's content is another.
    """
    compared = 0
    for file in sorted(path for path in folder.rglob("*") if path.is_symlink()):
        stored = file.resolve()
        if not _SHA256.fullmatch(stored.name):
            continue
        compared += 1
        if sha256(stored) != stored.name:
            raise VmcError(f"{file} is damaged (its SHA-256 is not {stored.name}): remove {stored} and get it again")
    return compared


def hub_is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
