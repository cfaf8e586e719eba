"""`python -m vmc.bench generate` and `evaluate`: what making videos in batches gains, and what scoring them costs."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt, spread
from vmc.data.video import read_frames
from vmc.evaluation.generation import TunedModel, VideoGenerator, video_names
from vmc.evaluation.score import AT_ONCE, Evaluation
from vmc.metrics.base import Record
from vmc.metrics.suite import Evaluator
from vmc.tools.bench.measure import (
    WARM_UP,
    Figures,
    compose_run,
    describe,
    make_report,
    memory_figures,
    noise_clips,
    seconds,
    take_turns,
)
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError

CLIP_FRAMES = 34
"""Frames of a source clip, as the miniature's have in the middle."""
CLIPS = {"exemplars": 10, "regularization": 100}
"""Clips of a run (paper, Sec. 4)."""
NOTES = {
    "generate": (
        "A video is text embedding, sampling, decoding and its mp4; loading the model is left out.",
        "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors).",
    ),
    "evaluate": (
        "Generating is text embedding, sampling, decoding and mp4, at the automatic batch size.",
        "Scoring is `Evaluation.score` on those files: read, all metrics, intervals, scores.csv and summary.json; texts"
        " are encoded anew each time.",
        "The clips that videos are compared with are noise, as many as a run has; they are described once a run.",
    ),
}


