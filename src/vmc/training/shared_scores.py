"""An evaluation that several runs share: kept once with the checksums of its files, and copied into each run."""

import json
import logging
import shutil
from pathlib import Path

from vmc.errors import VmcError
from vmc.files import folder_written_whole, short_reason
from vmc.runs.score_files import SCORES, SUMMARY, sha256_of, write_json

log = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"
"""The files of a shared evaluation with their SHA-256; a folder without it is not used."""


def take(shared: Path, folder: Path) -> bool:
    """Copy a shared evaluation, checked file by file, to the folder of a run's; whether that was done.

    What an interrupted evaluation has left in the folder is replaced. A shared one that is damaged is not used.
    """
    if not shared.is_dir():
        return False
    try:
        with folder_written_whole(folder) as temporary:
            for name, digest in _checksums(shared).items():
                copy = temporary / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(shared / name, copy)  # bytes alone: a cache that is read-only says so of its files
                if sha256_of(copy) != digest:
                    raise _DamagedError(f"{name} is not as it was written")
            if folder.is_dir():
                shutil.rmtree(folder)
    except _DamagedError as error:
        log.warning("the shared evaluation %s is damaged (%s); it is made again", shared, error)
        return False
    except (OSError, VmcError) as error:
        log.warning("the shared evaluation %s cannot be copied (%s); it is made again", shared, short_reason(error))
        return False
    return True


def keep(folder: Path, shared: Path) -> None:
    """Keep a run's evaluation for other runs, in the place of one that is damaged.

    A cache that cannot be written is told, and nothing else comes of it.
    """
    try:
        if _intact(shared):
            return
        names = [SCORES, SUMMARY, *(f"videos/{file.name}" for file in sorted(folder.glob("videos/[!.]*.mp4")))]
        with folder_written_whole(shared) as temporary:
            (temporary / "videos").mkdir()
            for name in names:
                shutil.copyfile(folder / name, temporary / name)
            write_json(temporary / CHECKSUMS, {name: sha256_of(temporary / name) for name in names})
            if shared.is_dir():
                shutil.rmtree(shared)
    except (OSError, VmcError) as error:
        log.warning(
            "the evaluation of step 0 is not shared with other runs: %s cannot be written (%s)",
            *(shared, short_reason(error)),
        )


class _DamagedError(Exception):
    """A shared evaluation is not as it was written."""


def _checksums(shared: Path) -> dict[str, str]:
    try:
        noted = json.loads((shared / CHECKSUMS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _DamagedError("it has no checksums") from error
    except ValueError as error:
        raise _DamagedError(f"{CHECKSUMS} does not read") from error
    plain = isinstance(noted, dict) and all(
        isinstance(value, str) and ".." not in name for name, value in noted.items()
    )
    if not plain or not {SCORES, SUMMARY} <= noted.keys():
        raise _DamagedError(f"{CHECKSUMS} is no list of its files")
    if gone := [name for name in noted if not (shared / name).is_file()]:
        raise _DamagedError(f"{gone[0]} is gone")
    return noted


def _intact(shared: Path) -> bool:
    try:
        return shared.is_dir() and all(sha256_of(shared / name) == one for name, one in _checksums(shared).items())
    except _DamagedError:
        return False
