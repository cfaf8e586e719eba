"""What benchmarks share: the run that is measured, seconds of tasks in turns, memory of a process of its own, reports.

`python -m vmc.tools.bench.measure FILE MODULE [WORD ...]` runs an entry point and writes into FILE what it took.

Axes: F frames, C colours, H and W.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from tqdm import tqdm

from vmc.config.checks import check_complete, check_config, check_parts, resolved
from vmc.config.command import compose
from vmc.models.unet3d import UNet3D
from vmc.training.experiment import Experiment
from vmc.training.hardware import Hardware
from vmc.utils.processes import processor, resident_peak, usable_processors, versions
from vmc.utils.randomness import generator
from vmc.utils.tables import TextTable, to_terminal

Figures: TypeAlias = dict[str, tuple[str, np.ndarray]]
"""What was measured: its name -> its unit, and a value for each round."""
WARM_UP = 2
"""Videos that are made, or steps that are trained, before anything is timed: the first make the optimizer's state."""


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW, uint8."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)


def compose_run(overrides: Sequence[str], *, scored: bool) -> dict[str, Any]:
    """The config of `vmc.train` with overrides, as plain values that another process can be given; where it is not
    scored, without test set and metrics.

    Raises:
        VmcError: the overrides are wrong, or lack a value.
    """
    config = compose_unbuilt(overrides, scored=scored)
    check_parts(config)
    return resolved(config)


def compose_unbuilt(overrides: Sequence[str], *, scored: bool) -> Any:
    """The same as Hydra composes it, before any part is built, which may need a GPU."""
    config = compose("train", ["logger=csv", *overrides])
    config.data.path, config.data.source = None, {"_target_": "vmc.data.clips.NoClips"}
    for part in (config.data, config.regularization):
        if "variants" in part:
            part.variants = 1
    config.evaluate_every = int(scored)
    check_complete(config)
    check_config(config, "train")
    return config


def describe(config: Mapping[str, Any], experiment: Experiment, **more: Any) -> dict[str, Any]:
    """What was measured, for a report; no paths."""
    model = experiment.model
    return {
        "stack": config["stack_name"],
        "model": str(model.path).rstrip("/").rpartition("/")[2],
        "video": [model.frames, model.size, model.size],
        "attention": model.attention,
        "precision": experiment.hardware.precision,
        **more,
    }


def make_report(
    benchmark: str, settings: Mapping[str, Any], figures: Figures, notes: Sequence[str], hardware: Hardware
) -> dict[str, Any]:
    """What a benchmark found, as its JSON file holds it: settings without paths, figures with ratios, what is and what
    is not in them, and what they were measured on.
    """
    found = {}
    for name, (unit, values) in figures.items():
        low, median, high = np.quantile(values, [0, 0.5, 1]).tolist()
        found[name] = {"unit": unit, "median": median, "low": low, "high": high, "values": values.tolist()}
    report = {"benchmark": benchmark, "settings": dict(settings), "figures": found, "notes": list(notes)}
    return report | {"machine": machine(hardware)}


def report_text(report: Mapping[str, Any]) -> str:
    """A report as a table, below what it was measured with, above what it was measured on."""
    rows = []
    for name, figure in report["figures"].items():
        texts = (figure[part] for part in ("median", "low", "high"))
        median, low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in texts)
        rows.append((name, median, f"{low} to {high}" if len(figure["values"]) > 1 else "", figure["unit"]))
    settings = [
        f"{name.replace('_', ' ')} {'x'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in report["settings"].items()
    ]
    title, header = f"{report['benchmark']}: {', '.join(settings)}", ("", "median", "range", "")
    table = TextTable(name="", title=title, header=header, rows=rows, left=frozenset({0, 3}))
    return "\n".join([to_terminal(table), *report["notes"], machine_line(report["machine"])])


def machine(hardware: Hardware) -> dict[str, Any]:
    """What figures hold for: processor, GPU or threads, versions; no names of hosts, no paths."""
    found: dict[str, Any] = {"processor": processor(), "processors": usable_processors()}
    if hardware.device.type == "cuda":
        found["gpu"] = hardware.rounding
    elif hardware.threads is not None:
        found["threads"] = hardware.threads
    return {**found, "versions": versions("open_clip_torch")}


