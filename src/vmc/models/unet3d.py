"""ModelScope's family: a 3D UNet whose temporal layers stand between those of Stable Diffusion 2 (ZeroScope,
ModelScope text-to-video, the miniature).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, TextToVideoSDPipeline, UNet3DConditionModel
from torch import Tensor
from torch.nn import Module
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.conditioning import Conditioning
from vmc.models.latent_diffusion import LatentDiffusion, unet_groups
from vmc.models.loading import quiet_loading
from vmc.models.text import TextEncoder, save_clip_text

TEMPORAL_MODULES = frozenset({"transformer_in", "temp_convs", "temp_attentions"})


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a layer that mixes frames."""
    return not TEMPORAL_MODULES.isdisjoint(name.split("."))


class UNet3D(LatentDiffusion):
    """`UNet3DConditionModel` with CLIP's text encoder and an image autoencoder, in the layout of
    `TextToVideoSDPipeline`; its temporal layers are `transformer_in`, `temp_convs` and `temp_attentions`.
    """

    family: ClassVar[str] = "unet3d"
    pipelines: ClassVar[tuple[str, ...]] = ("TextToVideoSDPipeline", "VideoToVideoSDPipeline")
    networks: ClassVar[Mapping[str, Any]] = {
        "unet": UNet3DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
    }
    groups = unet_groups(is_temporal)

    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> UNet3DConditionModel:
        """The UNet. `TemporalConvLayer` has a dropout of 0.1 that would be live in train mode."""
        return self.with_attention(self.open("unet", dtype))

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet."""
        return denoiser(noisy_BCFHW, timesteps, encoder_hidden_states=text.embeddings_BLD).sample

    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """`transformer_in` and every down, mid and up block."""
        return blocks(denoiser)

    def save(self, folder: Path, *, denoiser: Any, text: TextEncoder) -> None:
        """A folder that `TextToVideoSDPipeline` opens, with the solver that `generate` uses."""
        save_pipeline(
            folder,
            vae=self.autoencoder().module,
            text_encoder=text.network,
            tokenizer=text.tokenizer,
            unet=denoiser.float(),
            scheduler=self.solver(),
        )


def blocks(unet: Any) -> tuple[Any, ...]:
    """Of a `UNet3DConditionModel`: `transformer_in` and every down, mid and up block."""
    return (unet.transformer_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks)


def save_pipeline(
    folder: Path,
    *,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet3DConditionModel,
    scheduler: Any,
) -> None:
    """Write the parts as published pipelines are: safetensors, `vocab.json` and `merges.txt` of the tokenizer."""
    with quiet_loading():  # diffusers warns that the pipeline class gets no further features
        pipeline = TextToVideoSDPipeline(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
    save_clip_text(folder, tokenizer)
