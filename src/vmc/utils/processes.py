"""Processes that a sweep is made of: what each computes on, how signals reach it, and that none outlives the sweep."""

import ctypes
import multiprocessing
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from multiprocessing.context import SpawnContext
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

PACKAGES = ("vmc", "torch", "diffusers", "transformers", "pytorch-lightning", "av")
PARENT = "VMC_PARENT"
"""Environment variable: the process that a process was started by and must not outlive."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask a run to stop; the last is a cluster's warning."""

_place: FileLock | None = None
_watched = False
_cores_of_all: frozenset[int] | None = None


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any], *numbers: signal.Signals) -> Iterator[dict[int, Any]]:
    """Another handler of these signals for the length of a block; gives the handlers from before."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others can have none
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield before
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def keep_freed_memory() -> None:
    """Have glibc use freed memory again, also for blocks above 32 MiB, which by default it gets from the system anew
    every time, zeroed page by page: a tenth of the time in which the miniature draws eight videos. Bits stay.
    """
    with suppress(OSError, AttributeError):  # another C library
        for parameter in (-3, -1):  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
            ctypes.CDLL("libc.so.6").mallopt(parameter, 2**30)


def interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables of this process, and of those that are started in the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def run_module(module: str, *arguments: str) -> int:
    """Run a module of ours as a process of its own, hand on what asks this one to stop, and give its exit code.

    Who listened to the signal before is told when the process has ended.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def hand_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process is not None:
            process.send_signal(number)

    with handled(hand_on, *STOPPING) as before:
        # A session of its own: Ctrl-C in a terminal would reach it twice, and the second time ends it at once.
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
    """Where this process was started by a sweep: stop, as by SIGTERM, when the sweep's process is gone."""
    global _watched
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.get(PARENT) == str(parent) and not _watched:
        _watched = True
        threading.Thread(target=watch, daemon=True).start()


def take_place(folder: Path, places: int, *, threads: int | None, gpus: int) -> int:
    """Be one of so many workers side by side for as long as this process lives, on cores and GPUs that no other uses.

    Args:
        folder: of the locks that tell places apart.
        places: workers; with GPUs at most as many as there are groups of them get one of their own.
        threads: cores of each, pinned where there are enough; None leaves it to the system.
        gpus: GPUs of each; 0 for none.
    """
    global _place
    if _place is not None:
        return int(Path(_place.lock_file).name.partition("-")[2])
    for number in range(places):
        lock = FileLock(folder / f"place-{number}")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _place = lock
        _pin_cores(number, places, threads)
        visible = _visible_gpus() if gpus else []
        if groups := len(visible) // max(gpus, 1):
            first = number % groups * gpus
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + gpus])
        return number
    raise RuntimeError(f"there are more than {places} workers in {folder}")


def _pin_cores(number: int, places: int, threads: int | None) -> None:
    global _cores_of_all
    if threads is None or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if places * threads <= len(cores):
        _cores_of_all = frozenset(cores)
        os.sched_setaffinity(0, cores[number * threads : (number + 1) * threads])


def cores_of_all() -> frozenset[int]:
    """The cores of all workers side by side where this process is one of them; else those that it may use itself."""
    if _cores_of_all is not None:
        return _cores_of_all
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def use_cores(cores: Iterable[int]) -> None:
    """Run this process on these cores, where the system lets it choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _visible_gpus() -> Sequence[str]:
    """Names of the GPUs that this process may use. Not asked of PyTorch, which would settle on all of them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, timeout=60).stdout.split()


def processor() -> str:
    """The name of the machine's processor, where the system says it."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+?)\s*$", file.read_text() if file.is_file() else "", re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def versions(*packages: str) -> dict[str, str]:
    """Of Python, of the packages that decide what a run computes, and of further ones."""
    return {"python": platform.python_version()} | {name: version(name) for name in (*PACKAGES, *packages)}


def spawn_context() -> SpawnContext:
    """For processes of one's own: a forked one inherits the locks of this one's threads, and may wait for ever.

    A joblib worker hands its start method, "loky", to every process that it starts, and a spawned one knows it not.
    """
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("spawn", force=True)
    return multiprocessing.get_context("spawn")


def usable_processors() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that a new process can have; None where the system does not say."""
    return _bytes_in(Path("/proc/meminfo"), "MemAvailable")


def resident_peak() -> int:
    """Bytes that this process has held at most so far."""
    # Not ru_maxrss where it can be helped: on Linux a process inherits that of the one that started it.
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _bytes_in(Path("/proc/self/status"), "VmHWM") or usage


def _bytes_in(file: Path, key: str) -> int | None:
    found = re.search(rf"{key}:\s+(\d+) kB", file.read_text()) if file.is_file() else None
    return int(found[1]) * 1024 if found else None
