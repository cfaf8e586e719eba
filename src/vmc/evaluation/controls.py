"""Evaluations outside training: of a run, its base model, known gestures, real clips, or videos of any origin."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from vmc.data.clips import Clip, readable
from vmc.data.prompts import Prompt, ask_known, check_test_set, evenly
from vmc.data.video import write_video
from vmc.evaluation.generation import TunedModel, VideoGenerator, find_sources, fingerprint_of
from vmc.evaluation.score import (
    Evaluation,
    Interrupted,
    MakeVideos,
    Ranks,
    all_files,
    build_evaluation,
    summarize,
    summary_lines,
    take_until,
    write_sheet,
)
from vmc.evaluation.score_files import SCORES, SUMMARY, table_rows
from vmc.metrics.motion import ACCURACY
from vmc.metrics.scores import read_scores
from vmc.runs.folder import RunFolder
from vmc.runs.resuming import NO_TRAINING
from vmc.runs.wandb_mirror import EVALUATION, Mirror
from vmc.training.experiment import Experiment, gather_clips
from vmc.training.merging import Weights
from vmc.training.signals import StopOnSignal, run_to_end
from vmc.utils.cache import CachedFiles, sweep_caches
from vmc.utils.errors import VmcError
from vmc.utils.files import write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """An evaluation of one folder, whose missing videos are made first."""

    folder: Path
    evaluation: Evaluation
    make: MakeVideos
    step: int = 0

    def run(self, ranks: Ranks) -> dict[str, Any]:
        """Score the folder and give the content of `summary.json`."""
        self.evaluation.ranks = ranks
        return self.evaluation.score(self.folder, self.make, step=self.step)


@dataclass(kw_only=True)
class Controls:
    """The evaluations of an experiment that need no training.

    Raises:
        VmcError: a network of the metrics is missing or damaged.
    """

    experiment: Experiment  # with metrics
    copying: bool = True  # whether videos are compared with the run's clips
    unreadable_is_wrong: bool = False  # as in `Evaluation`

    def __post_init__(self) -> None:
        assert self.experiment.suite is not None
        self.experiment.suite.check(target=self.experiment.motion.label)

    def model(self, folder: Path, *, weights: Weights | None, step: int, language: bool) -> list[EvaluationJob]:
        """Evaluate the test set, prompted with the token or in natural language (paper, Supplement D)."""
        prompts = list(self.experiment.prompts)
        check_test_set(prompts)
        if language:
            if unsaid := [prompt for prompt in prompts if prompt.language is None]:
                raise VmcError(
                    f"ask is language, and nobody has said '{unsaid[0].text}' in natural language;"
                    " set motion.language, or give prompts.file a column language"
                )
            prompts = [replace(prompt, text=str(prompt.language)) for prompt in prompts]
        made_by = self._made_by(weights, *(() if language else self.experiment.token.identity))
        evaluation = self._evaluation(prompts, self.experiment.motion.label, made_by=made_by)
        return [EvaluationJob(folder=folder, evaluation=evaluation, make=self._by_model(weights), step=step)]

    def known(
        self, folder: Path, *, weights: Weights | None, step: int, known: Mapping[str, str] | None, each: int
    ) -> list[EvaluationJob]:
        """Evaluate gestures that the base model knows, to see whether a tuned model has forgotten them."""
        if not known:
            raise VmcError("ask is known, but prompts.known names no gestures that this base model draws; give them")
        suite, prompts = self.experiment.suite, self.experiment.prompts
        assert suite is not None
        if not any(measure.name == ACCURACY.name for measure in suite.measures):
            raise VmcError(
                "ask is known, but metrics has no classifier, which tells the gestures; give metrics.classifier, or"
                " metrics that have one"
            )
        make, made_by, jobs = self._by_model(weights), self._made_by(weights), []
        chosen = [prompts[place] for place in evenly(len(prompts), each, key="known_videos")]
        for gesture, template in known.items():
            asked = [ask_known(prompt, template) for prompt in chosen]
            own = folder / gesture.lower().replace(" ", "_")
            evaluation = self._evaluation(asked, gesture, copying=False, made_by=made_by)
            jobs.append(EvaluationJob(folder=own, evaluation=evaluation, make=make, step=step))
        return jobs

    def real(self, folder: Path) -> list[EvaluationJob]:
        """Evaluate held-out clips of the motion, encoded and decoded by the autoencoder: the ceiling."""
        parts = self.experiment
        held_out = getattr(parts.data.source, "held_out", None)
        if held_out is None:
            raise VmcError("control is real, but this data holds no clips besides the exemplars; use data=jester")
        clips = held_out(label=parts.motion.label, seed=parts.seed)
        names = [clip.path.name for clip in clips]
        if len(set(names)) < len(names):  # CO3D's sequences are folders that are all called `images`
            names = ["/".join(clip.path.parts[-2:]) for clip in clips]
        # The seed has no meaning here: these videos are not sampled.
        prompts = [Prompt(text=f"held-out clip {name}", seed=0) for name in names]
        path_of = {prompt.text: clip.path for prompt, clip in zip(prompts, clips, strict=True)}

        def make(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            transform = parts.data.transform(augmented=False, mirror=False)
            autoencoder = parts.model.autoencoder().to(parts.hardware.device)
            for prompt, file in zip(prompts, files, strict=True):
                if not file.exists():
                    means_CFHW = autoencoder.encode(transform(path_of[prompt.text], variant=0))[0]
                    write_video(file, autoencoder.decode(means_CFHW[None])[0], fps=parts.data.fps)
                    yield file

        evaluation = self._evaluation(prompts, parts.motion.label, threshold=None)
        return [EvaluationJob(folder=folder, evaluation=evaluation, make=make)]

    def videos(self, folder: Path, *, videos: Path, names: Sequence[str]) -> list[EvaluationJob]:
        """Evaluate existing videos, one for each prompt."""
        prompts = self.experiment.prompts
        if self.experiment.threshold is not None:
            check_test_set(prompts)

        def make(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            gone = next(file for file in files if not file.exists())
            raise VmcError(f"{videos} holds no {gone.name}; give the video, or take its prompt out")

        given: dict[str, Any] = {"names": names, "videos": videos, "made_with": {"videos": "given"}}
        evaluation = self._evaluation(prompts, self.experiment.motion.label, **given)
        return [EvaluationJob(folder=folder, evaluation=evaluation, make=make)]

    def _evaluation(
        self, prompts: Sequence[Prompt], label: str | None, *, copying: bool = True, **more: Any
    ) -> Evaluation:
        clips = self._clips if copying and self.copying else None
        more["unreadable_is_wrong"] = self.unreadable_is_wrong
        return build_evaluation(self.experiment, prompts, label=label, clips=clips, **more)

    @cached_property
    def _clips(self) -> list[Clip]:
        """The run's clips without those that training leaves out; it has read all others before."""
        clips, skip_bad = gather_clips(self.experiment), self.experiment.data.skip_bad
        return readable(clips, skip_bad=True) if skip_bad else clips

    def _made_by(self, weights: Weights | None, *more: object) -> str:
        """A short hash of the model, its weights, and of what else its videos depend on; nothing is loaded."""
        identity = (self.experiment.model.identity, fingerprint_of(weights) if weights else None, *more)
        return hashlib.sha256(repr(identity).encode()).hexdigest()[:16]

    def _by_model(self, weights: Weights | None) -> MakeVideos:
        """A function that generates videos; it loads the model when it is first called."""
        parts = self.experiment

        @cache
        def generator() -> VideoGenerator:
            model = TunedModel.load(parts.model, parts.token, weights, hardware=parts.hardware)
            sampler, sources = parts.sampler, find_sources(parts)
            return model.generator(sampler=sampler, batch_size=parts.generation_batch, sources=sources)

        return lambda prompts, files: generator().write(prompts, files)


