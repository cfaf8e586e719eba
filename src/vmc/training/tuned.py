"""A base model with a run's delta in it: what videos are made from and what is exported."""

from dataclasses import dataclass
from pathlib import Path

from diffusers import UNet3DConditionModel

from vmc.diffusion.components import BaseModel
from vmc.diffusion.export import export_pipeline
from vmc.diffusion.sampling import Sampler
from vmc.diffusion.text import PromptEncoder
from vmc.diffusion.token import MotionToken
from vmc.files import fingerprint
from vmc.runs.generation import VideoGenerator
from vmc.training.delta import Delta
from vmc.training.hardware import Hardware


@dataclass(kw_only=True)
class TunedModel:
    """The parts that differ from the base, and where they compute."""

    base: BaseModel
    unet: UNet3DConditionModel
    encoder: PromptEncoder
    hardware: Hardware
    weights: Path | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells this model's videos from another's, the sampler aside."""
        parts = self.base.fingerprint("unet", "vae", "text_encoder", "tokenizer")
        weights, tile = fingerprint(self.weights) if self.weights else None, self.hardware.decode_tile
        return parts, weights, self.base.frames, self.base.size, *(() if tile is None else (tile,))

    @classmethod
    def load(cls, base: BaseModel, token: MotionToken, weights: Path | None, *, hardware: Hardware) -> "TunedModel":
        """The base model, with the delta of `weights` applied where it is given.

        Raises:
            VmcError: the delta belongs to another base model.
        """
        unet, encoder = base.unet(), PromptEncoder.load(base, token)
        if weights is not None:
            delta = Delta.load(weights)
            delta.check_base(base.fingerprint("unet"), base.path)
            delta.apply(unet, encoder.token_embedding)
        return cls(base=base, unet=unet, encoder=encoder, hardware=hardware, weights=weights)

    def generator(self, *, sampler: Sampler, batch_size: int | None) -> VideoGenerator:
        """Makes videos of the model's own length and size."""
        device, dtype = self.hardware.device, self.hardware.frozen_dtype
        if dtype != self.unet.dtype:
            self.unet.to(dtype)
        return VideoGenerator(
            unet=self.unet.to(device),
            vae=self.base.vae().to(self.hardware.resting_device),
            solver=self.base.solver(),
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
        """SHA-256 of what was trained, or of the base model's UNet."""
        return fingerprint(self.weights) if self.weights else self.base.fingerprint("unet")

    def export(self, folder: Path, *, card: str) -> None:
        """Write a complete diffusers folder with the text of its page."""
        export_pipeline(self.base, self.unet, self.encoder, folder, card=card)
