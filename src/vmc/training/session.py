"""One run from clips to weights: put together here, run by Lightning."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from vmc.data.clips import Clip, check_readable, fill
from vmc.data.timing import tell_timing
from vmc.data.transform import ClipTransform
from vmc.diffusion.objective import Denoising, Objective
from vmc.diffusion.timesteps import TimestepSampler
from vmc.evaluation.callback import Evaluations
from vmc.evaluation.score import check_evaluation, check_texts, gather_clips, readable
from vmc.evaluation.synthetic import SyntheticRegularization
from vmc.models.checkpointing import checkpoint_activations
from vmc.models.parameters import Subset
from vmc.runs.clip_table import clip_rows, differing_clips, write_clips
from vmc.runs.folder import RunFolder, ending
from vmc.runs.mirror import Mirror, NoMirror
from vmc.runs.sheets import NAME as CLIP_SHEET
from vmc.runs.sheets import write_clip_sheet
from vmc.training.batches import LatentClips, LoadedBatches, StepPlan, TrainingBatches
from vmc.training.callbacks import Checkpoints, LossLog, Progress, StopOnSignal
from vmc.training.checkpoints import usable_checkpoint
from vmc.training.delta import check_dtype
from vmc.training.encoding import Encoders
from vmc.training.experiment import Experiment
from vmc.training.initial import InitialWeights
from vmc.training.memory import Load, explain_oom, fitting_load
from vmc.training.module import MotionModule
from vmc.training.optimizers import Constant, OptimizerFactory, ScheduleFactory, check_optimizer, check_schedule
from vmc.training.regularization import ClipSet, Mixture
from vmc.utils.cache import sweep_caches
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Session:
    """A training: an experiment and what only its training needs; `train()` does it.

    Args:
        experiment: the parts that are shared with evaluating and generating.
        run: the folder that it leaves.
        subset: what of the denoiser is trained.
        timestep_sampler: which times of the noise process are drawn.
        optimizer: makes the optimizer of the trained parameters.
        objective: the loss of a clip.
        lr_schedule: how the optimizer's rates change from step to step.
        init: a run, or a file of weights, that the run starts from in place of the base model.
        clip_sets: clips beside the motion's, with draws and a length of their own.
        steps: optimiser steps in all, those of an earlier part of the run included.
        batch_size: draws a step, over all ranks and accumulated micro-batches.
        evaluate_every: steps between evaluations; 0 never, neither at step 0 nor at the end.
        evaluate_subset: videos of an intermediate evaluation.
        checkpoint_every: steps between checkpoints; 0 only at the end.
        weights_dtype: of what was trained, as it is written to `weights/`.
        mirror: where losses, numbers and videos are shown too.
    """

    experiment: Experiment
    run: RunFolder
    subset: Subset
    timestep_sampler: TimestepSampler
    optimizer: OptimizerFactory
    steps: int
    batch_size: int
    objective: Objective = field(default_factory=Denoising)
    lr_schedule: ScheduleFactory = field(default_factory=Constant)
    init: str | Path | None = None
    clip_sets: Sequence[ClipSet] = ()
    evaluate_every: int = 0
    evaluate_subset: int = 12
    checkpoint_every: int = 0
    weights_dtype: str = "float32"
    mirror: Mirror = field(default_factory=NoMirror)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "evaluate_subset", "checkpoint_every"):
            value, smallest = getattr(self, name), int(name in ("steps", "batch_size", "evaluate_subset"))
            if not isinstance(value, int) or value < smallest:
                raise VmcError(f"{name} is {value}; it must be a whole number of at least {smallest}")
        check_dtype(self.weights_dtype)
        check_optimizer(self.optimizer)
        check_schedule(self.lr_schedule, steps=self.steps)
        self.subset.check(self.experiment.model.groups)
        self._init = self._initial_weights()
        self._encoders = Encoders(self.experiment, self._init)
        self._sets = list(self.clip_sets)
        self._seconds, self._step = 0.0, 0
        self._load: Load | None = None
        if self.evaluates:
            check_evaluation(self.experiment)

    @property
    def evaluates(self) -> bool:
        """Whether the run is evaluated on its way."""
        return bool(self.evaluate_every and self.experiment.prompts and self.experiment.suite)

    def train(self) -> int:
        """Train, or go on training, and leave a finished, stopped or failed run folder; the exit code."""
        threads = self.experiment.hardware.use_threads()
        self.objective.check(frames=self._shortest_clip(), process=self.experiment.model.process)
        self.timestep_sampler.probabilities(self.experiment.model.process.times)  # of none there is nothing to draw
        if isinstance(self.experiment.regularization, SyntheticRegularization):  # whose clips the base model makes
            self._check_memory()
        if self.experiment.hardware.rank == 0:
            sweep_caches(self.experiment.cache)
        clips, exemplars = self._clips()
        rows = clip_rows(clips)
        different = self._different_clips(rows)
        self._check_memory()
        if self.experiment.hardware.rank == 0:
            tell_timing(clips, self._transforms(clips))
        module = self.module()
        plan = self.plan(exemplars, len(clips) - exemplars - sum(len(one.clips) for one in self._sets))
        batches = self._batches(clips, plan, module)
        first = self.experiment.hardware.rank == 0
        with StopOnSignal() as stop, ending(self.run, self.mirror.finish, first=first) as end:
            if first:
                world = self.experiment.hardware.devices
                self.run.begin(threads=threads, world=world, step=batches.first, other_clips=different)
                if batches.first:  # killed between a checkpoint and the removal of the one that it makes too many
                    self.run.drop_checkpoints(batches.first, keep=Checkpoints.KEPT)
                self._begin(clips, module)
                write_clips(rows, self.run.path)
            end.reason = self._fit(module, batches, stop)
            end.changes = {"step": self._step, "seconds": round(self._seconds, 3)} if self._step else {}
            if end.reason == "signal":
                end.exit_code = stop.exit_code
        if end.reason == "signal":
            stop.pass_on()
        return end.exit_code

    # --- what is needed before the first step ------------------------------------------------------------------------

    def _initial_weights(self) -> InitialWeights | None:
        if self.init is None:
            return None
        parts = self.experiment
        return InitialWeights.find(self.init, run=self.run, model=parts.model, token=parts.token)

    def _shortest_clip(self) -> int:
        """Frames of the shortest clip's latent.

        Raises:
            VmcError: sets of clips that the model cannot hold, or that several processes could not share.
        """
        hardware, model = self.experiment.hardware, self.experiment.model
        frames = [self.experiment.latent_shape[1]]
        for one in self.clip_sets:
            try:
                frames.append(model.latent_shape(frames=one.transform.frames, size=one.transform.size)[1])
            except VmcError as error:
                raise VmcError(f"{one.name} has clips of {one.transform.frames} frames: {error}") from error
            if unknown := [name for name in one.tokens if name not in self.experiment.token.tokens]:
                raise VmcError(
                    f"{one.name}.tokens names '{unknown[0]}'; give its word as token.further.{unknown[0]}.word"
                )
        if self.clip_sets and hardware.devices > 1 and "find_unused_parameters_true" not in hardware.strategy:
            raise VmcError(
                f"trainer.strategy is {hardware.strategy}, but the clips of {self.clip_sets[0].name} leave parameters"
                " without gradients; give trainer.strategy=ddp_find_unused_parameters_true"
            )
        return min(frames)

    def _clips(self) -> tuple[list[Clip], int]:
        """The run's clips and the number of exemplars.

        Exemplars are first, then regularization clips, then those of each set; captions are filled in and checked.
        """
        words, skip_bad = self.experiment.token.words, self.experiment.data.skip_bad
        found = gather_clips(self.experiment)
        further = [[replace(clip, caption=fill(clip.caption, **words)) for clip in one.clips] for one in self.clip_sets]
        check_texts(self.experiment, [*found, *(clip for clips in further for clip in clips)])
        clips, exemplars = readable(found, skip_bad=skip_bad)
        self._sets = [
            replace(one, clips=check_readable(clips, skip_bad=skip_bad))
            for one, clips in zip(self.clip_sets, further, strict=True)
        ]
        return [*clips, *(clip for one in self._sets for clip in one.clips)], exemplars

    def _transforms(self, clips: Sequence[Clip]) -> list[ClipTransform]:
        """How each clip becomes frames: exemplars are augmented, those of a set have a transform of their own."""
        data, mirror = self.experiment.data, self.experiment.motion.mirror
        own, others = data.transform(augmented=True, mirror=mirror), data.transform(augmented=False, mirror=False)
        further = [one.transform for one in self._sets for _ in one.clips]
        drawn = clips[: len(clips) - len(further)]
        return [*(own if clip.role == "exemplar" else others for clip in drawn), *further]

    def _different_clips(self, rows: Sequence[Mapping[str, str]]) -> str:
        """How the clips differ from those that the run was begun with; empty where they do not.

        Raises:
            VmcError: they do, and something has been trained on the earlier ones.
        """
        different = ", ".join(differing_clips(rows, self.run.path))
        if different and not self.run.left_nothing():
            raise VmcError(
                f"output is {self.run.path}, whose run was begun with other clips ({different});"
                " put them back as they were, or choose another output"
            )
        return different

    def _check_memory(self) -> None:
        """A GPU that is too small is named before any weights are loaded."""
        self._load = self._load or fitting_load(
            self.experiment.model,
            hardware=self.experiment.hardware,
            subset=self.subset,
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            text_trained=self.experiment.token.trains,
        )

    def module(self) -> MotionModule:
        """The denoiser with what of it is trained."""
        denoiser = self.experiment.model.denoiser()
        inherited = self._init.apply(self.experiment.model, denoiser, self.subset) if self._init else {}
        if self.experiment.hardware.checkpoint_activations:
            checkpoint_activations(self.experiment.model.blocks(denoiser))
        return MotionModule(
            model=self.experiment.model,
            denoiser=denoiser,
            subset=self.subset,
            optimizer=self.optimizer,
            objective=self.objective,
            lr_schedule=self.lr_schedule,
            encoder=self._encoders.prompt_encoder if self.experiment.token.trains else None,
            clip_sets=self._sets,
            inherited=inherited,
            frozen_dtype=self.experiment.hardware.frozen_dtype,
        )

    def plan(self, exemplars: int, others: int) -> StepPlan:
        """What each step draws of so many exemplars and regularization clips."""
        parts, regularization = self.experiment, self.experiment.regularization
        mixture = Mixture(
            exemplars=exemplars,
            regularization=others,
            exemplar_variants=parts.data.variants,
            regularization_variants=regularization.variants,
            mix=regularization.mix,
            weight=regularization.weight,
            ratio=regularization.ratio,
            further=self._sets,
        )
        return StepPlan(
            seed=parts.seed,
            batch_size=self.batch_size,
            mixture=mixture,
            timestep_sampler=self.timestep_sampler,
            process=parts.model.process,
        )

    def token_ids(self, captions: Sequence[str]) -> list[Tensor]:
        """ids_L of each caption, which the module encodes where the token is trained."""
        return list(self._encoders.prompt_encoder.token_ids(list(captions)))

    def _batches(self, clips: Sequence[Clip], plan: StepPlan, module: MotionModule) -> LoadedBatches:
        latents = LatentClips(
            clips=clips,
            transforms=self._transforms(clips),
            cache=self._encoders.latent_cache,
            autoencoder=self._encoders.autoencoder_fingerprint,
        )
        newest = usable_checkpoint(self.run)
        first = int(newest.stem) if newest else 0
        # The last step's in any case: Lightning reads a batch even where no step is left.
        moments = self._encoders.moments(latents, plan.wanted(range(min(first, self.steps - 1), self.steps)))
        captions = [clip.caption for clip in clips]
        texts = self.token_ids(captions) if self.experiment.token.trains else self._encoders.texts(captions)
        batches = TrainingBatches(
            plan=plan,
            moments=moments,
            texts=texts,
            steps=self.steps,
            start=lambda: module.trainer.global_step,
            rank=self.experiment.hardware.rank,
            world=self.experiment.hardware.devices,
            accumulate=self.experiment.hardware.accumulate,
        )
        return LoadedBatches(batches, newest, clips)

    # --- the run -----------------------------------------------------------------------------------------------------

    def _begin(self, clips: Sequence[Clip], module: MotionModule) -> None:
        self.run.update(base_fingerprint=self.experiment.model.fingerprint("denoiser"))
        if self._init:
            self._init.keep(self.run.path)
            self.run.update(init_fingerprint=self._init.fingerprint)
        tensors = list(module.trained_tensors().values())
        exemplars, others = (sum(clip.role == role for clip in clips) for role in ("exemplar", "regularization"))
        log.info(
            "%d exemplar%s and %d regularization clip%s; %d tensors of %s parameters are trained, in %s",
            *(exemplars, "s" * (exemplars != 1), others, "s" * (others != 1)),
            len(tensors),
            f"{sum(tensor.numel() for tensor in tensors):,}",
            self.run.path,
        )
        write_clip_sheet(self.run.path / CLIP_SHEET, clips, self._transforms(clips))
        self.mirror.start(folder=self.run.path, config=self.run.config)

    def _fit(self, module: MotionModule, batches: LoadedBatches, stop: StopOnSignal) -> str:
        losses = LossLog(run=self.run, mirror=self.mirror)
        callbacks: list[Any] = [stop, losses, Progress(steps=self.steps)]
        evaluations = self._evaluations(batches, losses, stop) if self.evaluates else None
        if evaluations:
            callbacks.append(evaluations)
        checkpoints = Checkpoints(
            run=self.run, every=self.checkpoint_every, about=self._about(), dtype=check_dtype(self.weights_dtype)
        )
        trainer = self.experiment.hardware.trainer(steps=self.steps, callbacks=[*callbacks, checkpoints])
        loader: DataLoader = DataLoader(batches.dataset, batch_size=None, num_workers=0)
        with explain_oom(self._load, self.experiment.hardware.device):
            trainer.fit(module, loader, ckpt_path=batches.checkpoint, weights_only=True)
        self._seconds, self._step = losses.seconds, trainer.global_step
        if evaluations and evaluations.reached is not None:
            return "appearance"
        unfinished = trainer.global_step < self.steps or (evaluations and evaluations.interrupted)
        return "signal" if stop.received and unfinished else "steps"

    def _evaluations(self, batches: LoadedBatches, losses: LossLog, stop: StopOnSignal) -> Evaluations:
        return Evaluations(
            experiment=self.experiment,
            encoders=self._encoders,
            clips=batches.clips,
            run=self.run,
            mirror=self.mirror,
            every=self.evaluate_every,
            subset=self.evaluate_subset,
            about=self._about(),
            after=losses.skip_time,
            stop=stop,
            resumed_at=batches.first,
        )

    def _about(self) -> dict[str, Any]:
        """What the delta says of itself."""
        model, token = self.experiment.model, self.experiment.token
        return {
            "family": model.family,
            "base": model.described,
            "base_fingerprint": model.fingerprint("denoiser"),
            **self.subset.describe(),
            "token": token.describe(),
            **({"init": self._init.fingerprint} if self._init else {}),
        }
