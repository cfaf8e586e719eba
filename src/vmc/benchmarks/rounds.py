"""Seconds of tasks that take turns, and the memory that a task needs in a process of its own."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vmc.benchmarks.report import Figure

Task = Callable[[], Any]
Prepared = Callable[[], tuple[Task, bool]]
"""Loads what a task needs; gives the task, and whether its memory is a GPU's."""
MEGABYTE = 1e6


def take_turns(tasks: Mapping[str, Task], *, repeats: int, label: str) -> dict[str, Figure]:
    """Seconds of each task in every round; every other round goes backwards, so that no task always comes first.

    Args:
        tasks: by name, already warm.
        repeats: rounds.
        label: of the progress bar.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    with tqdm(total=repeats * len(tasks), desc=label, unit="part", disable=None, leave=False) as bar:
        for number in range(repeats):
            for name in list(tasks) if number % 2 == 0 else reversed(list(tasks)):
                start = time.perf_counter()
                tasks[name]()
                seconds[name].append(time.perf_counter() - start)
                bar.update()
    return {name: Figure(name, "s", tuple(values)) for name, values in seconds.items()}


def memory_figures(name: str, prepare: Prepared) -> list[Figure]:
    """Peak memory of a process that does this alone, and how much of it came after everything was loaded."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        loaded, peak = pool.submit(_memory, prepare).result()
    return [
        Figure(f"peak memory, {name}", "MB", (peak / MEGABYTE,)),
        Figure(f"  above what is loaded, {name}", "MB", ((peak - loaded) / MEGABYTE,)),
    ]


def _memory(prepare: Prepared) -> tuple[int, int]:
    """Bytes when all is loaded, and at most."""
    task, on_gpu = prepare()
    if not on_gpu:
        loaded = resident_peak()
        task()
        return loaded, resident_peak()
    import torch

    loaded = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    task()
    return loaded, torch.cuda.max_memory_allocated()


def resident_peak() -> int:
    """Bytes that this process has held at most so far."""
    # Not ru_maxrss where it can be helped: on Linux a process inherits that of the one that started it.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
