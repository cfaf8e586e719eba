"""One run from clips to weights: put together here, run by Lightning."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from vmc.data.cache import sweep_caches
from vmc.data.clips import Clip
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt
from vmc.data.timing import tell_timing
from vmc.data.transform import ClipTransform
from vmc.diffusion.objective import Denoising, Objective
from vmc.diffusion.sampling import Sampler
from vmc.diffusion.timesteps import TimestepSampler
from vmc.errors import VmcError
from vmc.files import cache_root
from vmc.metrics.suite import Suite
from vmc.models.base import VideoModel
from vmc.models.checkpointing import checkpoint_activations
from vmc.models.parameters import Subset
from vmc.models.token import MotionToken
from vmc.runs.clip_sheet import NAME as CLIP_SHEET
from vmc.runs.clip_sheet import write_clip_sheet
from vmc.runs.clip_table import clip_rows, differing_clips, write_clips
from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror, NoMirror
from vmc.training.batches import LatentClips, LoadedBatches, StepPlan, TrainingBatches
from vmc.training.callbacks import Checkpoints, LossLog, Progress, StopOnSignal
from vmc.training.delta import check_dtype
from vmc.training.encoding import Encoders
from vmc.training.evaluating import TrainingGenerator, build_schedule
from vmc.training.evaluations import Evaluations
from vmc.training.hardware import Hardware
from vmc.training.memory import Load, fitting_load, told_in_a_sentence
from vmc.training.module import MotionModule
from vmc.training.optimizers import Constant, OptimizerFactory, ScheduleFactory, check_optimizer, check_schedule
from vmc.training.regularization import Mixture, RegularizationSource
from vmc.training.saving import usable_checkpoint
from vmc.training.scoring import build_evaluation, check_evaluation, check_texts, gather_clips, made_with, readable
from vmc.training.synthetic import SyntheticRegularization

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Session:
    """Everything a run is made of; `train()` does it. Each part is documented by its class.

    Args:
        steps: optimiser steps in all, those of an earlier part of the run included.
        batch_size: draws a step, over all ranks and accumulated micro-batches.
        suite: the metrics; needed where the run is evaluated.
        prompts: the test set.
        evaluate_every: steps between evaluations; 0 never, neither at step 0 nor at the end.
        evaluate_subset: videos of an intermediate evaluation.
        stop_appearance: the appearance score at which the run stops; None does not stop.
        checkpoint_every: steps between checkpoints; 0 only at the end.
        weights_dtype: of what was trained, as it is written to `weights/`.
        cache: folder of the shared caches; None takes `vmc.files.cache_root()`.
    """

    run: RunFolder
    base: VideoModel
    data: MotionData
    motion: Motion
    token: MotionToken
    subset: Subset
    timestep_sampler: TimestepSampler
    regularization: RegularizationSource
    optimizer: OptimizerFactory
    sampler: Sampler
    hardware: Hardware
    steps: int
    batch_size: int
    objective: Objective = field(default_factory=Denoising)
    lr_schedule: ScheduleFactory = field(default_factory=Constant)
    seed: int = 0
    suite: Suite | None = None
    prompts: Sequence[Prompt] = ()
    generation_batch: int | None = None
    evaluate_every: int = 0
    evaluate_subset: int = 12
    stop_appearance: float | None = None
    checkpoint_every: int = 0
    weights_dtype: str = "float32"
    cache: Path | None = None
    mirror: Mirror = field(default_factory=NoMirror)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "evaluate_subset", "checkpoint_every", "seed"):
            value, smallest = getattr(self, name), int(name in ("steps", "batch_size", "evaluate_subset"))
            if not isinstance(value, int) or value < smallest:
                raise VmcError(f"{name} is {value}; it must be a whole number of at least {smallest}")
        if self.generation_batch is not None and self.generation_batch < 1:
            raise VmcError(f"generation_batch is {self.generation_batch}; it must be at least 1, or null to find it")
        check_dtype(self.weights_dtype)
        check_optimizer(self.optimizer)
        check_schedule(self.lr_schedule, steps=self.steps)
        self.subset.check(self.base.groups)
        self._caches = Path(self.cache or cache_root())
        self._encoders = Encoders(base=self.base, token=self.token, hardware=self.hardware, cache=self._caches)
        self._seconds, self._step = 0.0, 0
        self._load: Load | None = None
        if self.evaluates:
            assert self.suite is not None
            check_evaluation(self.suite, self.prompts, target=self.motion.label, threshold=self.stop_appearance)

    @property
    def evaluates(self) -> bool:
        """Whether the run is evaluated on its way."""
        return bool(self.evaluate_every and self.prompts and self.suite)

    def train(self) -> int:
        """Train, or go on training, and leave a finished, stopped or failed run folder; the exit code."""
        threads = self.hardware.use_threads()
        latent_shape = self.base.latent_shape(frames=self.data.frames, size=self.data.size)
        self.objective.check(frames=latent_shape[1], process=self.base.process)
        self.timestep_sampler.probabilities(self.base.process.times)  # of none there is nothing to draw
        if isinstance(self.regularization, SyntheticRegularization):  # whose clips the base model makes
            self._check_memory()
        if self.hardware.rank == 0:
            sweep_caches(self._caches)
        clips, exemplars = self._clips()
        rows = clip_rows(clips)
        different = self._different_clips(rows)
        self._check_memory()
        if self.hardware.rank == 0:
            tell_timing(clips, self._transforms(clips))
        module = self._module()
        plan = self._plan(clips, exemplars)
        batches = self._batches(clips, plan, module)
        with StopOnSignal() as stop:
            try:
                if self.hardware.rank == 0:
                    world = self.hardware.devices
                    self.run.begin(threads=threads, world=world, step=batches.first, other_clips=different)
                    if batches.first:  # killed between a checkpoint and the removal of the one that it makes too many
                        self.run.drop_checkpoints(batches.first, keep=Checkpoints.KEPT)
                    self._begin(clips, module)
                    write_clips(rows, self.run.path)
                reason = self._fit(module, batches, latent_shape, stop)
            except (KeyboardInterrupt, SystemExit):  # a signal that could not wait for the step to end
                self._end("stopped", "signal", 1)
                raise
            except BaseException as error:
                self._end("failed", f"{type(error).__name__}: {error}".strip(": "), 1)
                raise
            stopped = reason == "signal"
            code = stop.exit_code if stopped else 0
            self._end("stopped" if stopped else "finished", reason, code)
        if stopped:
            stop.pass_on()
        return code

    # --- what is needed before the first step ------------------------------------------------------------------------

    def _clips(self) -> tuple[list[Clip], int]:
        """The run's clips, exemplars first, captions filled in and checked; and the number of exemplars."""
        found = gather_clips(
            data=self.data, motion=self.motion, token=self.token, regularization=self.regularization, seed=self.seed
        )
        check_texts(self.base, self.token, found, self.prompts if self.evaluates else ())
        return readable(found, skip_bad=self.data.skip_bad)

    def _transforms(self, clips: Sequence[Clip]) -> list[ClipTransform]:
        """How each clip becomes frames: exemplars are augmented."""
        own = self.data.transform(augmented=True, mirror=self.motion.mirror)
        others = self.data.transform(augmented=False, mirror=False)
        return [own if clip.role == "exemplar" else others for clip in clips]

    def _different_clips(self, rows: Sequence[Mapping[str, str]]) -> str:
        """How the clips differ from those that the run was begun with; empty where they do not.

        Raises:
            VmcError: they do, and something has been trained on the earlier ones.
        """
        different = ", ".join(differing_clips(rows, self.run.path))
        if different and not self.run.is_in_vain():
            raise VmcError(
                f"output is {self.run.path}, whose run was begun with other clips ({different});"
                " put them back as they were, or choose another output"
            )
        return different

    def _check_memory(self) -> None:
        """A GPU that is too small is named before any weights are loaded."""
        self._load = self._load or fitting_load(
            self.base,
            hardware=self.hardware,
            subset=self.subset,
            optimizer=self.optimizer,
            video=(self.data.frames, self.data.size),
            batch_size=self.batch_size,
            paired=self.regularization.mix == "paired",
            text_trained=self.token.trains,
            steps=self.steps,
        )

    def _module(self) -> MotionModule:
        denoiser = self.base.denoiser()
        if self.hardware.checkpoint_activations:
            checkpoint_activations(self.base.blocks(denoiser))
        return MotionModule(
            model=self.base,
            denoiser=denoiser,
            subset=self.subset,
            optimizer=self.optimizer,
            objective=self.objective,
            lr_schedule=self.lr_schedule,
            encoder=self._encoders.prompt_encoder if self.token.trains else None,
            frozen_dtype=self.hardware.frozen_dtype,
        )

    def _plan(self, clips: Sequence[Clip], exemplars: int) -> StepPlan:
        mixture = Mixture(
            exemplars=exemplars,
            regularization=len(clips) - exemplars,
            exemplar_variants=self.data.variants,
            regularization_variants=self.regularization.variants,
            mix=self.regularization.mix,
            weight=self.regularization.weight,
            ratio=self.regularization.ratio,
        )
        return StepPlan(
            seed=self.seed,
            batch_size=self.batch_size,
            mixture=mixture,
            timestep_sampler=self.timestep_sampler,
            process=self.base.process,
        )

    def _batches(self, clips: Sequence[Clip], plan: StepPlan, module: MotionModule) -> LoadedBatches:
        latents = LatentClips(
            clips=clips,
            transforms=self._transforms(clips),
            cache=self._encoders.latent_cache,
            vae=self._encoders.vae_mark,
        )
        newest = usable_checkpoint(self.run)
        first = int(newest.stem) if newest else 0
        # The last step's in any case: Lightning reads a batch even where no step is left.
        moments = self._encoders.moments(latents, plan.wanted(range(min(first, self.steps - 1), self.steps)))
        if self.token.trains:
            texts = list(self._encoders.prompt_encoder.token_ids([clip.caption for clip in clips]))
        else:
            texts = self._encoders.texts([clip.caption for clip in clips])
        batches = TrainingBatches(
            plan=plan,
            moments=moments,
            texts=texts,
            steps=self.steps,
            start=lambda: module.trainer.global_step,
            rank=self.hardware.rank,
            world=self.hardware.devices,
            accumulate=self.hardware.accumulate,
        )
        return LoadedBatches(batches, newest, clips)

    # --- the run -----------------------------------------------------------------------------------------------------

    def _begin(self, clips: Sequence[Clip], module: MotionModule) -> None:
        self.run.update(base_fingerprint=self.base.fingerprint("denoiser"))
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

    def _fit(
        self, module: MotionModule, batches: LoadedBatches, latent_shape: Sequence[int], stop: StopOnSignal
    ) -> str:
        losses = LossLog(run=self.run, mirror=self.mirror)
        callbacks: list[Any] = [stop, losses, Progress(steps=self.steps)]
        evaluations = self._evaluations(batches, losses, latent_shape, stop) if self.evaluates else None
        if evaluations:
            callbacks.append(evaluations)
        checkpoints = Checkpoints(
            run=self.run, every=self.checkpoint_every, about=self._about(), dtype=check_dtype(self.weights_dtype)
        )
        trainer = self.hardware.trainer(steps=self.steps, callbacks=[*callbacks, checkpoints])
        loader: DataLoader = DataLoader(batches.dataset, batch_size=None, num_workers=0)
        with told_in_a_sentence(self._load, self.hardware.device):
            trainer.fit(module, loader, ckpt_path=batches.checkpoint, weights_only=True)
        self._seconds, self._step = losses.seconds, trainer.global_step
        if evaluations and evaluations.reached is not None:
            return "appearance"
        unfinished = trainer.global_step < self.steps or (evaluations and evaluations.interrupted)
        return "signal" if stop.received and unfinished else "steps"

    def _evaluations(
        self, batches: LoadedBatches, losses: LossLog, latent_shape: Sequence[int], stop: StopOnSignal
    ) -> Evaluations:
        assert self.suite is not None
        generator = self._generator(latent_shape)
        evaluation = build_evaluation(
            suite=self.suite,
            prompts=self.prompts,
            label=self.motion.label,
            clips=batches.clips,
            size=self.data.size,
            made_with=made_with(self.sampler, latent_shape, self.data.fps),
            threshold=self.stop_appearance,
            cache=self._caches,
            device=self.hardware.device,
        )
        return Evaluations(
            run=self.run,
            mirror=self.mirror,
            evaluation=evaluation,
            schedule=build_schedule(
                generator,
                every=self.evaluate_every,
                subset=self.evaluate_subset,
                prompts=len(self.prompts),
                cache=self._caches,
            ),
            generator=generator,
            about=self._about(),
            after=losses.skip_time,
            stop=stop,
            resumed_at=batches.first,
        )

    def _generator(self, latent_shape: Sequence[int]) -> TrainingGenerator:
        return TrainingGenerator(
            base=self.base,
            encoders=self._encoders,
            sampler=self.sampler,
            hardware=self.hardware,
            latent_shape=latent_shape,
            fps=self.data.fps,
            batch_size=self.generation_batch,
        )

    def _about(self) -> dict[str, Any]:
        """What the delta says of itself."""
        return {
            "family": self.base.family,
            "base": str(self.base.path),
            "base_fingerprint": self.base.fingerprint("denoiser"),
            **self.subset.describe(),
            "token": self.token.describe(),
        }

    def _end(self, status: str, reason: str, exit_code: int) -> None:
        if self.hardware.rank:
            return
        changes = {"step": self._step, "seconds": round(self._seconds, 3)} if self._step else {}
        self.run.conclude(status=status, reason=reason, **changes)
        self.mirror.finish(exit_code)
