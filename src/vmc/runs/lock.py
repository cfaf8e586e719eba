"""The lock of a run folder: one process writes it at a time, and a killed one is not waited for."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vmc.utils.errors import VmcError

LOCK = ".lock"
PATIENCE = 1.0  # seconds to wait for the lock, which `holder` takes for a moment to see whether it is free


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Be the only writer of a run folder within a block. Folders that were created for the lock alone are removed."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise VmcError(
            f"output is {folder}, which another process is writing ({holder(folder) or 'just ended'});"
            " wait for it or end it, or choose another output"
        ) from error
    except OSError as error:
        raise VmcError(f"output is {folder}, which cannot be written ({error}); choose another folder") from error
    try:
        with suppress(OSError):  # on a full disk the lock is held all the same
            (folder / LOCK).write_text(f"pid {os.getpid()} on {platform.node()}\n")
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # while it is held: a process that has opened it sees that it is gone
        lock.release()
        with suppress(OSError):  # they are not empty
            for path in absent:
                path.rmdir()


def remove_stale_lock(folder: Path) -> None:
    """Remove the lock file that a killed process has left in the folder of a finished run."""
    if (folder / LOCK).is_file() and holder(folder) is None:
        with suppress(VmcError), run_lock(folder):
            pass


def holder(folder: Path) -> str | None:
    """Which process is writing a folder, as `pid N on MACHINE`; None if none is, also where a lock file is left.

    A lock file that cannot be written, as in a folder of another user, is tried by reading it; one that cannot be read
    either counts as held.
    """
    file = folder / LOCK
    with suppress(FileNotFoundError):  # the process has just ended
        try:
            if file.is_file():
                with FileLock(file, blocking=False):
                    pass
        except Timeout:
            return file.read_text().strip() or "a process that has just begun"
        except OSError as error:
            if isinstance(error, FileNotFoundError) or not _is_held(file):
                return None
            with suppress(OSError):
                return file.read_text().strip() or "a process that has just begun"
            return "a process of another user"
    return None


def _is_held(file: Path) -> bool:
    """Whether a process holds a lock file that can only be read, or not even that."""
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
