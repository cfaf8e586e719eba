"""The three networks of the pipeline before they have learned anything, and their tokenizer.

They are the blank pipeline's, but for eight latent channels in place of four: four blur fingers.
"""

from functools import cache
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.mini.makers import blank
from vmc.models.text import POSITIONS, clip_tokenizer
from vmc.utils.randomness import derive_seed

LATENT_CHANNELS = 8
VAE_CHANNELS = (16, 32, 64, 64)
FIRST_LOG_VARIANCE = -5.0
"""Of the posterior before any training: noise as large as the latents would hide them."""


def make_vae(seed: int) -> AutoencoderKL:
    """The autoencoder with random weights of that seed: 64 px to 8x8 latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "vae"))
        vae = AutoencoderKL.from_config(_vae_config())
    torch.nn.init.constant_(vae.quant_conv.bias[LATENT_CHANNELS:], FIRST_LOG_VARIANCE)
    return vae


def make_unet(seed: int) -> UNet3DConditionModel:
    """The UNet with random weights of that seed, in eval mode: its temporal layers' dropout would be live else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "unet"))
        return UNet3DConditionModel.from_config(_unet_config()).eval()


def make_text_encoder(seed: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder with random weights of that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "text encoder"))
        return blank.text_encoder(tokenizer).eval()


@cache
def make_tokenizer() -> CLIPTokenizer:
    """CLIP's own."""
    return clip_tokenizer()


def describe() -> dict[str, Any]:
    """The architecture, as far as it decides which weights fit."""
    return {"vae": _vae_config(), "unet": _unet_config(), "text": (blank.TEXT_WIDTH, POSITIONS)}


def _vae_config() -> dict[str, Any]:
    return {**_plain(blank.vae()), "latent_channels": LATENT_CHANNELS, "block_out_channels": VAE_CHANNELS}


def _unet_config() -> dict[str, Any]:
    return {**_plain(blank.unet()), "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS}


def _plain(network: Any) -> dict[str, Any]:
    """A network's settings without diffusers' own notes, among them a list of settings to be ignored."""
    return {name: value for name, value in network.config.items() if not name.startswith("_")}