def conclude_known(folder: Path, gestures: Sequence[Path], *, step: int) -> dict[str, Any]:
    """Write a summary over all known gestures into their common folder, and give its content."""
    tables = {path.name: read_scores(path / SCORES) for path in gestures}
    rows = [row for table in tables.values() for row in table_rows(table)]
    summary = {
        "step": step,
        "videos": len(rows),
        "metrics": {"known_accuracy": summarize(rows)[ACCURACY.name]},
        "gestures": {name: float(table["motion_correct"].astype(float).mean()) for name, table in tables.items()},
        "protocol": json.loads((gestures[0] / SUMMARY).read_text())["protocol"],
    }
    write_json(folder / SUMMARY, summary)
    return summary


def check_videos(videos: Path) -> None:
    """Raise a VmcError if a folder of videos is missing or cannot be read, before anything is loaded."""
    try:
        next(os.scandir(videos), None)
    except OSError as error:
        raise VmcError(f"videos is {videos}, which does not read ({error.strerror}); give a folder of mp4s") from error


def find_videos(videos: Path, prompts: Sequence[Prompt], names: Sequence[str]) -> list[str]:
    """Find the file of each prompt in a folder, by the name that vmc gives it, with or without the hash of its model.

    Raises:
        VmcError: a prompt does not have exactly one video.
    """
    found = []
    for prompt, name in zip(prompts, names, strict=True):
        stem = Path(name).stem
        files = [path for path in videos.glob(f"{stem}*.mp4") if path.name == name or len(path.stem) == len(stem) + 9]
        if len(files) != 1:
            raise VmcError(
                f"{videos} holds {len(files)} videos of '{prompt.text}' with seed {prompt.seed} ({name}, or with a hash"
                " after its seed); give one, or name it in a column video of prompts.file"
            )
        found.append(files[0].name)
    return found


