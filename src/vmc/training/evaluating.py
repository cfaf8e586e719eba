"""What a run in training is evaluated with: the test set and its metrics, and the model as it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmc.data.clips import Clip
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt, evenly
from vmc.diffusion.components import BaseModel
from vmc.diffusion.sampling import Sampler
from vmc.metrics.suite import Suite
from vmc.runs.folder import RunFolder
from vmc.runs.generation import VideoGenerator
from vmc.runs.mirror import Mirror
from vmc.training.callbacks import LossLog, StopOnSignal
from vmc.training.encoding import Encoders
from vmc.training.evaluations import Evaluations, Schedule
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule
from vmc.training.scoring import build_evaluation, made_with


@dataclass(kw_only=True)
class TrainingGenerator:
    """Gives the generator on the UNet in training; the VAE stays loaded, texts are kept while the token stands still.

    Args:
        base: the model that is tuned.
        encoders: its text encoder.
        sampler: of the videos.
        hardware: where they are made.
        latent_shape: (C, F, H, W) of a video.
        fps: of a video.
        batch_size: videos at a time; None for as many as memory allows.
    """

    base: BaseModel
    encoders: Encoders
    sampler: Sampler
    hardware: Hardware
    latent_shape: Sequence[int]
    fps: float
    batch_size: int | None = None
    _made: VideoGenerator | None = field(default=None, init=False)

    def __call__(self, module: MotionModule) -> VideoGenerator:
        """The generator of this moment."""
        if self._made is None or self.encoders.token.trained:
            self._made = VideoGenerator(
                unet=module.unet,
                vae=self._made.vae if self._made else self.base.vae().to(self.hardware.resting_device),
                solver=self.base.solver(),
                encode=self.encoders.text,
                sampler=self.sampler,
                latent_shape=self.latent_shape,
                fps=self.fps,
                batch_size=self.batch_size,
                precision=self.hardware.autocast,
                decode_frames=self.hardware.decode_frames,
                decode_tile=self.hardware.decode_tile,
            )
        return self._made


def build_evaluations(
    *,
    run: RunFolder,
    mirror: Mirror,
    suite: Suite,
    prompts: Sequence[Prompt],
    clips: Sequence[Clip],
    data: MotionData,
    motion: Motion,
    generator: TrainingGenerator,
    every: int,
    subset: int,
    threshold: float | None,
    cache: Path,
    about: dict[str, Any],
    losses: LossLog,
    stop: StopOnSignal,
    resumed_at: int,
) -> Evaluations:
    """The callback that evaluates a run on its way.

    Args:
        run: the folder.
        mirror: where its evaluations are shown.
        suite: the metrics.
        prompts: the test set.
        clips: those of the run, which videos are compared with.
        data: the size of the clips.
        motion: what is taught.
        generator: of the videos.
        every: steps between evaluations.
        subset: videos of an intermediate one.
        threshold: the appearance score at which the run stops; None does not stop.
        cache: folder of the shared caches.
        about: what the weights say of themselves.
        losses: the log, which leaves the time of evaluating out.
        stop: hears signals.
        resumed_at: steps that the run has behind it.
    """
    evaluation = build_evaluation(
        suite=suite,
        prompts=prompts,
        label=motion.label,
        clips=clips,
        size=data.size,
        made_with=made_with(generator.sampler, generator.latent_shape, generator.fps),
        threshold=threshold,
        cache=cache,
        device=generator.hardware.device,
    )
    return Evaluations(
        run=run,
        mirror=mirror,
        evaluation=evaluation,
        schedule=Schedule(
            every=every,
            subset=evenly(len(prompts), subset),
            shared=cache / "evaluations",
            base=_base_mark(generator),
        ),
        generator=generator,
        about=about,
        after=losses.skip_time,
        stop=stop,
        resumed_at=resumed_at,
    )


def _base_mark(generator: TrainingGenerator) -> str:
    """What the untouched model's videos depend on besides the protocol."""
    return " ".join(
        (
            generator.base.fingerprint("unet", "vae", "text_encoder", "tokenizer"),
            generator.encoders.token_mark,
            generator.hardware.rounding,
            generator.hardware.precision,
            *((f"tiles of {tile}",) if (tile := generator.hardware.decode_tile) else ()),
        )
    )
