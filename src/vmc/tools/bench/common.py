"""What the benchmarks share: the run that is measured, the plain loop that it is compared with, timing, and reports.

Axes: F frames, C colors, H and W pixels.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor
from torch.nn import Conv3d
from tqdm import tqdm

from vmc.config.build import build_part
from vmc.config.checks import check_complete, check_config, check_parts, resolved
from vmc.config.command import compose
from vmc.models.zeroscope import FrameConv3d, UNet3D
from vmc.training.experiment import Experiment
from vmc.training.hardware import Hardware
from vmc.utils.processes import processor, resident_peak, spawn_context, usable_processors, versions
from vmc.utils.randomness import generator

Figures: TypeAlias = dict[str, tuple[str, np.ndarray]]
"""Name of a figure -> its unit, and its value in each round."""
WARM_UP = 2
"""Videos made, or steps trained, before timing begins: the first step also makes the optimizer's state."""
COMMON = {
    "kernels": ((), "attention and convolutions are those of diffusers, and numbers below 1e-38 are computed with"),
    "launching": (["trainer.cuda_graph=false", "trainer.compile=null"], "nothing is compiled, nothing a CUDA graph"),
}
"""The choices of `PlainLoop` that training and sampling have in common."""
SHARES = (
    "A choice taken back is ours with that part plain, over ours; a choice alone is the plain loop over the same with"
    " that part ours."
)

# --- the run that is measured ---


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the frames_FCHW (uint8) of each of `count` clips of noise."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)


def compose_run(overrides: Sequence[str], *, scored: bool, parts: bool = True) -> dict[str, Any]:
    """Compose the config of `vmc.train`, without clips, as plain values that another process can be given.

    Args:
        overrides: overrides as they are typed.
        scored: whether the run has a test set and metrics.
        parts: whether the values of each group are checked by its class, which must be installed for it.

    Raises:
        VmcError: the overrides are wrong, or lack a value.
    """
    config = compose("train", ["logger=csv", *overrides])
    config.data.path, config.data.source = None, {"_target_": "vmc.data.clips.NoClips"}
    for part in (config.data, config.regularization):
        if "variants" in part:
            part.variants = 1
    config.evaluate_every = int(scored)
    check_complete(config)
    check_config(config, "train")
    if parts:
        check_parts(config)
    return resolved(config)


@dataclass(frozen=True, kw_only=True)
class PlainLoop:
    """A loop like the release's, and the loops between it and ours.

    A choice is made as the plain loop does by overrides (none where it is no key of the config), and has a clause that
    says what the plain loop does.
    """

    choices: Mapping[str, tuple[Sequence[str], str]]
    scored: bool  # as for `compose_run`

    def config(self, overrides: Sequence[str], plain: Collection[str] = ()) -> dict[str, Any]:
        """Compose a run in which those choices in `plain` that are keys are made as the plain loop makes them."""
        words = [word for name in self.choices if name in plain for word in self.choices[name][0]]
        return compose_run([*overrides, *words], scored=self.scored)

    def differing(self, overrides: Sequence[str]) -> list[str]:
        """List the choices in which a run differs from the plain loop.

        Raises:
            VmcError: the overrides are wrong, or lack a value.
        """
        own = self.config(overrides)

        def differs(name: str) -> bool:
            if name == "weights":
                return build_part(own, "trainer").frozen_dtype != torch.float32
            if name == "kernels":
                return isinstance(build_part(own, "model"), UNet3D)
            return not self.choices[name][0] or self.config(overrides, [name]) != own

        return list(filter(differs, self.choices))

    def compare(
        self, name: str, task: Callable[[Collection[str]], list[float]], arguments: Any
    ) -> tuple[Figures, list[str]]:
        """Measure seconds and memory of a run; if asked, against the plain loop with the share of every choice, and
        beside busy processes.

        Args:
            name: what takes these seconds.
            task: choices that are made as the plain loop makes them -> seconds; another process can be given it.
            arguments: the command's `overrides`, `compare`, `repeats` and `beside`.

        Returns:
            The figures, and notes on what they mean.
        """
        chosen = self.differing(arguments.overrides) if arguments.compare else []
        several = chosen if len(chosen) > 1 else ()
        plain = {"ours": frozenset[str]()} | ({"plain": frozenset(chosen)} if chosen else {})
        for one in several:
            plain |= {f"{one}, taken back": frozenset([one]), f"{one}, alone": frozenset(chosen) - {one}}
        tasks = {loop: partial(task, choices) for loop, choices in plain.items()}
        if arguments.beside:
            tasks["beside"] = partial(beside, arguments.beside, tasks["ours"])
        timed = take_turns(tasks, repeats=arguments.repeats, label=name)
        peaks = {loop: np.array([apart(tasks[loop])[1] / 1e6]) for loop in ("ours", "plain") if loop in tasks}
        figures: Figures = {name: ("s", timed["ours"])}
        if arguments.beside:
            busy = f"{name}, beside {arguments.beside} busy"
            figures |= {busy: ("s", timed["beside"]), f"{busy} / alone": ("times", timed["beside"] / timed["ours"])}
        if chosen:
            figures |= {f"{name}, plain": ("s", timed["plain"]), "plain / ours": ("x", timed["plain"] / timed["ours"])}
            figures["peak memory, plain / ours"] = "x", peaks["plain"] / peaks["ours"]
        for one in several:
            figures[f"{one}, alone"] = "x", timed["plain"] / timed[f"{one}, alone"]
            figures[f"{one}, taken back"] = "x", timed[f"{one}, taken back"] / timed["ours"]
        notes = ["Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors)."]
        if chosen:
            meanings = "; ".join(self.choices[one][1] for one in chosen)
            notes.append(f"{SHARES} Plain is a loop like the release's: {meanings}.")
        return figures | {f"peak memory, {loop}": ("MB", peak) for loop, peak in peaks.items()}, notes


