"""What a run in training is evaluated with: the model as it stands, and when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmc.data.prompts import evenly
from vmc.diffusion.sampling import Sampler
from vmc.models.base import Autoencoder, VideoModel
from vmc.runs.generation import VideoGenerator
from vmc.training.encoding import Encoders
from vmc.training.evaluations import Schedule
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule


@dataclass(kw_only=True)
class TrainingGenerator:
    """Gives the generator on the denoiser in training; the autoencoder stays loaded, and texts are kept while the token
    stands still.

    Args:
        base: the model that is tuned.
        encoders: its text encoder.
        sampler: of the videos.
        hardware: where they are made.
        latent_shape: (C, F, H, W) of a video.
        fps: of a video.
        batch_size: videos at a time; None for as many as memory allows.
    """

    base: VideoModel
    encoders: Encoders
    sampler: Sampler
    hardware: Hardware
    latent_shape: Sequence[int]
    fps: float
    batch_size: int | None = None
    _made: VideoGenerator | None = field(default=None, init=False)

    def __call__(self, module: MotionModule) -> VideoGenerator:
        """The generator of this moment."""
        if self._made is None or self.encoders.token.trains:
            self._made = VideoGenerator(
                model=self.base,
                denoiser=module.denoiser,
                autoencoder=self._made.autoencoder if self._made else self._autoencoder(),
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

    def _autoencoder(self) -> Autoencoder:
        return self.base.autoencoder().to(self.hardware.resting_device)


def build_schedule(generator: TrainingGenerator, *, every: int, subset: int, prompts: int, cache: Path) -> Schedule:
    """When a run is evaluated, on what, and where its first scores are shared.

    Args:
        generator: of the videos.
        every: steps between evaluations.
        subset: videos of an intermediate one, of so many `prompts`.
        cache: folder of the shared caches.
    """
    return Schedule(
        every=every, subset=evenly(prompts, subset), shared=cache / "evaluations", base=_base_mark(generator)
    )


def _base_mark(generator: TrainingGenerator) -> str:
    """What the untouched model's videos depend on besides the protocol."""
    return " ".join(
        (
            generator.base.identity,
            generator.encoders.token_mark,
            generator.hardware.rounding,
            generator.hardware.precision,
            *((f"tiles of {tile}",) if (tile := generator.hardware.decode_tile) else ()),
        )
    )