def copy_or_make(
    make: MakeVideos, prompts: Sequence[Prompt], files: Sequence[Path], *, shared: CachedFiles
) -> Iterator[Path]:
    """Give each missing file, in order: copied from the shared cache, or else made and added to it."""
    names = [hashlib.sha256(f"{prompt.seed} {prompt.text}".encode()).hexdigest()[:24] for prompt in prompts]
    original = {file: f"{name}.mp4" for file, name in zip(files, names, strict=True) if not file.exists()}
    made = {file for file, name in original.items() if not shared.copy({name: file})}
    keeping = True
    for file in all_files(make, prompts, files):
        if file in made and keeping:
            keeping = shared.add({original[file]: file})
        if file in original:
            yield file


@dataclass(kw_only=True)
class Pretrained:
    """The base model's run (`parameters: null`), the floor: evaluates the whole test set with the token, and in natural
    language where the motion has a phrase for it.

    It runs in one process. Its videos do not depend on the run's motion or seed, so they are cached for all runs.
    """

    experiment: Experiment
    run: RunFolder
    mirror: Mirror

    def __post_init__(self) -> None:
        if not self.experiment.prompts:
            raise VmcError(
                "parameters is null, which trains nothing, and evaluate_every is 0, which scores nothing; set one"
            )
        self._controls = Controls(experiment=self.experiment)

    def train(self) -> int:
        """Score the base model or continue with it; give the exit code, 0 where the run is finished."""
        threads = self.experiment.hardware.use_threads()
        sweep_caches(self.experiment.cache)

        def score(stop: StopOnSignal) -> str:
            jobs = self._jobs(stop)
            self.run.begin(threads=threads, world=1)
            # There is no file of weights that would say it.
            self.run.update(base_fingerprint=self.experiment.model.fingerprint("denoiser"))
            self.mirror.start(folder=self.run.path, config=self.run.config, job_type="evaluate")
            try:
                for job in jobs:
                    summary = job.run(Ranks())
                    shown = write_sheet(job.folder, job.evaluation, range(len(job.evaluation.prompts)))
                    name = EVALUATION if job is jobs[0] else f"{EVALUATION}-language"
                    self.mirror.evaluation(job.folder, step=0, shown=shown, name=name)
                    log.info("%s\n  %s", job.folder, "\n  ".join(summary_lines(summary)))
            except Interrupted:  # what has been scored stays; the same command goes on with it
                return "signal"
            return NO_TRAINING

        return run_to_end(score, run=self.run, mirror=self.mirror)

    def _jobs(self, stop: StopOnSignal) -> list[EvaluationJob]:
        parts, folder = self.experiment, self.run.evaluation(0)
        jobs = self._controls.model(folder, weights=None, step=0, language=False)
        if all(prompt.language is not None for prompt in parts.prompts):
            asked = folder.with_name(f"{folder.name}-language")
            jobs += self._controls.model(asked, weights=None, step=0, language=True)
        else:
            log.warning("motion.language is not set: the base model is asked with the token alone")
        sources = find_sources(parts)
        made_with = (
            parts.model.identity,
            parts.token.identity,
            (parts.sampler, parts.data.frames, parts.data.size, parts.data.fps),
            (parts.hardware.rounding, parts.hardware.precision, parts.generation_batch),
            *(() if sources is None else (sources.describe(),)),
        )
        generate = jobs[0].make

        def make(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            # In other test sets videos share their batches with others, which affects their last bits.
            asked = [(prompt.text, prompt.seed) for prompt in prompts]
            key = hashlib.sha256(repr((made_with, asked)).encode()).hexdigest()[:24]
            shared = CachedFiles(parts.cache / "base-videos" / key)
            return take_until(lambda: stop.received, copy_or_make(generate, prompts, files, shared=shared))

        for job in jobs:
            job.evaluation.interrupted = lambda: stop.received is not None
        return [replace(job, make=make) for job in jobs]