def machine_line(machine: Mapping[str, Any]) -> str:
    """What `machine` says, in a line."""
    parts = [f"{name} {part}" for name, part in machine.items() if name not in ("processor", "versions")]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"on {', '.join([machine['processor'], *parts])}; {versions}"


def seconds(task: Callable[..., Any], *arguments: Any) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    task(*arguments)
    return time.perf_counter() - start


def take_turns(tasks: Mapping[str, Callable[[], float]], *, repeats: int, label: str) -> dict[str, np.ndarray]:
    """The seconds that each task gives in every round; every other round goes backwards, so that no task always comes
    first.
    """
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for number in tqdm(range(repeats), desc=label, unit="round", disable=None, leave=False):
        for name in list(tasks)[:: -1 if number % 2 else 1]:
            found[name].append(tasks[name]())
    return {name: np.array(values) for name, values in found.items()}


def beside(busy: int, task: Callable[[], float]) -> float:
    """What a task gives while so many processes keep a core busy each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        return task()
    finally:
        for other in others:
            other.kill()
            other.wait()


def beside_figures(name: str, busy: int, timed: Mapping[str, np.ndarray]) -> Figures:
    """Seconds of a task beside busy processes, and how many times as long it takes there."""
    beside, share = timed["beside"], timed["beside"] / timed["ours"]
    return {f"{name}, beside {busy} busy": ("s", beside), f"{name}, beside {busy} busy / alone": ("times", share)}


def regressions(report: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """A sentence for each gain that is below the recorded one's by more than the spread of both."""
    said = []
    for name, before in recorded["figures"].items():
        now = report["figures"].get(name)
        if now is not None and before["unit"] == "x" and now["high"] < before["low"]:
            spreads = [f"{one['median']:.3g} ({one['low']:.3g} to {one['high']:.3g})" for one in (now, before)]
            said.append(f"regression: {name} is {spreads[0]}, recorded was {spreads[1]}")
    return said


def apart(task: Callable[[], Any]) -> Any:
    """What a task gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task).result()


def memory_figures(name: str, task: Callable[[], Any]) -> Figures:
    """Peak memory of a process that does this alone, loading included; on a GPU, of PyTorch's tensors there."""
    return {f"peak memory, {name}": ("MB", np.array([apart(partial(_peak, task)) / 1e6]))}


def _peak(task: Callable[[], Any]) -> int:
    task()
    return peak_memory()


def peak_memory() -> int:
    """Bytes that this process has held at most, on a GPU in PyTorch's tensors."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else resident_peak()


def run_captured(*words: str, **variables: str) -> tuple[int, str]:
    """Run a module of ours with words in a process of its own; its exit status, and all that it said."""
    line, environment = [sys.executable, "-m", *words], {**os.environ, **variables}
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def reason_of(said: str) -> str:
    """Why a command of ours ended, of all that it said."""
    lines = said.strip().splitlines() or ["nothing was said"]
    return next((line for line in reversed(lines) if line.startswith("error:")), lines[-1])


@contextmanager
def timed_passes() -> Iterator[list[float]]:
    """Seconds of each pass through the UNet within, forward alone; hooks of PyTorch's change nothing."""
    began, passes = list[float](), list[float]()

    def note(module: torch.nn.Module, *ignored: Any) -> None:
        if isinstance(module, UNet3D.networks["unet"]):
            if torch.cuda.is_initialized():  # a GPU does what it is given later
                torch.cuda.synchronize()
            now = time.perf_counter()
            passes.append(now - began.pop()) if began else began.append(now)

    with register_module_forward_pre_hook(note), register_module_forward_hook(note):
        yield passes


def measure_command(file: str, module: str, *words: str) -> None:
    """Run a module's `main` with words and write its seconds and peak memory, PyTorch's on a GPU too."""
    began = time.perf_counter()
    sys.argv = [module, *words]
    with timed_passes() as passes:
        try:
            import_module(module).main()
        finally:
            found = {
                "seconds": time.perf_counter() - began,
                "seconds_of_passes": passes,
                "peak_memory_bytes": resident_peak(),
                "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None,
            }
            Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    measure_command(*sys.argv[1:])
