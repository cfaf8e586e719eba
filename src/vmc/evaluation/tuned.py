"""A base model with a run's delta in it: what videos are made from and what is exported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.diffusion.sampling import Sampler
from vmc.evaluation.generation import VideoGenerator
from vmc.models.base import VideoModel
from vmc.models.loading import cast
from vmc.models.pipelines import export_pipeline
from vmc.models.text import TextEncoder
from vmc.models.token import MotionToken
from vmc.training.delta import Delta
from vmc.training.hardware import Hardware
from vmc.utils.files import fingerprint


@dataclass(kw_only=True)
class TunedModel:
    """The parts that differ from the base, and where they compute."""

    base: VideoModel
    denoiser: Any
    encoder: TextEncoder
    hardware: Hardware
    weights: Path | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells this model's videos from another's, the sampler aside."""
        weights, tile = fingerprint(self.weights) if self.weights else None, self.hardware.decode_tile
        return self.base.identity, weights, self.base.frames, self.base.size, *(() if tile is None else (tile,))

    @classmethod
    def load(cls, base: VideoModel, token: MotionToken, weights: Path | None, *, hardware: Hardware) -> "TunedModel":
        """The base model, with the delta of `weights` applied where it is given.

        Raises:
            VmcError: the delta belongs to another base model.
        """
        delta = None
        if weights is not None:
            delta = Delta.load(weights)
            delta.check_base(base)
        denoiser, encoder = base.denoiser(), base.text_encoder(token)
        if delta is not None:
            delta.apply(base, denoiser, encoder)
        return cls(base=base, denoiser=denoiser, encoder=encoder, hardware=hardware, weights=weights)

    def generator(self, *, sampler: Sampler, batch_size: int | None) -> VideoGenerator:
        """Makes videos of the model's own length and size."""
        device, dtype = self.hardware.device, self.hardware.frozen_dtype
        if dtype != self.denoiser.dtype:
            cast(self.denoiser, dtype)
        return VideoGenerator(
            model=self.base,
            denoiser=self.denoiser.to(device),
            autoencoder=self.base.autoencoder().to(self.hardware.resting_device),
            encode=self.encoder,
            sampler=sampler,
            latent_shape=self.base.latent_shape(frames=self.base.frames, size=self.base.size),
            fps=self.base.fps,
            batch_size=batch_size,
            precision=self.hardware.autocast,
            decode_frames=self.hardware.decode_frames,
            decode_tile=self.hardware.decode_tile,
        )

    @property
    def mark(self) -> str:
        """SHA-256 of what was trained, or of the untouched denoiser."""
        return fingerprint(self.weights) if self.weights else self.base.fingerprint("denoiser")

    def export(self, folder: Path, *, card: str) -> None:
        """Write a complete diffusers folder with the text of its page."""
        export_pipeline(self.base, self.denoiser, self.encoder, folder, card=card)
