"""Processes of a sweep: their cores and GPUs, signals, and ending with the sweep; and facts about the machine."""

import ctypes
import multiprocessing
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from multiprocessing.context import SpawnContext
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = ("vmc", "torch", "diffusers", "transformers", "pytorch-lightning", "av")
PARENT = "VMC_PARENT"  # environment variable: the process that started this one, which must end with it
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # ask a run to stop; the last is a cluster's warning

_watched = False
_cores_of_all: frozenset[int] | None = None


@contextmanager
def handle_signals(
    handler: Callable[[int, FrameType | None], Any], *numbers: signal.Signals
) -> Iterator[dict[int, Any]]:
    """Handle signals within a block; gives the previous handlers."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield before
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def keep_freed_memory() -> None:
    """Have glibc reuse freed memory for blocks above 32 MiB too.

    By default it requests them from the system every time, zeroed page by page, which takes a tenth of the time in
    which the miniature generates eight videos. Results do not change.
    """
    with suppress(OSError, AttributeError):  # another C library
        for parameter in (-3, -1):  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
            ctypes.CDLL("libc.so.6").mallopt(parameter, 2**30)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal as Ctrl-C."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables within a block, also for processes that are started in it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def run_module(module: str, *arguments: str) -> int:
    """Run a module in a process of its own, forward signals that ask to stop, and give its exit code.

    The previous handler of such a signal is called after the process has ended.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def hand_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process is not None:
            process.send_signal(number)

    with handle_signals(hand_on, *STOPPING) as before:
        # In a new session, or Ctrl-C in a terminal would reach it twice, and the second time ends it at once.
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        for number in received:
            process.send_signal(number)
        code = process.wait()
    if received and callable(before[received[0]]):
        before[received[0]](received[0], None)
    return code


def end_with_parent() -> None:
    """Terminate this process when the sweep that started it is gone; does nothing outside sweeps."""
    global _watched
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.get(PARENT) == str(parent) and not _watched:
        _watched = True
        threading.Thread(target=watch, daemon=True).start()


def cores_of_all() -> frozenset[int]:
    """The cores of all workers side by side where this process is one of them; else those that it may use itself."""
    if _cores_of_all is not None:
        return _cores_of_all
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def use_cores(cores: Iterable[int], *, of_all: Iterable[int] | None = None) -> None:
    """Run this process on these cores, where the system lets it choose. Given are also the cores of all workers side by
    side, if it is one of them.
    """
    global _cores_of_all
    if of_all is not None:
        _cores_of_all = frozenset(of_all)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def processor() -> str:
    """The name of the machine's processor, or of its architecture where the system does not say."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+?)\s*$", file.read_text() if file.is_file() else "", re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, of the packages that affect results, and of further ones."""
    return {"python": platform.python_version()} | {name: version(name) for name in (*PACKAGES, *packages)}


def spawn_context() -> SpawnContext:
    """The context for starting processes: forked ones inherit the locks of this one's threads, and may hang.

    In a joblib worker the start method is "loky", which spawned processes do not know, so it is replaced.
    """
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("spawn", force=True)
    return multiprocessing.get_context("spawn")


def usable_processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that are available to a new process; None where the system does not say."""
    return _bytes_in(Path("/proc/meminfo"), "MemAvailable")


def resident_peak() -> int:
    """The largest number of bytes that this process has held."""
    # On Linux ru_maxrss is inherited from the process that started this one, so it is used only without VmHWM.
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _bytes_in(Path("/proc/self/status"), "VmHWM") or usage


def _bytes_in(file: Path, key: str) -> int | None:
    found = re.search(rf"{key}:\s+(\d+) kB", file.read_text()) if file.is_file() else None
    return int(found[1]) * 1024 if found else None