def some_prompts(experiment: Experiment, count: int) -> Sequence[Prompt]:
    """So many of the test set: subjects spread through it, each with all its seeds, as texts are shared there.

    Raises:
        VmcError: it has not so many.
    """
    found = experiment.prompts
    if count > len(found):
        raise VmcError(f"--videos is {count}; the test set has {len(found)} prompts, give at most as many")
    subjects = len({prompt.subject or prompt.text for prompt in found})
    return spread(found, -(-count * subjects // len(found)))[:count]


def untuned_generator(experiment: Experiment, *, batch_size: int | None = None) -> VideoGenerator:
    """Makes videos of the untuned model, on its device, with its threads set."""
    experiment.hardware.use_threads()
    model = TunedModel.load(experiment.model, experiment.token, None, hardware=experiment.hardware)
    return model.generator(sampler=experiment.sampler, batch_size=batch_size)


def make_videos(generator: VideoGenerator, prompts: Sequence[Prompt], folder: Path | None = None) -> None:
    """Write all videos; where no folder is given, into one that is gone afterwards."""
    with TemporaryDirectory() as passing:
        for _ in generator.write(prompts, [(folder or Path(passing)) / name for name in video_names(prompts)]):
            pass


def generate(arguments: Namespace) -> dict[str, Any]:
    """Videos a second and memory at the automatic batch size, one at a time, and at the sizes of `--batch`."""
    config, videos = compose_run(arguments.overrides, scored=True), arguments.videos
    experiment = build_experiment(config)
    prompts, generator = some_prompts(experiment, videos), untuned_generator(experiment)
    sizes: list[int | None] = [None, *dict.fromkeys((1, *arguments.batch))]
    for size in sizes:
        make_videos(replace(generator, batch_size=size), prompts[: size or WARM_UP])
    seen: list[int] = []
    tasks = {str(size): partial(_seconds, generator, size, prompts, seen) for size in sizes}
    timed = take_turns(tasks, repeats=arguments.repeats, label="generate")
    names = {size: f"{size} at a time" if size else f"automatic ({max(seen)} at a time)" for size in sizes}
    figures: Figures = {names[size]: ("videos/s", videos / timed[str(size)]) for size in sizes}
    figures |= {f"{names[size]} / {names[1]}": ("x", timed["1"] / timed[str(size)]) for size in sizes if size != 1}
    for size in sizes:
        figures |= memory_figures(names[size], partial(_prepare, config, prompts[: size or videos], size))
    settings = describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return make_report("generate", settings, figures, NOTES["generate"], experiment.hardware)


def _seconds(generator: VideoGenerator, size: int | None, prompts: Sequence[Prompt], seen: list[int]) -> float:
    """As a run makes them, which knows neither the batch size nor any text; `seen` notes the automatic size."""
    anew = replace(generator, batch_size=size)
    frames = anew.frames
    anew.frames = lambda batch: (seen.append(0 if size else len(batch)), frames(batch))[1]  # type: ignore
    return seconds(make_videos, anew, prompts)


def _prepare(config: Mapping[str, Any], prompts: Sequence[Prompt], size: int | None) -> tuple[Callable[[], Any], bool]:
    experiment = build_experiment(config)
    task = partial(make_videos, untuned_generator(experiment, batch_size=size), prompts)
    return task, experiment.hardware.device.type == "cuda"


def evaluate(arguments: Namespace) -> dict[str, Any]:
    """Seconds a video of generating, scoring and each metric.

    Raises:
        VmcError: the networks of the metrics are not there.
    """
    config, videos = compose_run(arguments.overrides, scored=True), arguments.videos
    experiment = build_experiment(config)
    prompts = some_prompts(experiment, videos)
    assert experiment.suite is not None
    experiment.suite.check()
    generator = untuned_generator(experiment)
    make_videos(generator, prompts[:WARM_UP])
    with TemporaryDirectory() as passing:
        folder = Path(passing)
        make_videos(generator, prompts, folder / "videos")
        evaluator = partial(_evaluator, experiment, folder / "descriptors")
        described = seconds(evaluator)
        score = partial(_score, evaluator, prompts, folder)
        score()  # opens the networks
        tasks: dict[str, Callable[[], float]] = {
            "generating": lambda: seconds(make_videos, replace(generator), prompts),  # whose texts are new
            "scoring, all": score,
            **_parts(evaluator, prompts, folder / "videos"),
        }
        timed = take_turns(tasks, repeats=arguments.repeats, label="evaluate")
    figures: Figures = {name: ("s/video", values / videos) for name, values in timed.items()}
    figures["scoring / generating"] = "%", 100 * timed["scoring, all"] / timed["generating"]
    figures["describing the run's clips, once"] = "s", np.array([described])
    settings = describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return make_report("evaluate", settings, figures, NOTES["evaluate"], experiment.hardware)


def _evaluator(experiment: Experiment, cache: Path) -> Evaluator:
    """One that has seen no text and no video; the clips' descriptors are kept."""
    assert experiment.suite is not None
    shape = {"frames": CLIP_FRAMES, "size": experiment.model.size}
    clips: Any = {role: noise_clips(role, number, **shape) for role, number in CLIPS.items()}
    device = experiment.hardware.device
    return experiment.suite.evaluator(target=experiment.motion.label, cache=cache, device=device, **clips)


def _score(evaluator: Callable[[], Evaluator], prompts: Sequence[Prompt], folder: Path) -> float:
    """Seconds of scoring all videos as a run does, whose evaluator is made once for all evaluations."""
    evaluation = Evaluation(prompts=prompts, evaluator=evaluator(), made_with={}, videos=folder / "videos")
    with TemporaryDirectory(dir=folder) as scores:
        return seconds(partial(evaluation.score, Path(scores), _make_none, step=0))


def _make_none(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
    """Makes no video: all are there."""
    yield from ()


def _parts(
    evaluator: Callable[[], Evaluator], prompts: Sequence[Prompt], videos: Path
) -> dict[str, Callable[[], float]]:
    """Seconds of reading all videos, and of each metric, fresh from an evaluator, on all of them."""
    files = [videos / name for name in video_names(prompts)]
    frames: list[Tensor] = [read_frames(file) for file in files]
    records = [
        Record(video="", prompt=prompt.text, subject=prompt.subject, language=prompt.language, seed=prompt.seed)
        for prompt in prompts
    ]
    batches = [slice(first, first + AT_ONCE) for first in range(0, len(frames), AT_ONCE)]

    def show(place: int) -> float:
        score = evaluator().metrics[place].score
        return seconds(lambda: [score(torch.stack(frames[one]), records[one]) for one in batches])

    tasks = {f"  {metric.name}": partial(show, place) for place, metric in enumerate(evaluator().metrics)}
    return {"  reading mp4": lambda: seconds(lambda: [read_frames(file) for file in files]), **tasks}
