"""A training run from clips to weights. It is put together here, and Lightning runs the loop."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from vmc.data.clips import Clip, readable
from vmc.data.frames import log_timing
from vmc.diffusion.objective import Denoising, Objective
from vmc.diffusion.timesteps import TimestepSampler
from vmc.evaluation.during_training import Evaluations
from vmc.evaluation.score import check_evaluation
from vmc.models.activation_checkpointing import checkpoint_activations
from vmc.models.parameters import Subset
from vmc.runs.clips import check_clips, clip_rows, write_clips
from vmc.runs.contact_sheet import CLIP_SHEET, write_clip_sheet
from vmc.runs.folder import RunFolder
from vmc.runs.resuming import usable_checkpoint
from vmc.runs.wandb_mirror import Mirror, NoMirror
from vmc.training import optimizers
from vmc.training.batches import StepPlan, TrainingBatches, check_batch_size
from vmc.training.checkpoints import Checkpoints
from vmc.training.encoded_cache import Encoders
from vmc.training.experiment import Experiment, check_texts, gather_clips
from vmc.training.hardware import compile_layers
from vmc.training.loss_log import LossLog
from vmc.training.memory import FittedActivations, check_memory, explain_oom
from vmc.training.module import MotionModule
from vmc.training.signals import StopOnSignal, run_to_end
from vmc.training.subject import Subject
from vmc.training.tuned_weights import InitialWeights, check_dtype
from vmc.utils.cache import sweep_caches
from vmc.utils.errors import VmcError
from vmc.utils.graphs import LARGEST

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Session:
    """A training run: an experiment and what training alone needs. `train()` runs it.

    Args:
        experiment: the parts that evaluation and generation use too.
        run: the folder that the run writes.
        subset: which parameters of the denoiser are trained.
        timestep_sampler: draws the diffusion times of the training clips.
        optimizer: makes the optimizer from parameter groups.
        steps: optimizer steps in total, including those before the run was resumed.
        batch_size: draws per step, over all ranks and accumulated micro-batches.
        objective: the loss of a clip.
        lr_schedule: how the learning rates change from step to step.
        init: a run folder, or a file of weights, to start from in place of the base model.
        evaluate_every: steps between evaluations; 0 never evaluates, neither at step 0 nor at the end.
        evaluate_subset: videos of an intermediate evaluation.
        checkpoint_every: steps between checkpoints; 0 writes one at the end only.
        weights_dtype: precision of the trained tensors in `weights/`.
        mirror: where losses, scores and videos are shown as well.
    """

    experiment: Experiment
    run: RunFolder
    subset: Subset
    timestep_sampler: TimestepSampler
    optimizer: optimizers.OptimizerFactory
    steps: int
    batch_size: int
    objective: Objective = field(default_factory=Denoising)
    lr_schedule: optimizers.ScheduleFactory = field(default_factory=optimizers.Constant)
    init: str | Path | None = None
    evaluate_every: int = 0
    evaluate_subset: int = 12
    checkpoint_every: int = 0
    weights_dtype: str = "float32"
    mirror: Mirror = field(default_factory=NoMirror)

    def __post_init__(self) -> None:
        smallest = {"steps": 1, "batch_size": 1, "evaluate_every": 0, "evaluate_subset": 1, "checkpoint_every": 0}
        for name, least in smallest.items():
            if not isinstance(value := getattr(self, name), int) or value < least:
                raise VmcError(f"{name} is {value}; it must be a whole number of at least {least}")
        hardware = self.experiment.hardware
        check_batch_size(self.batch_size, world=hardware.devices, accumulate=hardware.accumulate)
        check_dtype(self.weights_dtype)
        optimizers.check_optimizer(self.optimizer)
        optimizers.check_schedule(self.lr_schedule, steps=self.steps)
        self.subset.check(self.experiment.model.groups)
        self._init: InitialWeights | None = None
        if self.init is not None:
            model, token = self.experiment.model, self.experiment.token
            self._init = InitialWeights.find(self.init, run=self.run, model=model, token=token)
        self._encoders = Encoders(self.experiment, self._init)
        self._progress: dict[str, Any] = {}  # how far the run has come when it ends, for `run.json`
        if self.evaluates:
            check_evaluation(self.experiment)

    @property
    def evaluates(self) -> bool:
        """Whether the run is evaluated while it trains."""
        return bool(self.evaluate_every and self.experiment.prompts and self.experiment.suite)

    def train(self) -> int:
        """Train from the beginning or from the last checkpoint; returns the exit code of the process.

        The run folder is left finished, stopped or failed.
        """
        parts, hardware = self.experiment, self.experiment.hardware
        threads, is_first = hardware.use_threads(), hardware.rank == 0
        self._check()
        if is_first:
            sweep_caches(parts.cache)

        # Find the clips, which the base model may have to make first (regularization=synthetic), and read each once.
        found = gather_clips(parts)
        check_texts(parts, found)
        clips = readable(found, skip_bad=parts.data.skip_bad)
        rows = clip_rows(clips)
        different = check_clips(rows, self.run)
        if is_first:
            log_timing(clips, parts.transforms(clips))

        # Load the denoiser and encode every clip and caption that the remaining steps draw.
        module = self.module()
        checkpoint = usable_checkpoint(self.run)
        begun_at = int(checkpoint.stem) if checkpoint else 0
        batches = self._batches(clips, module, begun_at)

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

    def _check(self) -> None:
        """Raise a VmcError for what cannot be trained, before anything is loaded or written."""
        parts, hardware, objective = self.experiment, self.experiment.hardware, self.objective
        if isinstance(parts.subject, Subject):
            hardware.check_partial_gradients()
            parts.subject.check(parts.model, objective=objective, size=parts.data.size, steps=self.steps)
            if hardware.compile:
                raise VmcError(
                    "trainer.compile is layers, which is for clips of one shape, and stills of a subject have another;"
                    " give trainer.compile=null, or subject=none"
                )
        if hardware.compile and parts.token.trains:
            log.info("trainer.compile is layers: the text encoder of the trained token is not compiled")
        objective.check(frames=parts.latent_shape[1], process=parts.model.process)
        self.timestep_sampler.probabilities(parts.model.process.times)  # raises where no time can be drawn
        check_memory(parts.model, self.subset, hardware, self.optimizer, text_trained=parts.token.trains)

    def module(self) -> MotionModule:
        """The Lightning module: the denoiser, with the subset trainable and everything else frozen."""
        model, hardware = self.experiment.model, self.experiment.hardware
        denoiser = model.denoiser()
        inherited = self._init.apply(model, denoiser, self.subset) if self._init else {}
        if hardware.compile:
            compile_layers(model.compiled(denoiser))
        if hardware.recomputed in ("blocks", "layers"):
            checkpoint_activations(getattr(model, hardware.recomputed)(denoiser))
        static = hardware.cuda_graph and not graph_obstacles(self, denoiser)
        on_gpu = hardware.device.type == "cuda"
        fused = hardware.precision != "16-mixed"  # its gradients must be unscaled and clipped before the step
        return MotionModule(
            model=model,
            denoiser=denoiser,
            subset=self.subset,
            optimizer=optimizers.in_one_kernel(self.optimizer, fused=fused, capturable=static and on_gpu),
            objective=self.objective,
            lr_schedule=self.lr_schedule,
            encoder=self._encoders.prompt_encoder if self.experiment.token.trains else None,
            subject=self.experiment.subject,
            inherited=inherited,
            frozen_dtype=hardware.frozen_dtype,
            master_weights=hardware.master_weights,
            static=static,
        )

    def plan(self, exemplars: int, others: int, stills: int = 0) -> StepPlan:
        """What each step draws from this many exemplars, regularization clips and stills."""
        parts = self.experiment
        return StepPlan(
            seed=parts.seed,
            batch_size=self.batch_size,
            exemplars=exemplars,
            exemplar_variants=parts.data.variants,
            others=others,
            regularization=parts.regularization,
            stills=stills,
            subject=parts.subject,
            timestep_sampler=self.timestep_sampler,
            process=parts.model.process,
        )

    def token_ids(self, captions: Sequence[str]) -> list[Tensor]:
        """ids_L of each caption; with a trained token the module encodes them in the step."""
        return list(self._encoders.prompt_encoder.token_ids(list(captions)))

    def _batches(self, clips: Sequence[Clip], module: MotionModule, begun_at: int) -> TrainingBatches:
        """The batches, with the latents and texts of all clips that the steps from `begun_at` on draw."""
        hardware, captions = self.experiment.hardware, [clip.caption for clip in clips]
        counts = Counter(clip.role for clip in clips)
        plan = self.plan(counts["exemplar"], counts["regularization"], counts["subject"])
        # Those of the last step in any case: Lightning reads a batch even if no step is left.
        wanted = plan.wanted(range(min(begun_at, self.steps - 1), self.steps))
        return TrainingBatches(
            plan=plan,
            moments=self._encoders.moments(clips, self.experiment.transforms(clips), wanted),
            texts=self.token_ids(captions) if self.experiment.token.trains else self._encoders.texts(captions),
            steps=self.steps,
            start=lambda: module.trainer.global_step,
            rank=hardware.rank,
            world=hardware.devices,
            accumulate=hardware.accumulate,
        )

    # --- the run -----------------------------------------------------------------------------------------------------

    def _begin(self, clips: Sequence[Clip], module: MotionModule) -> None:
        """Record what the run starts from, log what it trains, and write the sheet of its clips."""
        self.run.update(base_fingerprint=self.experiment.model.fingerprint("denoiser"))
        if self._init:
            self._init.keep(self.run.path)
            self.run.update(init_fingerprint=self._init.fingerprint)
        tensors, counts = list(module.trained_tensors().values()), Counter(clip.role for clip in clips)
        log.info(
            "%s; %d tensors of %s parameters are trained, in %s",
            " and ".join(f"{count} {role} clip{'s' * (count != 1)}" for role, count in counts.items()),
            *(len(tensors), f"{sum(tensor.numel() for tensor in tensors):,}", self.run.path),
        )
        write_clip_sheet(self.run.path / CLIP_SHEET, clips, self.experiment.transforms(clips))
        self.mirror.start(folder=self.run.path, config=self.run.config)

    def _fit(
        self, module: MotionModule, loader: DataLoader, stop: StopOnSignal, checkpoint: Path | None, clips: list[Clip]
    ) -> str:
        """Train from the checkpoint on; returns why training ended: `steps`, `appearance` or `signal`."""
        hardware = self.experiment.hardware
        read = (hardware.log_every, self.evaluate_every, self.checkpoint_every)
        callbacks: list[Any] = [stop, losses := LossLog(run=self.run, mirror=self.mirror, every=read)]
        if hardware.recomputed == "auto" and hardware.device.type == "cuda":
            callbacks.append(FittedActivations())
        elif hardware.recomputed == "auto":
            log.info("trainer.checkpoint_activations is auto, which measures a GPU: on a CPU activations are kept")
        evaluations, dtype = None, check_dtype(self.weights_dtype)
        if self.evaluates:
            evaluations = Evaluations(
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
                dtype=dtype,
                resumed_at=int(checkpoint.stem) if checkpoint else 0,
            )
            callbacks.append(evaluations)
        every = self.checkpoint_every
        callbacks.append(Checkpoints(run=self.run, every=every, about=self._about(), dtype=dtype))

        stills = isinstance(self.experiment.subject, Subject)
        trainer = hardware.trainer(steps=self.steps, callbacks=callbacks, partial_gradients=stills)
        with explain_oom(hardware.device):
            trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
        if trainer.global_step:
            self._progress |= {"step": trainer.global_step, "seconds": round(losses.seconds, 3)}

        if evaluations and evaluations.reached is not None:
            return "appearance"
        unfinished = trainer.global_step < self.steps or (evaluations and evaluations.interrupted)
        return "signal" if stop.received and unfinished else "steps"

    def _about(self) -> dict[str, Any]:
        """The metadata of the run's weight files."""
        model, init = self.experiment.model, {"init": self._init.fingerprint} if self._init else {}
        base = {"base": model.described, "base_fingerprint": model.fingerprint("denoiser")}
        token = {"token": self.experiment.token.describe()}
        return {"family": model.family, **base, **self.subset.describe(), **token, **init}


