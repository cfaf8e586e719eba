"""The image autoencoder of latent diffusion (Rombach et al., 2022), which sees a video as so many pictures.

Axes: B videos, C latent or colour channels, F frames, N = B x F images, H and W, M = 2 posterior moments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from vmc.models.base import DECODE_FRAMES, Autoencoder, check_size

ENCODE_FRAMES = 16
"""Frames that are encoded at a time."""


class ImageAutoencoder(Autoencoder):
    """An `AutoencoderKL` with one scaling factor for all channels, frame by frame."""

    @torch.no_grad()
    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """moments_MCFHW of uint8 frames: the posterior's mean and deviation, scaled as the denoiser's latents are."""
        vae = self.module
        pixels_FCHW = frames_FCHW.to(vae.device, torch.float32) / 127.5 - 1
        chunks = [vae.encode(chunk.to(vae.dtype)).latent_dist for chunk in pixels_FCHW.split(ENCODE_FRAMES)]
        moments_MFCHW = torch.stack(
            [torch.cat([chunk.mean for chunk in chunks]), torch.cat([chunk.std for chunk in chunks])]
        )
        return rearrange(moments_MFCHW.float().cpu() * vae.config.scaling_factor, "m f c h w -> m c f h w").contiguous()

    @torch.no_grad()
    def decode(self, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None) -> Tensor:
        """frames_BFCHW, uint8 on the CPU. Frames are decoded in chunks, and where asked for in tiles: less memory."""
        vae = self.module
        latents_NCHW = rearrange(latents_BCFHW, "b c f h w -> (b f) c h w") / vae.config.scaling_factor
        latents_NCHW = latents_NCHW.to(vae.device, vae.dtype)
        with _in_tiles(vae, tile):
            chunks = [to_uint8(vae.decode(chunk).sample).cpu() for chunk in latents_NCHW.split(frames_at_once)]
        return rearrange(torch.cat(chunks), "(b f) c h w -> b f c h w", b=len(latents_BCFHW))


@contextmanager
def _in_tiles(vae: Any, tile: int | None) -> Iterator[None]:
    """Only while decoding: diffusers would encode in tiles too, and a cached posterior must not depend on it."""
    if tile is None:
        yield
        return
    vae.enable_tiling()
    vae.tile_sample_min_size = tile
    vae.tile_latent_min_size = tile // 2 ** (len(vae.config.block_out_channels) - 1)
    try:
        yield
    finally:
        vae.disable_tiling()


def to_uint8(image_NCHW: Tensor) -> Tensor:
    """From -1..1 to 0..255; what is not a number becomes black, so that a diverged model still gives a file."""
    return ((image_NCHW.float().nan_to_num(-1.0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def image_latent_shape(config: dict[str, Any], *, frames: int, size: int) -> tuple[int, int, int, int]:
    """(C, F, h, w) of the latents of `frames` square frames of `size` px.

    Args:
        config: of an `AutoencoderKL`.
        frames: of the video.
        size: px.

    Raises:
        VmcError: the size is not divisible by the autoencoder's reduction.
    """
    reduction = 2 ** (len(config["block_out_channels"]) - 1)
    check_size(size, reduction)
    return int(config["latent_channels"]), frames, size // reduction, size // reduction
