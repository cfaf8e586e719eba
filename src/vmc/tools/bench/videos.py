"""`python -m vmc.bench generate` and `evaluate`: what making videos costs, and what scoring them."""

from argparse import Namespace
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt, spread
from vmc.data.video import read_frames
from vmc.diffusion.sampling import Conditioning
from vmc.evaluation.generation import TunedModel, VideoGenerator, video_names
from vmc.evaluation.score import Evaluation
from vmc.metrics.base import Record, RunContext
from vmc.metrics.suite import Evaluator
from vmc.tools.bench import common
from vmc.tools.bench.common import COMMON, WARM_UP, Figures, PlainLoop, seconds
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError

CLIP_FRAMES = 34
"""Frames of a source clip, as the miniature's have in the middle."""
CLIPS = {"exemplars": 10, "regularization": 100}
"""Clips of a run (paper, Sec. 4)."""
PLAIN = PlainLoop(
    scored=True,
    choices={
        "batches": ((), "videos are made one at a time"),
        "texts": ((), "the text of every video and the empty one are encoded anew"),
        "weights": (
            ["trainer.low_precision_sampling=false"],
            "weights are in float32, and cast by autocast in every pass",
        ),
        "decoding": (["trainer.low_precision_decoding=false"], "the autoencoder decodes in float32"),
        "overlap": (["trainer.overlap=false"], "a video is decoded and written before the next is begun"),
        **COMMON,
    },
)
MAKING = "A video is text embedding, sampling, decoding and its mp4; loading the model is left out."
SCORING = (
    "Scoring is `Evaluation.score` on those files: read, metrics, intervals, scores.csv and summary.json; texts are"
    " encoded anew each time. The clips that videos are compared with are noise, as many as a run has; they are"
    " described once a run. Plain scoring reads and scores one video at a time, without tables and intervals."
)


