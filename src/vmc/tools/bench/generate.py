"""`python -m vmc.bench generate`: what making videos in batches gains."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt
from vmc.evaluation.generation import VideoGenerator, video_names
from vmc.tools.bench.measure import Figure, Prepared, Report, Task, machine, memory_figures, ratio, take_turns
from vmc.tools.bench.workload import compose_run, describe, some_prompts, untuned_generator

WARM_UP = 2
"""Videos that are made before anything is timed."""
NOTES = (
    "A video is text embedding, sampling, decoding and its mp4; loading the model is left out.",
    "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors).",
)


def run(arguments: Namespace) -> Report:
    """Measure as the command line says."""
    config = compose_run(arguments.overrides, scored=True)
    return measure(config, videos=arguments.videos, batches=arguments.batch, repeats=arguments.repeats)


def measure(
    config: Mapping[str, Any],
    *,
    videos: int,
    batches: Sequence[int] = (),
    repeats: int = 3,
    memory: Callable[[str, Prepared], list[Figure]] = memory_figures,
) -> Report:
    """Videos a second at the automatic batch size, one at a time, and at other sizes.

    Args:
        config: of a run.
        videos: in a measurement.
        batches: further sizes.
        repeats: measurements of each.
        memory: measures what a task needs.
    """
    experiment = build_experiment(config)
    prompts = some_prompts(experiment, videos)
    generator = untuned_generator(experiment)
    sizes: list[int | None] = [None, *dict.fromkeys((1, *batches))]
    for size in sizes:
        make(replace(generator, batch_size=size), prompts[: size or WARM_UP])
    seen: list[int] = []
    tasks: dict[str, Task] = {str(size): partial(_make_anew, generator, size, prompts, seen) for size in sizes}
    seconds = take_turns(tasks, repeats=repeats, label="generate")
    names = {size: f"{size} at a time" if size else f"automatic ({max(seen)} at a time)" for size in sizes}
    rates = {size: seconds[str(size)].rate(videos, name=names[size], unit="videos/s") for size in sizes}
    gains = [ratio(f"{names[size]} / {names[1]}", rates[size], rates[1]) for size in sizes if size != 1]
    used = [
        figure
        for size in sizes
        for figure in memory(names[size], partial(_prepared, config, prompts[: size or videos], size))
    ]
    return Report(
        benchmark="generate",
        settings={**describe(config, experiment), "videos": videos, "sampler_steps": experiment.sampler.steps},
        figures=[*rates.values(), *gains, *used],
        notes=NOTES,
        machine=machine(experiment.hardware),
    )


def make(generator: VideoGenerator, prompts: Sequence[Prompt], folder: Path | None = None) -> None:
    """Write all videos; where no folder is given, into one that is gone afterwards."""
    with TemporaryDirectory() as passing:
        files = [(folder or Path(passing)) / name for name in video_names(prompts)]
        for _ in generator.write(prompts, files):
            pass


def _make_anew(generator: VideoGenerator, size: int | None, prompts: Sequence[Prompt], seen: list[int]) -> None:
    """As a run does, which knows neither the batch size nor any text; `seen` notes the automatic size."""
    anew = replace(generator, batch_size=size)
    if size is None:
        frames = anew.frames

        def noted(batch: Sequence[Prompt]) -> Tensor:
            seen.append(len(batch))
            return frames(batch)

        anew.frames = noted  # type: ignore[method-assign, assignment]
    make(anew, prompts)


def _prepared(config: Mapping[str, Any], prompts: Sequence[Prompt], size: int | None) -> tuple[Task, bool]:
    experiment = build_experiment(config)
    task = partial(make, untuned_generator(experiment, batch_size=size), prompts)
    return task, experiment.hardware.device.type == "cuda"
