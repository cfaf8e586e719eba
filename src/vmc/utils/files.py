"""Atomic writing of files, and hashes of their content.

What is written here appears under its name complete or not at all. Until then it is in a temporary folder beside it,
`.NAME-XXXXXXXX.tmp`, on which the writing process holds a lock. The lock ends with the process, so `sweep` and the next
process that writes the same name can tell leftovers of killed processes from files that are being written.
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
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vmc.utils.errors import UnwritableError, VmcError, causes

DAY = 86400.0
LONGEST_NAME = 100  # bytes of `safe_name`; a file system allows 255, and temporary names are longer
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_PLACE = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.EFBIG)
DISK_FAULTS = NO_SPACE + NOT_OURS + NO_PLACE  # what is wrong with a path or a disk, and is no defect of the program
_LEFT = re.compile(r"\..+-[a-z0-9_]{8}\.tmp")


@contextmanager
def atomic_write(path: Path, *, remedy: str | None = None) -> Iterator[Path]:
    """Give a temporary path that is renamed to `path` at the end of the block, or removed after an error.

    It has the same name as `path`, because video and image writers choose their format by the suffix.

    Raises:
        UnwritableError: the disk is full, or permissions do not allow to write; `remedy` replaces the usual advice.
    """
    with _folder_beside(path, remedy) as folder:
        temporary = folder / path.name
        yield temporary
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)  # safetensors writes files that nobody else can read
        temporary.replace(path)


def write_text(path: Path, text: str, *, remedy: str | None = None) -> None:
    """Write a text in UTF-8 atomically."""
    with atomic_write(path, remedy=remedy) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, content: Any, *, remedy: str | None = None) -> None:
    """Write a file of JSON atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n", remedy=remedy)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read the object in a file of JSON; None where there is no such file, or it holds anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, end: str = "\n") -> str:
    """Format a table as CSV, with lines that end in `end`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


@contextmanager
def atomic_folder(path: Path, *, remedy: str | None = None) -> Iterator[Path]:
    """Like `atomic_write`, for a folder. If another process has made `path` meanwhile, its folder is kept."""
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
def explain_unwritable(path: Path, *, remedy: str | None = None) -> Iterator[None]:
    """Turn errors of the disk, raised by any library, into an `UnwritableError` that names `path`."""
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
    """The system's reason for an error, for use in another sentence, or else the error's message."""
    said = [one.strerror for one in causes(error) if isinstance(one, OSError) and one.strerror]
    return said[0] if said else " ".join(str(error).split()) or type(error).__name__


def sweep(folder: Path) -> None:
    """Remove leftovers of killed processes from a folder and all folders in it."""
    for parent, names, _ in os.walk(folder):
        for name in filter(is_leftover, list(names)):
            names.remove(name)
            _remove_unless_held(Path(parent, name))


def is_leftover(name: str) -> bool:
    """Whether a name is that of a temporary folder of `atomic_write`."""
    return _LEFT.fullmatch(name) is not None


def fingerprint(path: Path) -> str:
    """Tell files apart: a SHA-256 of a file's own SHA-256, or of the names and those of all files below a folder. What
    `sha256sum` gives is `sha256_of`.
    """
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
    """The folder of the caches that all runs share: `$VMC_CACHE`, else `vmc` in the user's cache folder."""
    if chosen := os.environ.get("VMC_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vmc"


def existing_folder(path: Path) -> Path:
    """The path itself if it is a folder, else the nearest existing folder above it."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


@contextmanager
def _folder_beside(path: Path, remedy: str | None) -> Iterator[Path]:
    """Give a locked temporary folder beside `path`, after removing those of killed writers of `path`."""
    with explain_unwritable(path, remedy=remedy):
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
    """Lock a new folder and give the descriptor; None where it was removed before it was locked."""
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
    except OSError:  # it is gone, or another user's
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = False
    except OSError as error:  # without locks, what is older than a day is a leftover
        held = isinstance(error, BlockingIOError) or time.time() - folder.stat().st_mtime <= DAY
    if not held:
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _disk_fault(error: BaseException, path: Path) -> int | None:
    """The system's error number behind an error in writing `path`, if it is about the disk or the path."""
    for one in causes(error):
        number = getattr(one, "errno", None)
        # safetensors has it in its message.
        if number is None and (found := re.search(r"\(os error (\d+)\)", str(one))):
            number = int(found[1])
        if number in NO_SPACE or (number in DISK_FAULTS and _is_of(getattr(one, "filename", None), path)):
            return number
    return None


def _is_of(name: object, path: Path) -> bool:
    """Whether the file name of an error is `path`, a folder above it or in the same folder; also if there is none."""
    if not isinstance(name, str | bytes | os.PathLike):
        return True
    named = Path(os.fsdecode(name)).absolute()
    return path.absolute().is_relative_to(named) or named.is_relative_to(path.absolute().parent)


def safe_name(text: str, *, keep: str = "@") -> str:
    """The text as the name of a folder: only letters, digits, `._-` and the characters in `keep`; may be empty."""
    known = unicodedata.normalize("NFC", text)
    name = re.sub(rf"[^\w.\-{re.escape(keep)}]+", "_", known).lstrip("._ ").rstrip(". ")
    while len(name.encode()) > LONGEST_NAME:
        name = name[:-1]
    return name
