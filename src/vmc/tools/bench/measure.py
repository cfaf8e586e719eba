"""Seconds of tasks that take turns, the memory of a process of its own, and figures with ranges and ratios."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmc.utils.files import atomic_write

if TYPE_CHECKING:
    from vmc.training.hardware import Hardware
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from tqdm import tqdm

PACKAGES = ("vmc", "torch", "diffusers", "transformers", "pytorch-lightning", "open_clip_torch", "av")


@dataclass(frozen=True)
class Figure:
    """What was measured, once in every round.

    Args:
        name: what it is of.
        unit: of the values.
        values: in the order of the rounds.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.values)

    def each(self, count: float, *, name: str, unit: str) -> "Figure":
        """This, divided by a count."""
        return Figure(name, unit, tuple(value / count for value in self.values))

    def rate(self, count: float, *, name: str, unit: str) -> "Figure":
        """So many in these seconds."""
        return Figure(name, unit, tuple(count / value for value in self.values))

    def to_json(self) -> dict[str, Any]:
        """Median, range and all values."""
        low, high = min(self.values), max(self.values)
        return {"unit": self.unit, "median": self.median, "low": low, "high": high, "values": list(self.values)}


def ratio(name: str, above: Figure, below: Figure, *, unit: str = "x") -> Figure:
    """`above` / `below`, round by round: what slows a machine down for a while slows both."""
    factor = 100.0 if unit == "%" else 1.0
    quotients = (factor * one / other for one, other in zip(above.values, below.values, strict=True))
    return Figure(name, unit, tuple(quotients))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a benchmark found.

    Args:
        benchmark: its name.
        settings: that it was run with; numbers and words, no paths.
        figures: in the order shown, ratios included.
        notes: what is and what is not in the figures, a sentence each.
        machine: see `machine`.
    """

    benchmark: str
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    notes: Sequence[str]
    machine: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "benchmark": self.benchmark,
            "settings": dict(self.settings),
            "figures": {figure.name: figure.to_json() for figure in self.figures},
            "notes": list(self.notes),
            "machine": dict(self.machine),
        }

    def write(self, file: Path) -> None:
        """Write the JSON, whole.

        Raises:
            VmcError: it cannot be written there.
        """
        with atomic_write(file, remedy="name another file by --output") as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def lines(self) -> list[str]:
        """The table, what it was measured with, and on what."""
        rows = [("", "median", "range", "")]
        for figure in self.figures:
            low, high = _number(min(figure.values)), _number(max(figure.values))
            spread = f"{low} to {high}" if len(figure.values) > 1 else ""
            rows.append((figure.name, _number(figure.median), spread, figure.unit))
        names, medians, spreads = (max(len(row[column]) for row in rows) for column in range(3))
        table = [f"{row[0]:<{names}}  {row[1]:>{medians}}  {row[2]:>{spreads}}  {row[3]}".rstrip() for row in rows]
        settings = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.settings.items())
        versions = ", ".join(f"{name} {number}" for name, number in self.machine["versions"].items())
        hardware = [str(self.machine["processor"])]
        hardware += [f"{name} {part}" for name, part in self.machine.items() if name not in ("processor", "versions")]
        return [f"{self.benchmark}: {settings}", *table, *self.notes, f"on {', '.join(hardware)}; {versions}"]


def machine(hardware: "Hardware") -> dict[str, Any]:
    """What the figures hold for: no names of hosts, no paths."""
    from vmc.utils.processes import processor

    found: dict[str, Any] = {"processor": processor(), "processors": _processors()}
    if hardware.device.type == "cuda":
        found["gpu"] = hardware.rounding
    elif hardware.threads is not None:
        found["threads"] = hardware.threads
    packages = {name: version(name) for name in PACKAGES}
    return {**found, "versions": {"python": platform.python_version(), **packages}}


def _processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


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
