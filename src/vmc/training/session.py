"""One run from clips to weights: put together here, run by Lightning."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform, log_timing
from vmc.diffusion.objective import Denoising, Objective
from vmc.diffusion.timesteps import TimestepSampler
from vmc.evaluation.callback import Evaluations
from vmc.evaluation.clips import check_texts, gather_clips, readable
from vmc.evaluation.score import check_evaluation
from vmc.models.compilation import compile_layers
from vmc.models.parameters import Subset, check_groups
from vmc.models.recomputation import checkpoint_activations
from vmc.models.token import SUBJECT
from vmc.runs.clips import CLIP_SHEET, clip_rows, differing_clips, write_clip_sheet, write_clips
from vmc.runs.folder import RunFolder
from vmc.runs.mirror import Mirror, NoMirror
from vmc.training.batches import Mixture, StepPlan, TrainingBatches, check_batch_size
from vmc.training.callbacks import Checkpoints, LossLog, usable_checkpoint
from vmc.training.delta import InitialWeights, check_dtype, row_name
from vmc.training.encoding import Encoders
from vmc.training.experiment import Experiment
from vmc.training.memory import FittedActivations, check_memory, explain_oom
from vmc.training.module import MotionModule
from vmc.training.optimizers import (
    Constant,
    OptimizerFactory,
    ScheduleFactory,
    check_optimizer,
    check_schedule,
    for_gpu,
    takes,
)
from vmc.training.signals import StopOnSignal, run_to_end
from vmc.training.subject import NoSubject, Subject
from vmc.utils.cache import sweep_caches
from vmc.utils.errors import VmcError
from vmc.utils.graphs import LARGEST

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
        steps: optimizer steps in all, those of an earlier part of the run included.
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
        hardware = self.experiment.hardware
        check_batch_size(self.batch_size, world=hardware.devices, accumulate=hardware.accumulate)
        check_dtype(self.weights_dtype)
        check_optimizer(self.optimizer)
        check_schedule(self.lr_schedule, steps=self.steps)
        self.subset.check(self.experiment.model.groups)
        self._init: InitialWeights | None = None
        if self.init is not None:
            model, token = self.experiment.model, self.experiment.token
            self._init = InitialWeights.find(self.init, run=self.run, model=model, token=token)
        self._encoders = Encoders(self.experiment, self._init)
        self._progress: dict[str, Any] = {}  # how far the run is come when it ends, for `run.json`
        if self.evaluates:
            check_evaluation(self.experiment)

    @property
    def evaluates(self) -> bool:
        """Whether the run is evaluated on its way."""
        return bool(self.evaluate_every and self.experiment.prompts and self.experiment.suite)

    def train(self) -> int:
        """Train, or go on training, and leave a finished, stopped or failed run folder; the exit code."""
        parts, hardware = self.experiment, self.experiment.hardware
        threads, is_first = hardware.use_threads(), hardware.rank == 0

        # What cannot be trained is refused before anything is loaded or written.
        self._check_subject()
        self._check_compile()
        self.objective.check(frames=parts.latent_shape[1], process=parts.model.process)
        self.timestep_sampler.probabilities(parts.model.process.times)  # of none there is nothing to draw
        self._savings = check_memory(
            *(parts.model, self.subset, hardware),
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            text_trained=parts.token.trains,
        )

        # Clips, which the base model may have to make first (regularization=synthetic).
        if is_first:
            sweep_caches(parts.cache)
        clips = self._gather()
        rows = clip_rows(clips)
        different = self._different_clips(rows)
        if is_first:
            log_timing(clips, self._transforms(clips))

        # The denoiser with what of it is trained, and all batches, from the checkpoint on that is there.
        module = self.module()
        checkpoint = usable_checkpoint(self.run)
        begun_at = int(checkpoint.stem) if checkpoint else 0
        counts = Counter(clip.role for clip in clips)
        plan = self.plan(counts["exemplar"], counts["regularization"], counts["subject"])
        batches = self._batches(clips, plan, module, begun_at)

        def fit(stop: StopOnSignal) -> str:
            if is_first:
                self.run.begin(threads=threads, world=hardware.devices, step=begun_at, other_clips=different)
                if begun_at:  # killed between a checkpoint and the removal of the one that it makes too many
                    self.run.drop_checkpoints(begun_at, keep=Checkpoints.KEPT)
                self._begin(clips, module)
                write_clips(rows, self.run.path)
            pinned = hardware.device.type == "cuda"  # so that the copy to a GPU is not waited for
            loader = DataLoader(batches, batch_size=None, num_workers=0, pin_memory=pinned)
            return self._fit(module, loader, stop, checkpoint, clips)

        return run_to_end(fit, run=self.run, mirror=self.mirror, rank=hardware.rank, about=self._progress)

    # --- what is needed before the first step ------------------------------------------------------------------------

    def _check_subject(self) -> None:
        """Refuse stills that no step would draw, or that model or objective cannot serve."""
        model, subject = self.experiment.model, self.experiment.subject
        if isinstance(subject, NoSubject):
            return
        check_groups(subject.groups, model.groups, key="subject.groups")
        self.experiment.hardware.check_partial_gradients()
        if subject.start >= self.steps:
            raise VmcError(
                f"subject.start is {subject.start}, but steps is {self.steps}, so that no still would be drawn;"
                " give an earlier start, or more steps"
            )
        try:
            frames = model.latent_shape(frames=1, size=self.experiment.data.size)[1]
            self.objective.check(frames=frames, process=model.process)
        except VmcError as error:
            raise VmcError(f"subject has stills, videos of one frame, which cannot be trained on: {error}") from error

    def _gather(self) -> list[Clip]:
        """The run's clips: exemplars first, then regularization clips, then stills; captions are filled and checked."""
        found = gather_clips(self.experiment)
        check_texts(self.experiment, found)
        return readable(found, skip_bad=self.experiment.data.skip_bad)

    def _transforms(self, clips: Sequence[Clip]) -> list[ClipTransform]:
        """How each clip becomes frames: exemplars are augmented, stills have one frame."""
        data, subject = self.experiment.data, self.experiment.subject
        transforms = {
            "exemplar": data.transform(augmented=True, mirror=self.experiment.motion.mirror),
            "regularization": data.transform(augmented=False, mirror=False, whole=False),
        }
        if isinstance(subject, Subject):
            transforms["subject"] = subject.transform(data)
        return [transforms[clip.role] for clip in clips]

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

    def module(self) -> MotionModule:
        """The denoiser with what of it is trained."""
        model, hardware = self.experiment.model, self.experiment.hardware
        denoiser = model.denoiser()
        inherited = self._init.apply(model, denoiser, self.subset) if self._init else {}
        if hardware.compile:
            compile_layers(model.compiled(denoiser))
        if hardware.recomputed in ("blocks", "layers"):
            checkpoint_activations(getattr(model, hardware.recomputed)(denoiser))
        static, on_gpu = self._is_static(denoiser), hardware.device.type == "cuda"
        fused = on_gpu and hardware.precision != "16-mixed"  # whose gradients are unscaled and clipped before
        return MotionModule(
            model=model,
            denoiser=denoiser,
            subset=self.subset,
            optimizer=for_gpu(self.optimizer, fused=fused, capturable=static and on_gpu),
            objective=self.objective,
            lr_schedule=self.lr_schedule,
            encoder=self._encoders.prompt_encoder if self.experiment.token.trains else None,
            subject=self.experiment.subject,
            inherited=inherited,
            frozen_dtype=hardware.frozen_dtype,
            master_weights=hardware.master_weights,
            static=static,
        )

    def _is_static(self, denoiser: Any) -> bool:
        """Whether a step may become a CUDA graph; the log says what keeps it from that."""
        if not self.experiment.hardware.cuda_graph:
            return False
        reasons = [*self.graph_obstacles(), *_too_large(denoiser)]
        if reasons:
            log.info("trainer.cuda_graph is true, but %s: every step launches its own kernels", " and ".join(reasons))
        return not reasons

    def graph_obstacles(self) -> list[str]:
        """Why no CUDA graph can be made of a step, before anything is loaded."""
        parts, hardware = self.experiment, self.experiment.hardware
        held = {
            "a CPU has no graphs": hardware.device.type != "cuda",
            f"there are {hardware.devices} processes": hardware.devices > 1,
            "a step has several micro-batches": hardware.accumulate > 1,
            "trainer.precision=16-mixed looks at the gradients between": hardware.precision == "16-mixed",
            "the text encoder of a trained token runs in the step": parts.token.trains,
            "stills of a subject have another shape": isinstance(parts.subject, Subject),
            "lr_schedule changes the rate": not isinstance(self.lr_schedule, Constant),
            "the objective draws for each clip": not self.objective.static,
            "the optimizer cannot be captured": "capturable" not in takes(self.optimizer),
        }
        return [reason for reason, holds in held.items() if holds]

    def _check_compile(self) -> None:
        """Refuse what would be compiled anew for clips of another shape; the log says what is not compiled."""
        if self.experiment.hardware.compile is None:
            return
        if isinstance(self.experiment.subject, Subject):
            raise VmcError(
                "trainer.compile is layers, which is for clips of one shape, and stills of a subject have another; give"
                " trainer.compile=null, or subject=none"
            )
        if self.experiment.token.trains:
            log.info("trainer.compile is layers: the text encoder of the trained token is not compiled")

    def plan(self, exemplars: int, others: int, stills: int = 0) -> StepPlan:
        """What each step draws of so many exemplars, regularization clips and stills."""
        parts = self.experiment
        return StepPlan(
            seed=parts.seed,
            batch_size=self.batch_size,
            mixture=Mixture(
                exemplars=exemplars,
                exemplar_variants=parts.data.variants,
                others=others,
                regularization=parts.regularization,
                stills=stills,
                subject=parts.subject if stills else NoSubject(),
            ),
            timestep_sampler=self.timestep_sampler,
            process=parts.model.process,
        )

    def token_ids(self, captions: Sequence[str]) -> list[Tensor]:
        """ids_L of each caption, which the module encodes where the token is trained."""
        return list(self._encoders.prompt_encoder.token_ids(list(captions)))

    def _batches(self, clips: Sequence[Clip], plan: StepPlan, module: MotionModule, begun_at: int) -> TrainingBatches:
        """Latents and texts of all that the run's steps from `begun_at` on draw."""
        hardware = self.experiment.hardware
        # The last step's in any case: Lightning reads a batch even where no step is left.
        wanted = plan.wanted(range(min(begun_at, self.steps - 1), self.steps))
        moments = self._encoders.moments(clips, self._transforms(clips), wanted)
        captions = [clip.caption for clip in clips]
        return TrainingBatches(
            plan=plan,
            moments=moments,
            texts=self.token_ids(captions) if self.experiment.token.trains else self._encoders.texts(captions),
            steps=self.steps,
            start=lambda: module.trainer.global_step,
            rank=hardware.rank,
            world=hardware.devices,
            accumulate=hardware.accumulate,
        )

    # --- the run -----------------------------------------------------------------------------------------------------

    def _begin(self, clips: Sequence[Clip], module: MotionModule) -> None:
        """Write down what the run starts from, say what it trains, and show its clips."""
        self.run.update(base_fingerprint=self.experiment.model.fingerprint("denoiser"))
        if self._init:
            self._init.keep(self.run.path)
            self.run.update(init_fingerprint=self._init.fingerprint)
        tensors = list(module.trained_tensors().values())
        counts = Counter(clip.role for clip in clips)
        exemplars, others, stills = counts["exemplar"], counts["regularization"], counts["subject"]
        log.info(
            "%d exemplar%s and %d regularization clip%s%s; %d tensors of %s parameters are trained, in %s",
            *(exemplars, "s" * (exemplars != 1), others, "s" * (others != 1)),
            f", {stills} still{'s' * (stills != 1)} of the subject" if stills else "",
            len(tensors),
            f"{sum(tensor.numel() for tensor in tensors):,}",
            self.run.path,
        )
        if stills and module.moved_by_stills == {row_name(SUBJECT)}:
            log.info("stills move the subject's word alone: none of what is trained is in subject.groups")
        write_clip_sheet(self.run.path / CLIP_SHEET, clips, self._transforms(clips))
        self.mirror.start(folder=self.run.path, config=self.run.config)

    def _fit(
        self, module: MotionModule, loader: DataLoader, stop: StopOnSignal, checkpoint: Path | None, clips: list[Clip]
    ) -> str:
        """Train from the checkpoint on to the last step, the threshold or a signal; which of them it was."""
        hardware = self.experiment.hardware
        read = (hardware.log_every, self.evaluate_every, self.checkpoint_every)
        losses = LossLog(run=self.run, mirror=self.mirror, every=read)
        callbacks: list[Any] = [stop, losses]
        if hardware.recomputed == "auto" and hardware.device.type == "cuda":
            callbacks.append(FittedActivations())
        elif hardware.recomputed == "auto":
            log.info("trainer.checkpoint_activations is auto, which measures a GPU: on a CPU activations are kept")
        evaluations = self._evaluations(clips, losses, stop, checkpoint) if self.evaluates else None
        if evaluations:
            callbacks.append(evaluations)
        dtype = check_dtype(self.weights_dtype)
        callbacks.append(Checkpoints(run=self.run, every=self.checkpoint_every, about=self._about(), dtype=dtype))

        partial = isinstance(self.experiment.subject, Subject)
        trainer = hardware.trainer(steps=self.steps, callbacks=callbacks, partial_gradients=partial)
        with explain_oom(hardware.device, self._savings):
            trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
        if trainer.global_step:
            self._progress |= {"step": trainer.global_step, "seconds": round(losses.seconds, 3)}

        if evaluations and evaluations.reached is not None:
            return "appearance"
        unfinished = trainer.global_step < self.steps or (evaluations and evaluations.interrupted)
        return "signal" if stop.received and unfinished else "steps"

    def _evaluations(
        self, clips: Sequence[Clip], losses: LossLog, stop: StopOnSignal, checkpoint: Path | None
    ) -> Evaluations:
        return Evaluations(
            experiment=self.experiment,
            encoders=self._encoders,
            clips=clips,
            run=self.run,
            mirror=self.mirror,
            every=self.evaluate_every,
            subset=self.evaluate_subset,
            about=self._about(),
            after=losses.skip_time,
            stop=stop,
            resumed_at=int(checkpoint.stem) if checkpoint else 0,
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


def _too_large(denoiser: Any) -> list[str]:
    """Why a CUDA graph would gain nothing."""
    count = sum(tensor.numel() for tensor in denoiser.parameters())
    return [f"the denoiser has {count:,} parameters, more than {LARGEST:,}"] if count > LARGEST else []
