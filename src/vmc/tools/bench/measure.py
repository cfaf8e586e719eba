"""What benchmarks share: the run that is measured, the loop that it is compared with, tasks in turns, reports.

Axes: F frames, C colours, H and W.
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
from vmc.models.unet3d import FrameConv3d, UNet3D
from vmc.training.experiment import Experiment
from vmc.training.hardware import Hardware
from vmc.utils.processes import processor, resident_peak, spawn_context, usable_processors, versions
from vmc.utils.randomness import generator

Figures: TypeAlias = dict[str, tuple[str, np.ndarray]]
"""What was measured: its name -> its unit, and a value for each round."""
WARM_UP = 2
"""Videos that are made, or steps that are trained, before anything is timed: the first make the optimizer's state."""
NOTES = {
    "plain": "A choice taken back is ours with that part plain, over ours; a choice alone is the plain loop over the"
    " same with that part ours. Plain is a loop like the release's: ",
    "memory": "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors).",
}

LAUNCHING = (("trainer.cuda_graph=false", "trainer.compile=null"), "nothing is compiled, nothing a CUDA graph")
KERNELS = (), "attention and convolutions are those of diffusers, and numbers below 1e-38 are computed with"
"""What every plain loop does otherwise, as `PlainLoop` takes it."""

# --- the run that is measured ---


def noise_clips(role: str, count: int, *, frames: int, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW, uint8."""
    for number in range(count):
        draw = generator("benchmark", role, number)
        yield f"{role}{number}", torch.randint(256, (frames, 3, size, size), generator=draw, dtype=torch.uint8)


def compose_run(overrides: Sequence[str], *, scored: bool, build: bool = True) -> dict[str, Any]:
    """The config of `vmc.train` with overrides, as plain values that another process can be given.

    Args:
        overrides: as they are typed.
        scored: with test set and metrics.
        build: check what its parts check when they are built, which may need a GPU.

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
    if build:
        check_parts(config)
    return resolved(config)


@dataclass(frozen=True, kw_only=True)
class PlainLoop:
    """A loop like the release's, and those between it and ours.

    Args:
        choices: what the plain loop does otherwise: by which overrides, none where it is no key, and what that means.
        scored: as `compose_run` takes it.
    """

    choices: Mapping[str, tuple[Sequence[str], str]]
    scored: bool

    def config(self, overrides: Sequence[str], plain: Collection[str] = ()) -> dict[str, Any]:
        """A run's config in which those choices in `plain` that are keys are made as the plain loop makes them."""
        words = [word for name in self.choices if name in plain for word in self.choices[name][0]]
        return compose_run([*overrides, *words], scored=self.scored)

    def differing(self, overrides: Sequence[str]) -> list[str]:
        """The choices in which a run differs from the plain loop.

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

    def notes(self, chosen: Sequence[str]) -> list[str]:
        """What memory is and, where a run was compared, what the plain loop is; for a report."""
        meanings = "; ".join(self.choices[name][1] for name in chosen)
        return [NOTES["memory"], *([f"{NOTES['plain']}{meanings}."] if chosen else [])]


class RepeatedTexts(AttnProcessor2_0):
    """Diffusers' attention, which computes keys and values of a clip's text anew for each of its frames."""

    def __call__(self, *given: Any, frames: int = 1, **named: Any) -> Tensor:
        """As `ClipAttention` is called."""
        return super().__call__(*given, **named)


def plain_kernels(denoiser: Any) -> None:
    """Give a UNet of clips the layers of diffusers, and this thread numbers below 1e-38."""
    torch.set_flush_denormal(False)
    for module in denoiser.modules():
        if isinstance(module, FrameConv3d):
            module.__class__ = Conv3d  # type: ignore[assignment]
        elif isinstance(module, Attention):
            module.set_processor(RepeatedTexts())


def compare(name: str, chosen: Sequence[str], task: Callable[[Collection[str]], float], *, arguments: Any) -> Figures:
    """Seconds and memory of a run; if asked, against the plain loop, with the share of every choice, and beside busy
    processes.

    Args:
        name: of what takes these seconds.
        chosen: choices in which the run differs from the plain loop; none where they are not compared.
        task: choices that are made as the plain loop makes them -> seconds; it can be given to another process.
        arguments: the command's `repeats` and `beside`.
    """
    plain = {"ours": frozenset[str](), **({"plain": frozenset(chosen)} if chosen else {})}
    several = chosen if len(chosen) > 1 else ()
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
    return figures | {f"peak memory, {loop}": ("MB", peak) for loop, peak in peaks.items()}


# --- reports ---


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
    figures = pd.DataFrame(report["figures"], index=["median", "low", "high", "unit"]).T.rename(columns={"unit": ""})
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report["settings"].items())
    table = figures.infer_objects().to_string(float_format="{:,.4g}".format)
    return "\n".join([f"{report['benchmark']}: {settings}", table, *report["notes"], report["machine"]])


def regressions(report: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """A sentence for each gain that is below the recorded one's by more than the spread of both."""
    said = []
    for name, before in recorded["figures"].items():
        now = report["figures"].get(name)
        if now is not None and before["unit"] == "x" and now["high"] < before["low"]:
            spreads = [f"{one['median']:.3g} ({one['low']:.3g} to {one['high']:.3g})" for one in (now, before)]
            said.append(f"regression: {name} is {spreads[0]}, recorded was {spreads[1]}")
    return said


def machine(hardware: Hardware) -> str:
    """What figures hold for: processor, GPU or threads, versions; no names of hosts, no paths."""
    place = f"GPU {hardware.rounding}" if hardware.device.type == "cuda" else f"{hardware.threads} threads"
    packages = ", ".join(f"{name} {number}" for name, number in versions("open_clip_torch").items())
    return f"on {processor()}, {usable_processors()} processors, {place}; {packages}"


# --- measuring ---


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


def apart(task: Callable[[], Any]) -> tuple[Any, int]:
    """What a task gives in a process of its own, and the most bytes that it has held; on a GPU in PyTorch's tensors."""
    with ProcessPoolExecutor(1, mp_context=spawn_context()) as pool:
        return pool.submit(_with_peak, task).result()


def _with_peak(task: Callable[[], Any]) -> tuple[Any, int]:
    result = task()
    return result, torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else resident_peak()


def run_captured(*words: str) -> tuple[int, str]:
    """Run a module of ours with words in a process of its own; its exit status, and why it failed."""
    line = [sys.executable, "-m", *words]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = done.stdout.strip().splitlines() or ["nothing was said"]
    return done.returncode, next((line for line in reversed(said) if line.startswith("error:")), said[-1])
