"""`python -m vmc.bench generate` and `evaluate`: what making videos in batches gains, and what scoring them costs."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt, spread
from vmc.evaluation.generation import TunedModel, VideoGenerator, video_names
from vmc.evaluation.score import Evaluation
from vmc.metrics.suite import Evaluator
from vmc.tools.bench import measure
from vmc.tools.bench.measure import WARM_UP, Figures, seconds
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
        "Scoring is `Evaluation.score` on those files: read, metrics, intervals, scores.csv and summary.json; texts are"
        " encoded anew each time.",
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
    config, videos = measure.compose_run(arguments.overrides, scored=True), arguments.videos
    experiment = build_experiment(config)
    prompts, generator = some_prompts(experiment, videos), untuned_generator(experiment)
    sizes: list[int | None] = [None, *dict.fromkeys((1, *arguments.batch))]
    for size in sizes[1:]:
        make_videos(replace(generator, batch_size=size), prompts[:size])
    make_videos(generator, prompts[:WARM_UP])
    found = min(generator.at_once, videos)
    names = {size: f"{size} at a time" if size else f"automatic ({found} at a time)" for size in sizes}
    # Anew each time, as a run begins, which knows neither the batch size nor any text.
    tasks = {
        str(size): lambda size=size: seconds(make_videos, replace(generator, batch_size=size), prompts)  # type: ignore
        for size in sizes
    }
    timed = measure.take_turns(tasks, repeats=arguments.repeats, label="generate")
    figures: Figures = {names[size]: ("videos/s", videos / timed[str(size)]) for size in sizes}
    figures |= {f"{names[size]} / {names[1]}": ("x", timed["1"] / timed[str(size)]) for size in sizes if size != 1}
    for size in sizes:
        figures |= measure.memory_figures(names[size], partial(_few_videos, config, prompts[: size or videos], size))
    settings = measure.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return measure.make_report("generate", settings, figures, NOTES["generate"], experiment.hardware)


def _few_videos(config: Mapping[str, Any], prompts: Sequence[Prompt], size: int | None) -> None:
    make_videos(untuned_generator(build_experiment(config), batch_size=size), prompts)


def evaluate(arguments: Namespace) -> dict[str, Any]:
    """Seconds a video of generating, scoring and each metric.

    Raises:
        VmcError: the networks of the metrics are not there.
    """
    config, videos = measure.compose_run(arguments.overrides, scored=True), arguments.videos
    experiment = build_experiment(config)
    prompts = some_prompts(experiment, videos)
    assert experiment.suite is not None
    experiment.suite.check(target=experiment.motion.label)
    generator = untuned_generator(experiment)
    make_videos(generator, prompts[:WARM_UP])
    with TemporaryDirectory() as passing:
        folder = Path(passing)
        make_videos(generator, prompts, folder / "videos")
        evaluator = partial(_evaluator, experiment, folder / "descriptors")
        described = seconds(evaluator)
        score = partial(_score, evaluator, prompts, folder)
        score(only=slice(None))  # opens the networks
        parts = {"no metric": slice(0), "all": slice(None)}
        parts |= {f"{metric.name} alone": slice(place, place + 1) for place, metric in enumerate(evaluator().metrics)}
        tasks: dict[str, Callable[[], float]] = {
            "generating": lambda: seconds(make_videos, replace(generator), prompts),  # whose texts are new
            **{f"scoring, {name}": partial(score, only=part) for name, part in parts.items()},
        }
        timed = measure.take_turns(tasks, repeats=arguments.repeats, label="evaluate")
    figures: Figures = {name: ("s/video", values / videos) for name, values in timed.items()}
    figures["scoring / generating"] = "%", 100 * timed["scoring, all"] / timed["generating"]
    figures["describing the run's clips, once"] = "s", np.array([described])
    settings = measure.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return measure.make_report("evaluate", settings, figures, NOTES["evaluate"], experiment.hardware)


def _evaluator(experiment: Experiment, cache: Path) -> Evaluator:
    """One that has seen no text and no video; the clips' descriptors are kept."""
    assert experiment.suite is not None
    shape = {"frames": CLIP_FRAMES, "size": experiment.model.size}
    clips: Any = {role: measure.noise_clips(role, number, **shape) for role, number in CLIPS.items()}
    device = experiment.hardware.device
    return experiment.suite.evaluator(target=experiment.motion.label, cache=cache, device=device, **clips)


def _score(evaluator: Callable[[], Evaluator], prompts: Sequence[Prompt], folder: Path, *, only: slice) -> float:
    """Seconds of scoring all videos as a run does, whose evaluator is made once for all evaluations, by some of the
    metrics.
    """
    chosen = Evaluator(evaluator().metrics[only])
    evaluation = Evaluation(prompts=prompts, evaluator=chosen, made_with={}, videos=folder / "videos")
    with TemporaryDirectory(dir=folder) as scores:  # no video is made: all are there
        return seconds(partial(evaluation.score, Path(scores), lambda prompts, files: iter(()), step=0))
