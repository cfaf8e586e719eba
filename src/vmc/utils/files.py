"""Files that are never seen half-written, and what tells one file's content from another's.

Whatever is written here appears under its name whole or not at all. Until then it lies in a folder of its own beside
it, `.NAME-XXXXXXXX.tmp`, on which the writing process holds a lock. The lock ends with the process, however it ends:
so `sweep` can tell what a killed one has left from what a living one is writing, and so can the next one that writes
the same name.
"""

import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vmc.utils.errors import UnwritableError, VmcError, causes

DAY = 86400.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_PLACE = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.EFBIG)
DISK_FAULTS = NO_SPACE + NOT_OURS + NO_PLACE
"""Errors of the system that say what is wrong with a path or a disk, and are no defect."""
_LEFT = re.compile(r"\..+-[a-z0-9_]{8}\.tmp")


@contextmanager
def atomic_write(path: Path, *, remedy: str | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    It has the name of `path`, because video and image writers choose their format by the suffix.

    Where the disk is full, or the place may not be written to, that is an `UnwritableError` with a `remedy`; None is
    for what suits any file.
    """
    with _folder_beside(path, remedy) as folder:
        temporary = folder / path.name
        yield temporary
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)  # safetensors makes files that nobody else may read
        temporary.replace(path)


def write_text(path: Path, text: str, *, remedy: str | None = None) -> None:
    """Write a text in UTF-8 as `atomic_write` does."""
    with atomic_write(path, remedy=remedy) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, content: Any, *, remedy: str | None = None) -> None:
    """Write a file of JSON as `atomic_write` does."""
    write_text(path, json.dumps(content, indent=2) + "\n", remedy=remedy)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, end: str = "\n") -> str:
    """A table as CSV, its lines ended by `end`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


@contextmanager
def atomic_folder(path: Path, *, remedy: str | None = None) -> Iterator[Path]:
    """As `atomic_write`, for a folder. If another process made `path` meanwhile, its folder stays."""
    with _folder_beside(path, remedy) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise


@contextmanager
def told_unwritable(path: Path, *, remedy: str | None = None) -> Iterator[None]:
    """Turn an error of the disk, whichever library raises it, into an `UnwritableError` that names `path`."""
    try:
        yield
    except VmcError:
        raise
    except Exception as error:
        number = _disk_fault(error, path)
        if number is None:
            raise
        full = f"free some space on {existing_folder(path)}"
        usual = full if number in NO_SPACE else "choose a place that can be written"
        raise UnwritableError(
            f"{path} cannot be written ({os.strerror(number)}); {remedy or usual}, and give the same command again"
        ) from error


def short_reason(error: BaseException) -> str:
    """What the system said behind an error, for another sentence; the error's own words where it said nothing."""
    said = [one.strerror for one in causes(error) if isinstance(one, OSError) and one.strerror]
    return said[0] if said else " ".join(str(error).split()) or type(error).__name__


def sweep(folder: Path) -> None:
    """Remove what processes that are gone were writing in a folder and in those below it."""
    for parent, names, _ in os.walk(folder):
        for name in filter(is_leftover, list(names)):
            names.remove(name)
            _remove_unless_held(Path(parent, name))


def is_leftover(name: str) -> bool:
    """Whether a folder's name is one under which something is being written, or was when its process ended."""
    return _LEFT.fullmatch(name) is not None


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()):
        if file != path:
            digest.update(f"{file.relative_to(path).as_posix()}\x1f".encode())
        digest.update(bytes.fromhex(sha256_of(file)))
    return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_root() -> Path:
    """Where caches shared by all runs lie: `$VMC_CACHE`, else `vmc` under the user's cache folder."""
    if chosen := os.environ.get("VMC_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vmc"


def existing_folder(path: Path) -> Path:
    """The path where it is a folder, or else the nearest one above it."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


@contextmanager
def _folder_beside(path: Path, remedy: str | None) -> Iterator[Path]:
    """A locked folder beside `path`, removed at the end; first, those that killed writers of `path` have left."""
    with told_unwritable(path, remedy=remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name[:40]}-"
        for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
            if is_leftover(left.name):
                _remove_unless_held(left)
        lock = None
        while lock is None:
            folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=path.parent))
            lock = _lock(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the lock on a new folder; None where it was swept before it was locked."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # of a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink and folder.is_dir():
        return lock
    os.close(lock)
    return None


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # it has gone meanwhile, or is another user's
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = False
    except OSError as error:  # where there are no locks: nobody writes one file for a day
        held = isinstance(error, BlockingIOError) or time.time() - folder.stat().st_mtime <= DAY
    if not held:
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _disk_fault(error: BaseException, path: Path) -> int | None:
    """The number of the system's error behind an error in writing `path`, where the disk or the place is to blame."""
    for one in causes(error):
        number = getattr(one, "errno", None)
        # safetensors tells it in words.
        if number is None and (found := re.search(r"\(os error (\d+)\)", str(one))):
            number = int(found[1])
        if number in NO_SPACE or (number in DISK_FAULTS and _is_of(getattr(one, "filename", None), path)):
            return number
    return None


def _is_of(name: object, path: Path) -> bool:
    """Whether an error's file name is that of `path`, of a folder above it or of what is written beside it."""
    if name is None or not isinstance(name, str | bytes | os.PathLike):
        return True
    named = Path(os.fsdecode(name)).absolute()
    return path.absolute().is_relative_to(named) or named.is_relative_to(path.absolute().parent)
