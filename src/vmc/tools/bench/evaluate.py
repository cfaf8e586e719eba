"""`python -m vmc.bench evaluate`: what scoring videos costs.

Axes: F frames, C colours, H and W.
"""

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt
from vmc.data.video import read_frames
from vmc.evaluation.generation import video_names
from vmc.evaluation.score import AT_ONCE, Evaluation
from vmc.metrics.base import Metric, Record
from vmc.metrics.suite import Evaluator
from vmc.tools.bench.generate import WARM_UP, make
from vmc.tools.bench.measure import Figure, Report, Task, machine, ratio, take_turns
from vmc.tools.bench.workload import compose_run, describe, noise_clips, some_prompts, untuned_generator
from vmc.training.experiment import Experiment

CLIP_FRAMES = 34
"""Of a source clip, as the miniature's are in the middle."""
CLIPS = (10, 100)
"""Exemplars and regularization clips of a run (paper, Sec. 4)."""
NOTES = (
    "Generating is text embedding, sampling, decoding and mp4, at the automatic batch size.",
    "Scoring is `Evaluation.score` on those files: read, all metrics, intervals, scores.csv and summary.json; texts are"
    " encoded anew each time.",
    "The clips that videos are compared with are noise, as many as a run has; they are described once a run.",
)


def run(arguments: Namespace) -> Report:
    """Measure as the command line says.

    Raises:
        VmcError: the networks of the metrics are not there.
    """
    config = compose_run(arguments.overrides, scored=True)
    return measure(config, videos=arguments.videos, repeats=arguments.repeats)


def measure(config: Mapping[str, Any], *, videos: int, repeats: int = 3, clips: tuple[int, int] = CLIPS) -> Report:
    """Seconds a video of generating, scoring and each metric.

    Args:
        config: of a run.
        videos: in a measurement.
        repeats: measurements of each.
        clips: exemplars and regularization clips to compare with.

    Raises:
        VmcError: the networks of the metrics are not there.
    """
    experiment = build_experiment(config)
    prompts = some_prompts(experiment, videos)
    assert experiment.suite is not None
    experiment.suite.check()
    generated = untuned_generator(experiment)
    make(generated, prompts[:WARM_UP])
    with TemporaryDirectory() as passing:
        scoring = Scoring(experiment, prompts, Path(passing), clips)
        make(generated, prompts, scoring.videos)
        described = Figure("describing the run's clips, once", "s", (_seconds(scoring.evaluator),))
        scoring.prepare(1 + repeats)
        scoring.score()  # opens the networks
        tasks: dict[str, Task] = {
            "generating": lambda: make(replace(generated), prompts),  # without the texts of the one before
            "scoring, all": scoring.score,
        }
        whole = take_turns(tasks, repeats=repeats, label="evaluate")
        parts = scoring.parts(repeats)
    each = [figure.each(videos, name=figure.name, unit="s/video") for figure in (*whole.values(), *parts)]
    return Report(
        benchmark="evaluate",
        settings={**describe(config, experiment), "videos": videos, "sampler_steps": experiment.sampler.steps},
        figures=[*each, ratio("scoring / generating", each[1], each[0], unit="%"), described],
        notes=NOTES,
        machine=machine(experiment.hardware),
    )


class Scoring:
    """Videos on disk, and the metrics they are shown to.

    Args:
        experiment: the model and the metrics.
        prompts: of the videos.
        folder: for all that is written.
        clips: exemplars and regularization clips.
    """

    def __init__(self, experiment: Experiment, prompts: Sequence[Prompt], folder: Path, clips: tuple[int, int]) -> None:
        assert experiment.suite is not None
        self.experiment, self.suite, self.prompts = experiment, experiment.suite, prompts
        self.folder, self.clips = folder, clips
        self.videos = folder / "videos"
        self._fresh: list[Evaluator] = []

    def prepare(self, count: int) -> None:
        """As many evaluators as there will be scorings: a run has one for all its evaluations."""
        self._fresh = [self.evaluator() for _ in range(count)]

    def evaluator(self) -> Evaluator:
        """That has seen no text and no video; the clips' descriptors are kept in the folder."""
        size = self.experiment.model.size
        exemplars, others = self.clips
        return self.suite.evaluator(
            target=self.experiment.motion.label,
            exemplars=noise_clips("exemplar", exemplars, frames=CLIP_FRAMES, size=size),
            regularization=noise_clips("regularization", others, frames=CLIP_FRAMES, size=size),
            cache=self.folder / "descriptors",
            device=self.experiment.hardware.device,
        )

    def score(self) -> None:
        """As a run does."""
        evaluation = Evaluation(
            prompts=self.prompts,
            evaluator=self._fresh.pop(),
            made_with={},
            videos=self.videos,
        )
        evaluation.score(self.folder / f"{len(self._fresh):06d}", _nothing, step=0)

    def parts(self, repeats: int) -> list[Figure]:
        """Seconds of reading all videos, and of each metric on all of them."""
        files = [self.videos / name for name in video_names(self.prompts)]
        names = ["reading mp4", *(metric.name for metric in self.evaluator().metrics)]
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repeats):
            seconds[names[0]].append(_seconds(lambda: [read_frames(file) for file in files]))
            frames = [read_frames(file) for file in files]
            for metric in self.evaluator().metrics:
                seconds[metric.name].append(_seconds(partial(self._show, metric, frames)))
        return [Figure(f"  {name}", "s", tuple(values)) for name, values in seconds.items()]

    def _show(self, metric: Metric, frames: Sequence[Tensor]) -> None:
        records = [
            Record(video="", prompt=prompt.text, subject=prompt.subject, language=prompt.language, seed=prompt.seed)
            for prompt in self.prompts
        ]
        for first in range(0, len(frames), AT_ONCE):
            metric.score(torch.stack(list(frames[first : first + AT_ONCE])), records[first : first + AT_ONCE])


def _seconds(task: Task) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _nothing(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
    """Makes no video: all are there."""
    yield from ()