def some_prompts(experiment: Experiment, count: int) -> Sequence[Prompt]:
    """Take so many prompts of the test set: subjects spread through it, each with all its seeds, which share a text.

    Raises:
        VmcError: it has not so many.
    """
    found = experiment.prompts
    if count > len(found):
        raise VmcError(f"--videos is {count}; the test set has {len(found)} prompts, give at most as many")
    subjects = len({prompt.subject or prompt.text for prompt in found})
    return spread(found, -(-count * subjects // len(found)))[:count]


class PlainGenerator(VideoGenerator):
    """A generator that encodes every text anew."""

    def _text(self, text: str) -> Conditioning:
        return self.encode(text)


def untuned_generator(experiment: Experiment, *, plain: Collection[str] = ()) -> VideoGenerator:
    """Load the untuned model and set its threads; the choices in `plain` are made as the plain loop makes them."""
    experiment.hardware.use_threads()
    model = TunedModel.load(experiment.model, experiment.token, None, hardware=experiment.hardware)
    batch_size = 1 if "batches" in plain else experiment.generation_batch
    made = model.generator(sampler=experiment.sampler, batch_size=batch_size)
    if "kernels" in plain:
        common.plain_kernels(made.denoiser)
    if "weights" in plain:
        made.denoiser.float()
    if "texts" in plain:
        made.__class__ = PlainGenerator
    return made


def make_videos(generator: VideoGenerator, prompts: Sequence[Prompt], folder: Path | None = None) -> None:
    """Write all videos, where no folder is given into one that is gone afterwards."""
    anew = replace(generator)  # as a run begins, which knows neither the batch size nor any text
    with TemporaryDirectory() as passing:
        for _ in anew.write(prompts, [(folder or Path(passing)) / name for name in video_names(prompts)]):
            pass


def time_videos(overrides: Sequence[str], count: int, plain: Collection[str], repeats: int = 1) -> list[float]:
    """Time a video in each round, by a generator that is gone afterwards."""
    experiment = build_experiment(PLAIN.config(overrides, plain))
    generator, prompts = untuned_generator(experiment, plain=plain), some_prompts(experiment, count)
    make_videos(generator, prompts[:WARM_UP])
    taken = [seconds(make_videos, generator, prompts) / count for _ in range(repeats)]
    experiment.hardware.use_threads()  # the plain loop has let numbers below 1e-38 be
    return taken


def generate(arguments: Namespace) -> dict[str, Any]:
    """Measure seconds a video and memory; if asked, against the plain loop with the share of every choice, and beside
    busy processes.
    """
    overrides, videos = arguments.overrides, arguments.videos
    config = PLAIN.config(overrides)
    experiment = build_experiment(config)
    some_prompts(experiment, videos)
    figures, notes = PLAIN.compare("a video", partial(time_videos, overrides, videos), arguments)
    settings = common.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return common.make_report("generate", settings, figures, [MAKING, *notes], experiment.hardware)


def evaluate(arguments: Namespace) -> dict[str, Any]:
    """Measure seconds a video of generating and of scoring; if asked, both against the plain loop.

    Raises:
        VmcError: the networks of the metrics are not there.
    """
    config, videos = PLAIN.config(arguments.overrides), arguments.videos
    experiment = build_experiment(config)
    prompts = some_prompts(experiment, videos)
    assert experiment.suite is not None
    experiment.suite.check(target=experiment.motion.label)
    generator = untuned_generator(experiment)
    make_videos(generator, prompts[:WARM_UP])
    chosen = PLAIN.differing(arguments.overrides) if arguments.compare else []
    with TemporaryDirectory() as passing:
        folder = Path(passing)
        make_videos(generator, prompts, folder / "videos")
        evaluator = partial(_evaluator, experiment, folder / "descriptors")
        tasks: dict[str, Callable[[], Any]] = {
            "generating": lambda: seconds(make_videos, generator, prompts) / videos,
            "scoring": lambda: _score(evaluator(), prompts, folder) / videos,
        }
        tasks["scoring"]()  # opens the networks and describes the clips
        if arguments.compare:
            tasks["generating, plain"] = partial(time_videos, arguments.overrides, videos, chosen)
            tasks["scoring, plain"] = lambda: seconds(_score_each, evaluator(), prompts, folder / "videos") / videos
        timed = common.take_turns(tasks, repeats=arguments.repeats, label="evaluate")
    figures: Figures = {name: ("s/video", values) for name, values in timed.items()}
    figures["scoring / generating"] = "%", 100 * timed["scoring"] / timed["generating"]
    if arguments.compare:
        both, plain = timed["generating"] + timed["scoring"], timed["generating, plain"] + timed["scoring, plain"]
        figures["scoring, plain / ours"] = "x", timed["scoring, plain"] / timed["scoring"]
        figures["generating and scoring, plain / ours"] = "x", plain / both
    settings = common.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    return common.make_report("evaluate", settings, figures, [MAKING, SCORING], experiment.hardware)


def _evaluator(experiment: Experiment, cache: Path) -> Evaluator:
    """Make an evaluator that has seen no text and no video; the clips' descriptors are kept."""
    assert experiment.suite is not None
    shape = {"frames": CLIP_FRAMES, "size": experiment.model.size}
    clips: Any = {role: common.noise_clips(role, number, **shape) for role, number in CLIPS.items()}
    run = RunContext(target=experiment.motion.label, cache=cache, device=experiment.hardware.device, **clips)
    return experiment.suite.evaluator(run)


def _score(evaluator: Evaluator, prompts: Sequence[Prompt], folder: Path) -> float:
    """Time the scoring of all videos as a run does it, whose evaluator is made once for all evaluations."""
    evaluation = Evaluation(prompts=prompts, evaluator=evaluator, made_with={}, videos=folder / "videos")
    with TemporaryDirectory(dir=folder) as scores:  # no video is made: all are there
        return seconds(partial(evaluation.score, Path(scores), lambda prompts, files: iter(()), step=0))


def _score_each(evaluator: Evaluator, prompts: Sequence[Prompt], videos: Path) -> None:
    """Score all videos one at a time by all metrics."""
    for prompt, name in zip(prompts, video_names(prompts), strict=True):
        record = Record(video=name, prompt=prompt.text, subject=prompt.subject, language=prompt.language)
        evaluator.score([read_frames(videos / name)], [record])