class RepeatedTexts(AttnProcessor2_0):
    """Diffusers' attention, which computes keys and values of a clip's text anew for each of its frames."""

    def __call__(self, *given: Any, frames: int = 1, **named: Any) -> Tensor:
        """Compute attention, called as `ClipAttention` is."""
        return super().__call__(*given, **named)


def plain_kernels(denoiser: Any) -> None:
    """Give a UNet the layers of diffusers, and this thread numbers below 1e-38."""
    torch.set_flush_denormal(False)
    for module in denoiser.modules():
        if isinstance(module, FrameConv3d):
            module.__class__ = Conv3d  # type: ignore[assignment]
        elif isinstance(module, Attention):
            module.set_processor(RepeatedTexts())


# --- reports ---


def describe(config: Mapping[str, Any], experiment: Experiment, **more: Any) -> dict[str, Any]:
    """Describe what was measured for a report, without paths."""
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
    """Make what a benchmark's JSON file holds: settings, figures, notes and the machine, without names of hosts."""
    found = {}
    for name, (unit, values) in figures.items():
        low, median, high = np.quantile(values, [0, 0.5, 1]).tolist()
        found[name] = {"unit": unit, "median": median, "low": low, "high": high, "values": values.tolist()}
    place = f"GPU {hardware.rounding}" if hardware.device.type == "cuda" else f"{hardware.threads} threads"
    packages = ", ".join(f"{name} {number}" for name, number in versions("open_clip_torch").items())
    machine = f"on {processor()}, {usable_processors()} processors, {place}; {packages}"
    report = {"benchmark": benchmark, "settings": dict(settings), "figures": found, "notes": list(notes)}
    return report | {"machine": machine}


def report_text(report: Mapping[str, Any]) -> str:
    """Format a report as a table, below its settings, above its notes and the machine."""
    figures = pd.DataFrame(report["figures"], index=["median", "low", "high", "unit"]).T.rename(columns={"unit": ""})
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report["settings"].items())
    table = figures.infer_objects().to_string(float_format="{:,.4g}".format)
    return "\n".join([f"{report['benchmark']}: {settings}", table, *report["notes"], report["machine"]])


def regressions(report: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """Say of each gain that it is below the recorded one by more than the spread of both."""
    said = []
    for name, before in recorded["figures"].items():
        now = report["figures"].get(name)
        if now is not None and before["unit"] == "x" and now["high"] < before["low"]:
            spreads = [f"{one['median']:.3g} ({one['low']:.3g} to {one['high']:.3g})" for one in (now, before)]
            said.append(f"regression: {name} is {spreads[0]}, recorded was {spreads[1]}")
    return said


# --- measuring ---


def seconds(task: Callable[..., Any], *arguments: Any) -> float:
    """Time one call."""
    start = time.perf_counter()
    task(*arguments)
    return time.perf_counter() - start


def take_turns(tasks: Mapping[str, Callable[[], Any]], *, repeats: int, label: str) -> dict[str, np.ndarray]:
    """Run every task once a round and collect its seconds; every other round goes backwards, so that no task always
    comes first.
    """
    found: dict[str, list[Any]] = {name: [] for name in tasks}
    for number in tqdm(range(repeats), desc=label, unit="round", disable=None, leave=False):
        for name in list(tasks)[:: -1 if number % 2 else 1]:
            found[name].append(tasks[name]())
    return {name: np.ravel(values) for name, values in found.items()}


def beside(busy: int, task: Callable[[], Any]) -> Any:
    """Run a task while so many processes keep a core busy each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        return task()
    finally:
        for other in others:
            other.kill()
            other.wait()


def apart(task: Callable[[], Any]) -> tuple[Any, int]:
    """Run a task in a process of its own; its result, and its peak of memory in bytes, on a GPU of tensors alone."""
    with ProcessPoolExecutor(1, mp_context=spawn_context()) as pool:
        return pool.submit(_with_peak, task).result()


def _with_peak(task: Callable[[], Any]) -> tuple[Any, int]:
    result = task()
    return result, torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else resident_peak()


def run_captured(*words: str) -> tuple[int, str]:
    """Run one of our modules in a process of its own; its exit status, and why it failed."""
    line = [sys.executable, "-m", *words]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = done.stdout.strip().splitlines() or ["nothing was said"]
    return done.returncode, next((line for line in reversed(said) if line.startswith("error:")), said[-1])
