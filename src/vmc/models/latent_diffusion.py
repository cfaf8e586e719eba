"""What families on Stable Diffusion's parts share (Rombach et al., 2022): CLIP's text encoder, an image autoencoder and
a variance-preserving process.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from transformers import CLIPTokenizer

from vmc.diffusion.process import Solver, VariancePreserving
from vmc.models.base import Groups, VideoModel
from vmc.models.image_autoencoder import ImageAutoencoder, image_latent_shape
from vmc.models.text import TextEncoder
from vmc.models.token import MotionToken

# Temporal layers have an attn2 of their own, which attends to frames and not to text: the match on the whole path
# segment `attentions` leaves out `temp_attentions` and `motion_modules`.
SPATIAL_KV = re.compile(r"(^|\.)attentions\.\d+\.transformer_blocks\.\d+\.attn2\.to_[kv]\.weight$")


def unet_groups(is_temporal: Callable[[str], bool]) -> Groups:
    """Groups of a UNet whose temporal layers stand between those of an image model (paper, Sec. 3.2, Table 2a, 2b).

        temporal     what mixes frames
        spatial_kv   keys and values of the spatial cross-attention: what the text says about a frame
        spatial      everything that is not temporal
        all          everything

    Args:
        is_temporal: whether the parameter of a name belongs to a temporal layer.
    """
    return {
        "temporal": is_temporal,
        "spatial_kv": lambda name: SPATIAL_KV.search(name) is not None,
        "spatial": lambda name: not is_temporal(name),
        "all": lambda name: True,
    }


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


class LatentDiffusion(VideoModel):
    """A UNet in the layout of latent diffusion; a family adds the UNet, its groups and its pipeline's class."""

    parts: ClassVar[Mapping[str, str]] = {
        "unet": "config.json",
        "vae": "config.json",
        "text_encoder": "config.json",
        "tokenizer": "tokenizer_config.json",
        "scheduler": "scheduler_config.json",
    }
    roles: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "denoiser": ("unet",),
        "autoencoder": ("vae",),
        "text": ("text_encoder", "tokenizer"),
    }
    prefix: ClassVar[str] = "unet"

    @cached_property
    def process(self) -> VariancePreserving:
        """Betas and prediction type of the schedule; DPM-Solver++ (Lu et al., 2022), multistep, on them."""
        return forward_process(DDIMScheduler.from_config(self.schedule()), make_solver=self.solver)

    def schedule(self) -> dict[str, Any]:
        """The noise schedule that the UNet was trained with, as a scheduler's config: the folder's own."""
        return self.config("scheduler")

    def solver(self, **changes: Any) -> Solver:
        """DPM-Solver++ of the second order on the model's own noise schedule."""
        settings = {"algorithm_type": "dpmsolver++", "solver_order": 2, **changes}
        return DPMSolverMultistepScheduler.from_config(self.schedule(), **settings)

    def with_attention(self, unet: Any) -> Any:
        """The UNet, with the kind of attention that was chosen."""
        unet.set_attn_processor(AttnProcessor() if self.attention == "plain" else AttnProcessor2_0())
        return unet

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

    def mismatch(self) -> str | None:
        """Text features must be as wide as the UNet takes them."""
        given, taken = self.config("text_encoder")["hidden_size"], self.config("unet")["cross_attention_dim"]
        return f"has text features of width {given}, but the UNet takes {taken}" if given != taken else None
