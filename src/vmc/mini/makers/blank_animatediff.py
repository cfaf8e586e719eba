"""A small Stable Diffusion pipeline and a motion adapter for it, with random weights, in the published layouts.

`python -m vmc.mini blank --family animatediff --output DIR` writes the pipeline to DIR (`model.path`) and the adapter
to DIR/motion_adapter (`model.motion_adapter`). Together a UNet of 1.2 M parameters; autoencoder, text encoder and
tokenizer are those of `vmc.mini.makers.blank`: 64 px frames, latents 8x8x4, text width 64.
"""

from pathlib import Path

import torch
from diffusers import MotionAdapter, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from vmc.mini.makers import blank
from vmc.models.pretrained_weights import quiet_loading
from vmc.models.text import clip_tokenizer, save_clip_text

CHANNELS = (32, 64)
GROUPS = 16
HEADS = 4
POSITIONS = 16
"""Frames that the motion modules have positions for."""


def unet() -> UNet2DConditionModel:
    """Two levels, of which the lower one has no attention, as the lowest of Stable Diffusion 1.5."""
    return UNet2DConditionModel(
        sample_size=blank.SIZE // 8,
        block_out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=blank.TEXT_WIDTH,
        attention_head_dim=HEADS,  # of heads, as diffusers reads it there
        norm_num_groups=GROUPS,
    )


def motion_adapter() -> MotionAdapter:
    """A motion module after each layer, and one in the middle, as version 1.5-2 has."""
    return MotionAdapter(
        block_out_channels=CHANNELS,
        motion_layers_per_block=1,
        motion_num_attention_heads=HEADS,
        motion_norm_num_groups=GROUPS,
        motion_max_seq_length=POSITIONS,
    )


def scheduler() -> PNDMScheduler:
    """That of Stable Diffusion 1.5; motion adapters are trained with other betas."""
    return PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def write(folder: Path) -> None:
    """Write both, their weights drawn from the global generator."""
    tokenizer = clip_tokenizer()
    with quiet_loading():
        pipeline = StableDiffusionPipeline(
            vae=blank.vae(),
            text_encoder=blank.text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=unet(),
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
        motion_adapter().save_pretrained(folder / "motion_adapter", safe_serialization=True)
    save_clip_text(folder, tokenizer)


def summary() -> str:
    """What it is, for the command."""
    with torch.device("meta"):
        counts = [sum(tensor.numel() for tensor in network.parameters()) for network in (unet(), motion_adapter())]
    return f"a blank Stable Diffusion pipeline, UNet of {counts[0]:,} parameters, and a motion adapter of {counts[1]:,}"
