"""The folder of a report: made beside the old one and put in its place whole, never over anything else."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmc.errors import VmcError

MARK = "report.json"
"""Lists the files of a report; a folder without it is no report."""


@contextmanager
def report_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of an earlier report when the block ends well, and is gone when not.

    Raises:
        VmcError: `path` is there and is no report, holds files that no report wrote, or cannot be written.
    """
    check_output(path)
    try:
        with _beside(path) as made:
            yield made
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
        made = Path(beside) / "new"
        made.mkdir()
        yield made
        files = sorted(file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())
        (made / MARK).write_text(json.dumps({"written_by": "vmc.report", "files": files}, indent=2) + "\n")
        check_output(path)  # again: drawing takes a while
        if path.exists():
            path.rename(Path(beside) / "old")
        made.rename(path)


def check_output(path: Path) -> None:
    """Refuse a folder that is not empty and no report, in which something else lies too, or that cannot be written.

    Raises:
        VmcError: naming what is there.
    """
    try:
        _check_output(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_output(path: Path) -> None:
    nearest = next(folder for folder in (path.absolute().parent, *path.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))
    if not path.exists():
        return
    if not path.is_dir():
        raise VmcError(f"output is {path}, which is a file; choose another folder")
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    if not there:
        return
    try:
        known = json.loads((path / MARK).read_text(encoding="utf-8"))
        ours = {MARK, *known["files"]} if known.get("written_by") == "vmc.report" else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = set()
    if not ours:
        raise VmcError(f"output is {path}, which holds files but no report; choose another folder")
    if others := sorted(there - ours):
        raise VmcError(
            f"output is {path}, a report in which {others[0]} lies too, which no report wrote; move it elsewhere or"
            " choose another folder"
        )


def _unwritable(path: Path, error: OSError) -> VmcError:
    return VmcError(
        f"output is {path}, where a report cannot be written ({error}); choose another folder, or make room"
    )
