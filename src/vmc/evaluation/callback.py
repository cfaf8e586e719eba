"""Evaluating a run on its way, and stopping it where the appearance score has fallen to the threshold."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from vmc.data.prompts import Prompt, evenly
from vmc.data.video import read_frames
from vmc.evaluation.files import keep, read_summary, take
from vmc.evaluation.generation import VideoGenerator
from vmc.evaluation.score import Evaluation, Ranks, Stopped, summary_lines
from vmc.models.base import Autoencoder
from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror
from vmc.runs.sheets import contact_sheet
from vmc.training.callbacks import StepCallback, StopOnSignal
from vmc.training.delta import Delta
from vmc.training.encoding import Encoders
from vmc.training.experiment import Experiment
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

SHOWN = 24
"""Videos of a contact sheet and of the mirror."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a run is evaluated, on what, and where it stops.

    Args:
        every: steps between evaluations.
        subset: places in the test set of an intermediate evaluation.
        shared: folder where evaluations of untouched base models are kept for all runs.
        base: what tells this base model, with its token, from others.
    """

    every: int
    subset: Sequence[int]
    shared: Path
    base: str


class Evaluations(StepCallback):
    """Scores a subset at step 0 and every so many steps, the whole test set at the last one.

    Where the subset's appearance score has fallen to the threshold, the whole set decides. If it confirms, the run
    stops, and the evaluation before is completed too, so that every metric can be interpolated to the threshold.
    """

    def __init__(
        self,
        *,
        run: RunFolder,
        mirror: Mirror,
        evaluation: Evaluation,
        schedule: Schedule,
        generator: Callable[[MotionModule], VideoGenerator],
        about: dict[str, Any],
        after: Callable[[], None],
        stop: StopOnSignal,
        resumed_at: int = 0,
    ) -> None:
        self.run, self.mirror, self.evaluation, self.schedule = run, mirror, evaluation, schedule
        self.generator, self.about, self.after = generator, about, after
        self.stop, self.resumed_at = stop, resumed_at
        self.reached: int | None = None  # the step at which the threshold was confirmed
        self.interrupted = False  # by a signal, before it was complete
        self.shared = False  # step 0, or there has been an attempt

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Score the last step where that was interrupted: Lightning begins no training that has no step left."""
        self.evaluation.ranks = Ranks(
            trainer.global_rank, trainer.world_size, lambda: trainer.strategy.barrier("evaluation")
        )
        self.evaluation.stopped = lambda: self.stop.asked(trainer)
        if self.resumed_at == trainer.max_steps:
            self._evaluate(trainer, module, self.resumed_at)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Score the untouched base at step 0, and what an interrupted run left unscored."""
        super().on_train_start(trainer, module)
        if trainer.global_step % self.schedule.every == 0:
            self._evaluate(trainer, module, trainer.global_step)

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Score where it is due."""
        if step % self.schedule.every == 0 or step == trainer.max_steps:
            self._evaluate(trainer, module, step)

    def _evaluate(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        try:
            self._evaluate_whole(trainer, module, step)
        except Stopped:  # what has been scored stays; the same command goes on with it
            self.interrupted = trainer.should_stop = True

    def _evaluate_whole(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        if step or self.evaluation.threshold is not None:
            self._keep_weights(trainer, module, step)
        last = step == trainer.max_steps
        summary = self._score(module, step, whole=last)
        low = summary["stop"]["reached"]
        if low and not last:
            summary = self._score(module, step, whole=True)
            low = summary["stop"]["reached"]
            if not low:
                log.info("step %d: the whole test set is still above the threshold; training goes on", step)
        if not step and low:
            value, threshold = summary["metrics"]["appearance"]["value"], self.evaluation.threshold
            raise VmcError(
                f"the model's appearance score is {value:.4f} before any training, not above stop.appearance"
                f" ({threshold}); lower the threshold, or give stop.appearance=null to train without stopping"
            )
        if low:
            self.reached = self._first_fallen(module, step)
            trainer.should_stop = True
        if step and trainer.is_global_zero:
            self.run.weights(0).unlink(missing_ok=True)  # the base model's own, for which no one has a use any more
        self._show(trainer, step)
        log.info("step %d, %d videos\n  %s", step, summary["videos"], "\n  ".join(summary_lines(summary)))
        self.after()

    def _score(self, module: MotionModule, step: int, *, whole: bool) -> dict[str, Any]:
        """`summary.json` of a step, made by the weights as they are."""
        folder, places = self.run.evaluation(step), None if whole else self.schedule.subset

        def make(prompts: Sequence[Prompt], files: Sequence[Path]) -> Iterator[Path]:
            for file in self.generator(module).write(prompts, files, label=f"videos at step {step}"):
                yield file
                if self.stop.received:
                    return

        if step:
            return self.evaluation.score(folder, make, step=step, places=places)
        return self._score_base(folder, make, places)

    def _score_base(self, folder: Path, make: Any, places: Sequence[int] | None) -> dict[str, Any]:
        """Step 0: made once for all runs of one base model, test set and protocol."""
        first, shared = self.evaluation.ranks.rank == 0, self._shared_folder()
        if first and read_summary(folder) is None:
            take(shared, folder)
        self.evaluation.ranks.barrier()
        summary = self.evaluation.score(folder, make, step=0, places=places)
        if first and not self.shared:
            keep(folder, shared)
            self.shared = True
        return summary

    def _shared_folder(self) -> Path:
        evaluation, schedule = self.evaluation, self.schedule
        parts = [schedule.base, evaluation.protocol, evaluation.threshold, list(schedule.subset)]
        key = json.dumps(parts, sort_keys=True)
        return self.schedule.shared / hashlib.sha256(key.encode()).hexdigest()[:24]

    def _first_fallen(self, module: MotionModule, step: int) -> int:
        """The first evaluated step whose whole test set is at the threshold; the one before it is completed too.

        A subset may have stayed above the threshold where the whole set was not.
        """
        while step:
            before = (step - 1) // self.schedule.every * self.schedule.every
            if not self.run.weights(before).is_file():  # step 0 of a run that an earlier version began
                break
            with _WeightsOf(module, self.run.weights(before)):
                summary = self._score(module, before, whole=True)
            if self.evaluation.ranks.rank == 0:  # its numbers are of the whole test set now
                shown = shown_names(self.evaluation, self.schedule.subset)
                self.mirror.evaluation(self.run.evaluation(before), step=before, shown=shown)
            if not summary["stop"]["reached"]:
                break
            step = before
        return step

    def _keep_weights(self, trainer: pl.Trainer, module: MotionModule, step: int) -> None:
        """Weights of every evaluated step stay: the stop needs those before it; step 0's until it is past them."""
        if trainer.is_global_zero and not self.run.weights(step).is_file():
            Delta(tensors=module.weights(), about={**self.about, "step": step}).save(self.run.weights(step))
        self.evaluation.ranks.barrier()

    def _show(self, trainer: pl.Trainer, step: int) -> None:
        """The contact sheet, and curves and videos in the mirror."""
        folder = self.run.evaluation(step)
        if trainer.is_global_zero and not (folder / "sheet.png").is_file():
            shown = show(folder, self.evaluation, self.schedule.subset)
            self.mirror.evaluation(folder, step=step, shown=shown)


def show(folder: Path, evaluation: Evaluation, places: Sequence[int]) -> list[str]:
    """Write the contact sheet of the first few of these places of the test set; the names of their videos."""
    names = shown_names(evaluation, places)
    captions = [evaluation.prompts[place].text for place in places[:SHOWN]]
    contact_sheet(folder / "sheet.png", [read_frames(folder / "videos" / name) for name in names], captions)
    return names


def shown_names(evaluation: Evaluation, places: Sequence[int]) -> list[str]:
    """The names of the first few videos of these places of the test set."""
    return [evaluation.names[place] for place in places[:SHOWN]]


class _WeightsOf:
    """Other trained tensors in a module for the length of a block."""

    def __init__(self, module: MotionModule, weights: Path) -> None:
        self.module, self.weights = module, weights

    def __enter__(self) -> None:
        self.kept = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        tensors = Delta.load(self.weights).tensors.items()
        trained = {name: tensor for name, tensor in tensors if name not in self.module.inherited}
        self.module.load_state_dict(_on(self.module.device, trained))

    def __exit__(self, *error: object) -> None:
        self.module.load_state_dict(self.kept)


def _on(device: torch.device, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


@dataclass(kw_only=True)
class TrainingGenerator:
    """Gives the generator on the denoiser in training; the autoencoder stays loaded, and texts are kept while the token
    stands still.

    Args:
        experiment: whose videos they are.
        encoders: its text encoder.
    """

    experiment: Experiment
    encoders: Encoders
    _made: VideoGenerator | None = field(default=None, init=False)

    def __call__(self, module: MotionModule) -> VideoGenerator:
        """The generator of this moment."""
        parts, hardware = self.experiment, self.experiment.hardware
        if self._made is None or parts.token.trains:
            self._made = VideoGenerator(
                model=parts.model,
                denoiser=module.denoiser,
                autoencoder=self._made.autoencoder if self._made else self._autoencoder(),
                encode=self.encoders.text,
                sampler=parts.sampler,
                latent_shape=parts.latent_shape,
                fps=parts.data.fps,
                batch_size=parts.generation_batch,
                precision=hardware.autocast,
                decode_frames=hardware.decode_frames,
                decode_tile=hardware.decode_tile,
            )
        return self._made

    def _autoencoder(self) -> Autoencoder:
        return self.experiment.model.autoencoder().to(self.experiment.hardware.resting_device)

    @property
    def base_mark(self) -> str:
        """What the untouched model's videos depend on besides the protocol."""
        hardware = self.experiment.hardware
        marks = [self.experiment.model.identity, self.encoders.token_fingerprint, hardware.rounding, hardware.precision]
        return " ".join([*marks, *((f"tiles of {tile}",) if (tile := hardware.decode_tile) else ())])


def build_schedule(generator: TrainingGenerator, *, every: int, subset: int) -> Schedule:
    """When a run is evaluated, on what, and where its first scores are shared.

    Args:
        generator: of the videos.
        every: steps between evaluations.
        subset: videos of an intermediate one.
    """
    return Schedule(
        every=every,
        subset=evenly(len(generator.experiment.prompts), subset),
        shared=generator.experiment.cache / "evaluations",
        base=generator.base_mark,
    )
