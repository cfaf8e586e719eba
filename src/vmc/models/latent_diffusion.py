"""What families built on Stable Diffusion share (Rombach et al., 2022): CLIP's text encoder and an image autoencoder.

Axes: B videos, C latent or color channels, F frames, N = B x F images, H and W, M = 2 posterior moments.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from einops import rearrange
from torch import Tensor
from torch.nn import Module
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.process import Solver, VariancePreserving
from vmc.models.base import DECODE_FRAMES, Autoencoder, VideoModel, check_size
from vmc.models.pretrained_weights import quiet_loading, save_parts
from vmc.models.text import TextEncoder, save_clip_text

ENCODE_FRAMES = 16
"""Frames encoded at a time."""


class ImageAutoencoder(Autoencoder):
    """An `AutoencoderKL`, applied to each frame, with one scaling factor for all channels."""

    @torch.no_grad()
    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """The posterior's moments_MCFHW, in the scale of the denoiser's latents."""
        vae = self.module
        pixels_FCHW = frames_FCHW.to(vae.device, torch.float32) / 127.5 - 1
        chunks = [vae.encode(chunk.to(vae.dtype)).latent_dist for chunk in pixels_FCHW.split(ENCODE_FRAMES)]
        moments_MFCHW = torch.stack([torch.cat([getattr(chunk, part) for chunk in chunks]) for part in ("mean", "std")])
        return rearrange(moments_MFCHW.float().cpu() * vae.config.scaling_factor, "m f c h w -> m c f h w").contiguous()

    @torch.no_grad()
    def decode(self, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None) -> Tensor:
        """frames_BFCHW, uint8 on the CPU. Chunks of frames, and tiles if asked for, need less memory."""
        vae = self.module
        latents_NCHW = rearrange(latents_BCFHW, "b c f h w -> (b f) c h w") / vae.config.scaling_factor
        latents_NCHW = latents_NCHW.to(vae.device, vae.dtype)
        with self.tiled(tile):
            chunks = [to_uint8(vae.decode(chunk).sample).cpu() for chunk in latents_NCHW.split(frames_at_once)]
        return rearrange(torch.cat(chunks), "(b f) c h w -> b f c h w", b=len(latents_BCFHW))

    def enable_tiles(self, tile: int) -> None:
        """Set the sizes of tiles, which diffusers' own method does not take."""
        self.module.enable_tiling()
        self.module.tile_sample_min_size = tile
        self.module.tile_latent_min_size = tile // 2 ** (len(self.module.config.block_out_channels) - 1)


def to_uint8(image_NCHW: Tensor) -> Tensor:
    """Images of -1..1 as 0..255; NaN becomes black, so that even a diverged model gives a file."""
    return ((image_NCHW.float().nan_to_num(-1.0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def forward_process(scheduler: Any, **solvers: Callable[[], Solver]) -> VariancePreserving:
    """The process of a diffusers scheduler; without `make_solver` one that only adds noise."""
    signal_T, predicted = scheduler.alphas_cumprod.float(), scheduler.config["prediction_type"]
    return VariancePreserving(signal_T=signal_T, prediction_type=predicted, **solvers)


class LatentDiffusion(VideoModel):
    """A UNet in the layout of latent diffusion; a family adds the UNet, its groups and its pipeline's class."""

    pipeline: ClassVar[Any]
    """The class of diffusers that writes an export."""
    networks: ClassVar[Mapping[str, Any]] = {"vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    autoencoder_class, text_class = ImageAutoencoder, TextEncoder
    prefix: ClassVar[str] = "unet"

    @cached_property
    def process(self) -> VariancePreserving:
        """The schedule's betas and prediction type, with the family's solver and its inverse if there is one."""
        inverse = {"make_inverse": self.inverse_solver} if hasattr(self, "inverse_solver") else {}
        return forward_process(DDIMScheduler.from_config(self.schedule()), make_solver=self.solver, **inverse)

    def schedule(self) -> dict[str, Any]:
        """The noise schedule that the UNet was trained with, as a scheduler's config: the folder's own."""
        return self.config("scheduler")

    def solver(self, **changes: Any) -> Solver:
        """DPM-Solver++ of the second order (Lu et al., 2022) on the model's own noise schedule."""
        settings = {"algorithm_type": "dpmsolver++", "solver_order": 2, **changes}
        return DPMSolverMultistepScheduler.from_config(self.schedule(), **settings)

    def with_kernels(self, unet: Any) -> Any:
        """The UNet with the chosen kind of attention."""
        unet.set_attn_processor(AttnProcessor() if self.attention == "plain" else AttnProcessor2_0())
        return unet

    def tokenizer(self) -> CLIPTokenizer:
        """CLIP's tokenizer."""
        return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_length(self) -> int:
        """CLIP's positions, 77 if the config does not say."""
        return int(self.config("text_encoder").get("max_position_embeddings", 77))

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w): every frame is kept."""
        config = self.config("vae")
        reduction = 2 ** (len(config["block_out_channels"]) - 1)
        check_size(size, reduction)
        return int(config["latent_channels"]), frames, size // reduction, size // reduction

    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """Every down, mid and up block."""
        return (*denoiser.down_blocks, denoiser.mid_block, *denoiser.up_blocks)

    def save(self, folder: Path, *, denoiser: Any, text: TextEncoder) -> None:
        """Write a folder that the family's pipeline opens, with the solver that `generate` uses."""
        parts = {"vae": self.autoencoder().module, "text_encoder": text.network, "unet": denoiser.float()}
        save_clip_pipeline(self.pipeline, folder, tokenizer=text.tokenizer, scheduler=self.solver(), **parts)


def save_clip_pipeline(kind: Any, folder: Path, *, tokenizer: CLIPTokenizer, **parts: Any) -> None:
    """Write a pipeline's parts as published: safetensors, the tokenizer's `vocab.json` and `merges.txt`."""
    with quiet_loading():
        pipeline = kind(tokenizer=tokenizer, **parts)
    save_parts(pipeline, folder)
    save_clip_text(folder, tokenizer)


def scheduler() -> DDIMScheduler:
    """The published models' schedule: 1,000 steps, predicting the noise."""
    betas: Any = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    return DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