def graph_obstacles(run: Session, denoiser: Any) -> list[str]:
    """Reasons why a run's step cannot become a CUDA graph, or would gain nothing by it; they are logged as well."""
    parts, count = run.experiment, sum(tensor.numel() for tensor in denoiser.parameters())
    hardware = parts.hardware
    held = {
        "a CPU has no graphs": hardware.device.type != "cuda",
        f"there are {hardware.devices} processes": hardware.devices > 1,
        "a step has several micro-batches": hardware.accumulate > 1,
        "trainer.precision=16-mixed looks at the gradients between": hardware.precision == "16-mixed",
        "the text encoder of a trained token runs in the step": parts.token.trains,
        "stills of a subject have another shape": isinstance(parts.subject, Subject),
        "lr_schedule changes the rate": not isinstance(run.lr_schedule, optimizers.Constant),
        "the objective draws for each clip": not run.objective.static,
        "the optimizer cannot be captured": "capturable" not in optimizers.settings_of(run.optimizer),
        f"the denoiser has {count:,} parameters, more than {LARGEST:,}": count > LARGEST,
    }
    if reasons := [reason for reason, holds in held.items() if holds]:
        log.info("trainer.cuda_graph is true, but %s: every step launches its own kernels", " and ".join(reasons))
    return reasons
