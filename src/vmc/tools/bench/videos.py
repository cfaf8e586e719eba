"""`python -m vmc.bench generate` and `evaluate`: what making videos in batches gains, and what scoring them costs."""

from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vmc.config.build import build_experiment
from vmc.data.prompts import Prompt, spread
from vmc.data.video import read_frames
from vmc.diffusion.sampling import Conditioning
from vmc.evaluation.generation import TunedModel, VideoGenerator, video_names
from vmc.evaluation.score import Evaluation
from vmc.metrics.base import Record
from vmc.metrics.suite import Evaluator
from vmc.tools.bench import measure, shares
from vmc.tools.bench.measure import WARM_UP, Figures, seconds
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError

CLIP_FRAMES = 34
"""Frames of a source clip, as the miniature's have in the middle."""
CLIPS = {"exemplars": 10, "regularization": 100}
"""Clips of a run (paper, Sec. 4)."""
PLAIN: shares.PlainTable = {
    "batches": ((), "videos are made one at a time"),
    "texts": ((), "the text of every video and the empty one are encoded anew"),
    "weights": (["trainer.low_precision_sampling=false"], "weights are in float32, and cast by autocast in every pass"),
    "decoding": (["trainer.low_precision_decoding=false"], "the autoencoder decodes in float32"),
    "overlap": (["trainer.overlap=false"], "a video is decoded and written before the next is begun"),
    "launching": (["trainer.cuda_graph=false", "trainer.compile=null"], "nothing is compiled, nothing a CUDA graph"),
}
NOTES = {
    "generate": (
        "A video is text embedding, sampling, decoding and its mp4; loading the model is left out.",
        "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors).",
    ),
    "scoring": ("Plain scoring reads and scores one video at a time, without tables and intervals.",),
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


class PlainGenerator(VideoGenerator):
    """Encodes every text anew."""

    def _text(self, text: str) -> Conditioning:
        return self.encode(text)


def untuned_generator(
    experiment: Experiment, *, batch_size: int | None = None, plain: Collection[str] = ()
) -> VideoGenerator:
    """Makes videos of the untuned model, on its device, with its threads set; with the choices in `plain` as the plain
    loop makes them.
    """
    experiment.hardware.use_threads()
    model = TunedModel.load(experiment.model, experiment.token, None, hardware=experiment.hardware)
    made = model.generator(sampler=experiment.sampler, batch_size=1 if "batches" in plain else batch_size)
    if "weights" in plain:
        made.denoiser.float()
    if "texts" in plain:
        made = PlainGenerator(**{part.name: getattr(made, part.name) for part in fields(made)})
    return made


def make_videos(generator: VideoGenerator, prompts: Sequence[Prompt], folder: Path | None = None) -> None:
    """Write all videos; where no folder is given, into one that is gone afterwards."""
    with TemporaryDirectory() as passing:
        for _ in generator.write(prompts, [(folder or Path(passing)) / name for name in video_names(prompts)]):
            pass


def generate(arguments: Namespace) -> dict[str, Any]:
    """Videos a second and memory at the automatic batch size, one at a time, and at the sizes of `--batch`; if asked,
    against the plain loop with the share of every choice, and beside busy processes.
    """
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
        str(size or "ours"): lambda size=size: seconds(make_videos, replace(generator, batch_size=size), prompts)  # type: ignore
        for size in sizes
    }
    chosen = shares.plain_choices(arguments.overrides, PLAIN, scored=True) if arguments.compare else []
    for name, plain in list(shares.plain_loops(chosen).items())[1:]:
        tasks[name] = partial(_seconds_once, arguments.overrides, prompts, plain)
    if arguments.beside:
        tasks["beside"] = partial(measure.beside, arguments.beside, tasks["ours"])
    timed = measure.take_turns(tasks, repeats=arguments.repeats, label="generate")
    figures: Figures = {names[size]: ("videos/s", videos / timed[str(size or "ours")]) for size in sizes}
    figures |= {
        f"{names[size]} / {names[1]}": ("x", timed["1"] / timed[str(size or "ours")]) for size in sizes if size != 1
    }
    if arguments.beside:
        figures |= measure.beside_figures("all videos", arguments.beside, timed)
    if chosen:
        figures |= {"plain": ("videos/s", videos / timed["plain"]), **shares.share_figures(timed, chosen)}
    for size in sizes:
        figures |= measure.memory_figures(names[size], partial(_few_videos, config, prompts[: size or videos], size))
    settings = measure.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    notes = [*NOTES["generate"], *([shares.plain_note(PLAIN, chosen)] if chosen else [])]
    return measure.make_report("generate", settings, figures, notes, experiment.hardware)


def _seconds_once(overrides: Sequence[str], prompts: Sequence[Prompt], plain: Collection[str]) -> float:
    """Seconds of making all videos by a generator that is gone afterwards."""
    experiment = build_experiment(shares.plain_config(overrides, PLAIN, plain, scored=True))
    generator = untuned_generator(experiment, plain=plain)
    make_videos(generator, prompts[:WARM_UP])
    return seconds(make_videos, replace(generator), prompts)


def _few_videos(config: Mapping[str, Any], prompts: Sequence[Prompt], size: int | None) -> None:
    make_videos(untuned_generator(build_experiment(config), batch_size=size), prompts)


def evaluate(arguments: Namespace) -> dict[str, Any]:
    """Seconds a video of generating, scoring and each metric; if asked, making and scoring against the plain loop.

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
        chosen = shares.plain_choices(arguments.overrides, PLAIN, scored=True) if arguments.compare else []
        if chosen:
            tasks["generating, plain"] = partial(_seconds_once, arguments.overrides, prompts, chosen)
            tasks["scoring, plain"] = partial(_score_each, evaluator, prompts, folder / "videos")
        timed = measure.take_turns(tasks, repeats=arguments.repeats, label="evaluate")
    figures: Figures = {name: ("s/video", values / videos) for name, values in timed.items()}
    if chosen:
        plain, ours = timed["generating, plain"] + timed["scoring, plain"], timed["generating"] + timed["scoring, all"]
        figures["scoring, plain / ours"] = "x", timed["scoring, plain"] / timed["scoring, all"]
        figures["generating and scoring, plain / ours"] = "x", plain / ours
    figures["scoring / generating"] = "%", 100 * timed["scoring, all"] / timed["generating"]
    figures["describing the run's clips, once"] = "s", np.array([described])
    settings = measure.describe(config, experiment, videos=videos, sampler_steps=experiment.sampler.steps)
    notes = [*NOTES["evaluate"], *([shares.plain_note(PLAIN, chosen), *NOTES["scoring"]] if chosen else [])]
    return measure.make_report("evaluate", settings, figures, notes, experiment.hardware)


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


def _score_each(evaluator: Callable[[], Evaluator], prompts: Sequence[Prompt], videos: Path) -> float:
    """Seconds of scoring all videos one at a time by all metrics."""
    chosen = Evaluator(evaluator().metrics)

    def score() -> None:
        for prompt, name in zip(prompts, video_names(prompts), strict=True):
            record = Record(video=name, prompt=prompt.text, subject=prompt.subject, language=prompt.language)
            chosen.score([read_frames(videos / name)], [record])

    return seconds(score)
