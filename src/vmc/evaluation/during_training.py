"""Evaluations during training: at which steps, on which part of the test set, and the shared one of step 0."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vmc.data.clips import Clip
from vmc.data.prompts import Prompt, evenly
from vmc.evaluation.early_stopping import first_below, score_and_decide
from vmc.evaluation.generation import Sources, VideoGenerator, find_sources
from vmc.evaluation.score import Interrupted, Ranks, build_evaluation, summary_lines, take_until, write_sheet
from vmc.evaluation.score_files import SCORES, SUMMARY, read_summary
from vmc.runs.folder import RunFolder
from vmc.runs.wandb_mirror import Mirror
from vmc.training.encoded_cache import Encoders
from vmc.training.experiment import Experiment
from vmc.training.loss_log import StepCallback
from vmc.training.module import MotionModule
from vmc.training.signals import StopOnSignal
from vmc.training.tuned_weights import Delta
from vmc.utils.cache import CachedFiles, cache_key

log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class Evaluations(StepCallback):
    """Scores a subset of the test set at step 0 and every so many steps, and the whole test set at the last step.

    Where the subset's appearance score has fallen to the threshold, the whole set is scored. If it is at the threshold
    too, the run stops, and the evaluation before is completed, so that every metric can be interpolated.
    """

    experiment: Experiment  # whose videos are made and scored
    encoders: Encoders  # of the run; texts are kept while the token is not trained
    clips: Sequence[Clip]  # of the run, which videos are compared with
    run: RunFolder  # where evaluations and weights are written
    mirror: Mirror  # where numbers and videos are shown too
    every: int  # steps between evaluations
    subset: int  # videos of an intermediate evaluation
    about: dict[str, Any]  # what the weights say of themselves
    after: Callable[[], None]  # called when an evaluation has ended
    stop: StopOnSignal  # says that a signal asks the run to stop
    dtype: torch.dtype = torch.float32  # of the weights that are written
    resumed_at: int = 0  # the step that the run goes on from

    def __post_init__(self) -> None:
        experiment, clips = self.experiment, self.clips
        self.sources = find_sources(experiment, clips)
        self.places = evenly(len(experiment.prompts), self.subset)  # in the test set, of the subset
        self.evaluation = build_evaluation(experiment, experiment.prompts, label=experiment.motion.label, clips=clips)
        self.reached: int | None = None  # the step at which the threshold was confirmed
        self.interrupted = False  # by a signal, before it was complete
        self._generator: VideoGenerator | None = None

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Score the last step if that was interrupted: Lightning starts no training without steps left."""
        self.evaluation.ranks = Ranks(
            trainer.global_rank, trainer.world_size, lambda: trainer.strategy.barrier("evaluation")
        )
        self.evaluation.interrupted = lambda: self.stop.asked(trainer)
        if self.resumed_at >= trainer.max_steps:  # also where a run is resumed with fewer steps
            self._evaluate(trainer, module, self.resumed_at)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Score the untouched base model at step 0, and an evaluation that was interrupted."""
        super().on_train_start(trainer, module)
        if trainer.global_step % self.every == 0:
            self._evaluate(trainer, module, trainer.global_step)

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Score where an evaluation is due."""
        if step % self.every == 0 or step == trainer.max_steps:
            self._evaluate(trainer, module, step)

    def _evaluate(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        try:
            summary = self._score_and_decide(trainer, module, step)
        except Interrupted:  # what has been scored stays; the same command goes on with it
            self.interrupted = trainer.should_stop = True
            return
        if trainer.is_global_zero:
            if step and (step >= trainer.max_steps or self.reached is not None):
                self.run.weights(0).unlink(missing_ok=True)  # the base model's own, which no stop asks for any more
            if not (self.run.evaluation(step) / "sheet.png").is_file():
                self._show(step)
        log.info("step %d, %d videos\n  %s", step, summary["videos"], "\n  ".join(summary_lines(summary)))
        self.after()

    def _score_and_decide(self, trainer: pl.Trainer, module: MotionModule, step: int) -> dict[str, Any]:
        stops_early = self.experiment.stops_early
        if step or (stops_early and self.evaluation.threshold is not None):
            # Weights of evaluated steps are kept: stopping needs those before it, also step 0's until the run ends.
            if trainer.is_global_zero and not self.run.weights(step).is_file():
                delta = Delta(tensors=module.weights(), about={**self.about, "step": step})
                delta.save(self.run.weights(step), dtype=self.dtype)
            self.evaluation.ranks.barrier()
        summary, stops = score_and_decide(
            lambda whole: self._score(module, step, whole=whole),
            step=step,
            last=step >= trainer.max_steps,
            stops_early=stops_early,
            threshold=self.evaluation.threshold,
        )
        if stops:
            self.reached = first_below(lambda before: self._score_before(module, before), step=step, every=self.every)
            trainer.should_stop = True
        return summary

    def _score_before(self, module: MotionModule, step: int) -> dict[str, Any] | None:
        """Score an earlier step on the whole test set, with its own weights; None where they are no longer there."""
        if not self.run.weights(step).is_file():  # the run had ended before, or was evaluated at other steps
            return None
        with _weights_of(module, self.run.weights(step)):
            summary = self._score(module, step, whole=True)
        if self.evaluation.ranks.rank == 0:  # the scores are now of the whole test set
            self._show(step)
        return summary

    def _show(self, step: int) -> None:
        folder = self.run.evaluation(step)
        self.mirror.evaluation(folder, step=step, shown=write_sheet(folder, self.evaluation, self.places))

    def _score(self, module: MotionModule, step: int, *, whole: bool) -> dict[str, Any]:
        """Score the current weights and give the content of `summary.json`; step 0's is shared with other runs."""
        folder, places = self.run.evaluation(step), None if whole else self.places

        def make(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            made = self._videos(module).write(prompts, files, label=f"videos at step {step}")
            return take_until(lambda: self.stop.received, made)

        if step:
            return self.evaluation.score(folder, make, step=step, places=places)
        names = [*(f"videos/{self.evaluation.names[place]}" for place in self.places), SCORES, SUMMARY]
        files, first = {name: folder / name for name in names}, self.evaluation.ranks.rank == 0
        if fetch := first and read_summary(folder) is None:
            fetch = not self._shared.copy(files)
        self.evaluation.ranks.barrier()
        summary = self.evaluation.score(folder, make, step=0, places=places)
        if fetch:
            self._shared.add(files)
        return summary

    @property
    def _shared(self) -> CachedFiles:
        """The shared evaluation of step 0 for all runs of one base model, test set and protocol."""
        hardware, choices = self.experiment.hardware, self.experiment.hardware.video_choices
        base = [self.experiment.model.identity, self.encoders.token_fingerprint, hardware.rounding, hardware.precision]
        # Videos in one batch affect each other's last bits.
        together = [self.experiment.generation_batch, self.evaluation.ranks.world]
        parts = [base, *(choices or [None]), self.evaluation.protocol, self.evaluation.threshold, self.places, together]
        key = cache_key("step 0", json.dumps(parts, sort_keys=True))[:24]
        return CachedFiles(self.experiment.cache / "evaluations" / key)

    def _videos(self, module: MotionModule) -> VideoGenerator:
        """A generator with the denoiser in training; the autoencoder stays loaded."""
        if self._generator is None:
            self._generator = training_generator(self.experiment, self.encoders, module, sources=self.sources)
        return self._generator


def training_generator(
    experiment: Experiment, encoders: Encoders, module: MotionModule, *, sources: Sources | None = None
) -> VideoGenerator:
    """A generator with a denoiser as it is in training."""
    return VideoGenerator(
        model=experiment.model,
        denoiser=module.denoiser,
        encode=encoders.text,
        sampler=experiment.sampler,
        hardware=experiment.hardware,
        batch_size=experiment.generation_batch,
        sources=sources,
    )


@contextmanager
def _weights_of(module: MotionModule, weights: Path) -> Iterator[None]:
    """Replace a module's trained tensors by those of a file within a block."""
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tensors = Delta.load(weights).tensors
    module.load_state_dict(
        {name: part.to(module.device) for name, part in tensors.items() if name not in module.inherited}
    )
    try:
        yield
    finally:
        module.load_state_dict(kept)
