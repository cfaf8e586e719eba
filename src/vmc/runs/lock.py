"""One writer per run folder: a lock that the writing process holds, and that ends with it, however it ends."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vmc.utils.errors import VmcError

LOCK = ".lock"
PATIENCE = 1.0
"""Seconds: whoever only asks whether a folder is held (`holder`) holds it for a moment."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Be the only writer of a run folder for the length of a block; what is made for the lock alone is removed again.

    Raises:
        VmcError: another process holds the folder, or nothing can be written there.
    """
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
    except FileExistsError as error:
        raise VmcError(f"output is {folder}, which is a file; choose another folder") from error
    except OSError as error:
        raise VmcError(f"output is {folder}, which cannot be written ({error}); choose another folder") from error
    try:
        with suppress(OSError):  # of a full disk: the lock is held all the same
            (folder / LOCK).write_text(f"pid {os.getpid()} on {platform.node()}\n")
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # while it is held: who opened it meanwhile sees that it is gone
        lock.release()
        with suppress(OSError):  # it has been filled
            for path in absent:
                path.rmdir()


def remove_stale_lock(folder: Path) -> None:
    """Remove the lock file that a killed process has left in a folder where nothing is to be written any more."""
    if (folder / LOCK).is_file() and holder(folder) is None:
        with suppress(VmcError), run_lock(folder):
            pass


def holder(folder: Path) -> str | None:
    """Which process is writing a folder, as `pid N on MACHINE`; None if none is, whatever a killed one has left."""
    file = folder / LOCK
    try:
        if file.is_file():
            with FileLock(file, blocking=False):
                pass
    except Timeout:
        return file.read_text().strip() or "a process that has just begun"
    except FileNotFoundError:  # it ended meanwhile
        pass
    return None
