"""ModelScope's family: a 3D UNet whose temporal layers stand between those of Stable Diffusion 2 (ZeroScope,
ModelScope text-to-video, the miniature).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    TextToVideoSDPipeline,
    UNet3DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn import Module
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.diffusion.conditioning import Conditioning
from vmc.diffusion.process import Solver, VariancePreserving
from vmc.models.base import Groups, VideoModel
from vmc.models.clip_text import save_clip_text
from vmc.models.image_autoencoder import ImageAutoencoder, image_latent_shape
from vmc.models.loading import quiet_loading
from vmc.models.text import TextEncoder
from vmc.models.token import MotionToken

TEMPORAL_MODULES = frozenset({"transformer_in", "temp_convs", "temp_attentions"})

# `temp_attentions` has an attn2 of its own, which attends to frames and not to text: the match on the whole path
# segment `attentions` leaves it out.
SPATIAL_KV = re.compile(r"(^|\.)attentions\.\d+\.transformer_blocks\.\d+\.attn2\.to_[kv]\.weight$")


def is_temporal(name: str) -> bool:
    """Whether the parameter belongs to a layer that mixes frames."""
    return not TEMPORAL_MODULES.isdisjoint(name.split("."))


class UNet3D(VideoModel):
    """`UNet3DConditionModel` with CLIP's text encoder and an image autoencoder, in the layout of
    `TextToVideoSDPipeline`.

    Its groups (paper, Sec. 3.2 and Table 2a, 2b):

        temporal     transformer_in, temp_convs, temp_attentions: what mixes frames
        spatial_kv   keys and values of the spatial cross-attention: what the text says about a frame
        spatial      everything that is not temporal
        all          everything
    """

    family: ClassVar[str] = "unet3d"
    pipelines: ClassVar[tuple[str, ...]] = ("TextToVideoSDPipeline", "VideoToVideoSDPipeline")
    parts: ClassVar[Mapping[str, str]] = {
        "unet": "config.json",
        "vae": "config.json",
        "text_encoder": "config.json",
        "tokenizer": "tokenizer_config.json",
        "scheduler": "scheduler_config.json",
    }
    networks: ClassVar[Mapping[str, Any]] = {
        "unet": UNet3DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
    }
    roles: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "denoiser": ("unet",),
        "autoencoder": ("vae",),
        "text": ("text_encoder", "tokenizer"),
    }
    prefix: ClassVar[str] = "unet"
    groups: ClassVar[Groups] = {
        "temporal": is_temporal,
        "spatial_kv": lambda name: SPATIAL_KV.search(name) is not None,
        "spatial": lambda name: not is_temporal(name),
        "all": lambda name: True,
    }

    @cached_property
    def process(self) -> VariancePreserving:
        """Betas and prediction type of the folder's scheduler; DPM-Solver++ (Lu et al., 2022), multistep, on them."""
        return forward_process(DDIMScheduler.from_config(self.config("scheduler")), make_solver=self.solver)

    def solver(self, **changes: Any) -> Solver:
        """DPM-Solver++ of the second order on the model's own noise schedule."""
        settings = {"algorithm_type": "dpmsolver++", "solver_order": 2, **changes}
        return DPMSolverMultistepScheduler.from_config(self.config("scheduler"), **settings)

    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> UNet3DConditionModel:
        """The UNet. `TemporalConvLayer` has a dropout of 0.1 that would be live in train mode."""
        unet = self.open("unet", dtype)
        unet.set_attn_processor(AttnProcessor() if self.attention == "plain" else AttnProcessor2_0())
        return unet

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet."""
        return denoiser(noisy_BCFHW, timesteps, encoder_hidden_states=text.embeddings_BLD).sample

    def text_encoder(self, token: MotionToken | None = None, *, dtype: torch.dtype = torch.float32) -> TextEncoder:
        """CLIP's text encoder; its last hidden state is what the UNet reads."""
        network = self.open("text_encoder", dtype)
        return TextEncoder.load(self.tokenizer(), network, token, length=self.text_length())

    def tokenizer(self) -> CLIPTokenizer:
        """CLIP's tokenizer."""
        return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_length(self) -> int:
        """CLIP's positions, 77 where the config does not say."""
        return int(self.config("text_encoder").get("max_position_embeddings", 77))

    def autoencoder(self, *, dtype: torch.dtype = torch.float32) -> ImageAutoencoder:
        """Frame by frame."""
        return ImageAutoencoder(self.open("vae", dtype))

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w): every frame is kept."""
        return image_latent_shape(self.config("vae"), frames=frames, size=size)

    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """`transformer_in` and every down, mid and up block."""
        return blocks(denoiser)

    def mismatch(self) -> str | None:
        """Text features must be as wide as the UNet takes them."""
        given, taken = self.config("text_encoder")["hidden_size"], self.config("unet")["cross_attention_dim"]
        return f"has text features of width {given}, but the UNet takes {taken}" if given != taken else None

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


def forward_process(scheduler: Any, make_solver: Callable[[], Solver] | None = None) -> VariancePreserving:
    """The process of a diffusers scheduler, with the prediction type of its config.

    Args:
        scheduler: with `alphas_cumprod`.
        make_solver: gives a new solver; None for a process that only adds noise.
    """
    return VariancePreserving(
        signal_T=scheduler.alphas_cumprod.float(),
        prediction_type=scheduler.config["prediction_type"],
        make_solver=make_solver,
    )


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
