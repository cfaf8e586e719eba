"""Videos from noise: DPM-Solver++ with classifier-free guidance, a batch at a time.

Axes: B videos, C latent or colour channels, F frames, H and W, L text positions, D text width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet3DConditionModel
from einops import rearrange
from torch import Tensor
from torch.nn import Module

from vmc.errors import VmcError

DECODE_FRAMES = 64
"""Frames that are decoded at a time where nobody says otherwise."""
TILE = 32
"""px: the side of a tile is a multiple of it, since a quarter of a tile overlaps and a latent stands for 8 px."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How videos are drawn.

    Args:
        steps: of the solver; the release uses 25 while training, 50 otherwise.
        guidance: scale of classifier-free guidance; the release uses 9. At 1 the empty prompt is not evaluated.
    """

    steps: int = 25
    guidance: float = 9.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise VmcError(f"sampler.steps is {self.steps}; it must be at least 1")
        if self.guidance < 1:
            raise VmcError(f"sampler.guidance is {self.guidance}; it must be at least 1 (no guidance)")

    @torch.no_grad()
    def __call__(
        self,
        unet: UNet3DConditionModel,
        solver: DPMSolverMultistepScheduler,
        *,
        noise_BCFHW: Tensor,
        text_BLD: Tensor,
        empty_LD: Tensor,
        on_step: Callable[[], Any] = lambda: None,
    ) -> Tensor:
        """latents_BCFHW from noise; the guided and the unguided half share one forward pass."""
        guided = self.guidance > 1
        if guided:
            text_BLD = torch.cat([empty_LD.expand_as(text_BLD), text_BLD])
        solver.set_timesteps(self.steps, device=noise_BCFHW.device)
        latents_BCFHW = noise_BCFHW * solver.init_noise_sigma
        for timestep in solver.timesteps:
            input_BCFHW = torch.cat([latents_BCFHW] * 2) if guided else latents_BCFHW
            prediction = unet(
                solver.scale_model_input(input_BCFHW, timestep), timestep, encoder_hidden_states=text_BLD
            ).sample.float()
            if guided:
                empty, prompted = prediction.chunk(2)
                prediction = empty + self.guidance * (prompted - empty)
            latents_BCFHW = solver.step(prediction, timestep, latents_BCFHW).prev_sample
            on_step()
        return latents_BCFHW


def initial_noise(seeds: Sequence[int], shape_CFHW: Sequence[int]) -> Tensor:
    """noise_BCFHW: each video's from its own seed, as diffusers draws it with a CPU generator of that seed."""
    return torch.stack(
        [torch.randn(tuple(shape_CFHW), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


@torch.no_grad()
def decode(
    vae: AutoencoderKL, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None
) -> Tensor:
    """frames_BFCHW, uint8 on the CPU. Frames are decoded in chunks, and where asked for in tiles: less memory.

    Args:
        vae: the autoencoder.
        latents_BCFHW: scaled as the UNet's.
        frames_at_once: of a chunk.
        tile: px, the side of the tiles; None decodes whole frames.
    """
    latents_NCHW = rearrange(latents_BCFHW, "b c f h w -> (b f) c h w") / vae.config.scaling_factor
    latents_NCHW = latents_NCHW.to(vae.device, vae.dtype)
    with _in_tiles(vae, tile):
        chunks = [_to_uint8(vae.decode(chunk).sample).cpu() for chunk in latents_NCHW.split(frames_at_once)]
    return rearrange(torch.cat(chunks), "(b f) c h w -> b f c h w", b=len(latents_BCFHW))


def check_tile(tile: int | None) -> None:
    """Refuse a side that cannot be a tile's.

    Raises:
        VmcError: it is no multiple of `TILE`.
    """
    if tile is not None and (tile < TILE or tile % TILE):
        raise VmcError(
            f"trainer.decode_tile is {tile}; it must be a multiple of {TILE} px such as 256, or null for whole frames"
        )


@contextmanager
def _in_tiles(vae: AutoencoderKL, tile: int | None) -> Iterator[None]:
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


@contextmanager
def lent(module: Module, device: torch.device) -> Iterator[None]:
    """A network on `device` for the length of a block, and back where it was; nothing where it is there already."""
    before = next(module.parameters()).device
    if before == device:
        yield
        return
    module.to(device)
    try:
        yield
    finally:
        module.to(before)


def _to_uint8(image_NCHW: Tensor) -> Tensor:
    """From -1..1 to 0..255; what is not a number becomes black, so that a diverged model still gives a file."""
    return ((image_NCHW.float().nan_to_num(-1.0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def posterior_moments(vae: AutoencoderKL, frames_FCHW: Tensor, *, frames_at_once: int = 16) -> Tensor:
    """moments_MCFHW of uint8 frames: M = 2, the posterior's mean and deviation, scaled as the UNet's latents are."""
    pixels_FCHW = frames_FCHW.to(vae.device, torch.float32) / 127.5 - 1
    chunks = [vae.encode(chunk.to(vae.dtype)).latent_dist for chunk in pixels_FCHW.split(frames_at_once)]
    moments_MFCHW = torch.stack(
        [torch.cat([chunk.mean for chunk in chunks]), torch.cat([chunk.std for chunk in chunks])]
    )
    return rearrange(moments_MFCHW.float().cpu() * vae.config.scaling_factor, "m f c h w -> m c f h w").contiguous()


def sample_posterior(moments_MCFHW: Tensor, noise_CFHW: Tensor) -> Tensor:
    """latents_CFHW = mean + deviation * noise."""
    return moments_MCFHW[0] + moments_MCFHW[1] * noise_CFHW
