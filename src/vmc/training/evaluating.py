"""What a run in training is evaluated with: the model as it stands, and when."""

from dataclasses import dataclass, field

from vmc.data.prompts import evenly
from vmc.models.base import Autoencoder
from vmc.runs.generation import VideoGenerator
from vmc.training.encoding import Encoders
from vmc.training.evaluations import Schedule
from vmc.training.experiment import Experiment
from vmc.training.module import MotionModule


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
        marks = [self.experiment.model.identity, self.encoders.token_mark, hardware.rounding, hardware.precision]
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
