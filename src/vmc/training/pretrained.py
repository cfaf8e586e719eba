"""A run that trains nothing: what the untouched base model scores (Table 1's floor; Supplement D)."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmc.data.cache import sweep_caches
from vmc.data.prompts import Prompt
from vmc.errors import VmcError
from vmc.runs.evaluation import Maker, Ranks, Stopped, summary_lines
from vmc.runs.folder import NO_TRAINING, RunFolder
from vmc.runs.mirror import EVALUATION, Mirror
from vmc.training.callbacks import StopOnSignal
from vmc.training.evaluations import show
from vmc.training.experiment import Experiment
from vmc.training.rescoring import Job, Rescoring
from vmc.training.shared_videos import shared_or_made

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Pretrained:
    """The base model's run (`parameters: null`): the whole test set, with the token, and in natural language where the
    motion has one.

    One process does it. Its videos depend on neither motion nor seed of the run, so they are kept for all runs.
    """

    experiment: Experiment
    run: RunFolder
    mirror: Mirror

    def __post_init__(self) -> None:
        if not self.experiment.prompts:
            raise VmcError(
                "parameters is null, which trains nothing, and evaluate_every is 0, which scores nothing; set one"
            )
        self._scoring = Rescoring(experiment=self.experiment)

    def train(self) -> int:
        """Score the base model, or go on, and leave a finished, stopped or failed run folder; the exit code."""
        threads = self.experiment.hardware.use_threads()
        sweep_caches(self.experiment.cache)
        with StopOnSignal() as stop:
            jobs = self._jobs(stop)
            try:
                self.run.begin(threads=threads, world=1)
                # No weights of its own say it.
                self.run.update(base_fingerprint=self.experiment.model.fingerprint("denoiser"))
                self.mirror.start(folder=self.run.path, config=self.run.config, job_type="evaluate")
                self._score(jobs)
            except Stopped:  # what has been scored stays; the same command goes on with it
                self._end("stopped", "signal", stop.exit_code)
            except (KeyboardInterrupt, SystemExit):  # a signal that could not wait for the videos in hand
                self._end("stopped", "signal", 1)
                raise
            except BaseException as error:
                self._end("failed", f"{type(error).__name__}: {error}".strip(": "), 1)
                raise
            else:
                self._end("finished", NO_TRAINING, 0)
                return 0
        stop.pass_on()
        return stop.exit_code

    def _score(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            summary = job.run(Ranks())
            shown = show(job.folder, job.evaluation, range(len(job.evaluation.prompts)))
            name = EVALUATION if job is jobs[0] else f"{EVALUATION}-language"
            self.mirror.evaluation(job.folder, step=0, shown=shown, name=name)
            log.info("%s\n  %s", job.folder, "\n  ".join(summary_lines(summary)))

    def _jobs(self, stop: StopOnSignal) -> list[Job]:
        folder = self.run.evaluation(0)
        jobs = self._scoring.model(folder, weights=None, step=0, language=False)
        if all(prompt.language is not None for prompt in self.experiment.prompts):
            asked = folder.with_name(f"{folder.name}-language")
            jobs += self._scoring.model(asked, weights=None, step=0, language=True)
        else:
            log.warning("motion.language is not set: the base model is asked with the token alone")
        make = _until(stop, self._kept(jobs[0].make))
        for job in jobs:
            job.evaluation.stopped = lambda: stop.received is not None
        return [replace(job, make=make) for job in jobs]

    def _kept(self, make: Maker) -> Maker:
        """The same videos, each made once for all runs and copied from the shared cache."""
        parts = self.experiment
        made_with = (
            f"{parts.model.identity} {parts.model.fingerprint('scheduler')}",
            parts.token.identity,
            (parts.sampler, parts.data.frames, parts.data.size, parts.data.fps),
            (parts.hardware.rounding, parts.hardware.precision, parts.generation_batch),
        )

        def kept(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            # Videos of other test sets had other company in their batches, which has a part in their last bits.
            marks = [(prompt.text, prompt.seed) for prompt in prompts]
            name = hashlib.sha256(repr((made_with, marks)).encode()).hexdigest()[:24]
            return shared_or_made(make, prompts, files, shared=parts.cache / "base-videos" / name)

        return kept

    def _end(self, status: str, reason: str, exit_code: int) -> None:
        self.run.conclude(status=status, reason=reason)
        self.mirror.finish(exit_code)


def _until(stop: StopOnSignal, make: Maker) -> Maker:
    """The same videos, up to the one in which a signal comes."""

    def made(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
        for file in make(prompts, files):
            yield file
            if stop.received:
                return

    return made
