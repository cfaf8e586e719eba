"""Tune-A-Video's family (Wu et al., 2022, arXiv 2212.11565, Sec. 4.1): an image model inflated to videos.

Each frame goes through an image model. Its self-attention takes keys and values from the first and the previous frame
(sparse-causal attention), and after each transformer block stands a new self-attention along time, whose output
projection begins at zero. So at the beginning frames meet in the sparse-causal attention alone.

Axes: B videos, C channels, F frames, N = B x F images, H and W, P = H x W places, D width of the features.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import LayerNorm, Module, init

from vmc.diffusion.process import Solver
from vmc.diffusion.sampling import Conditioning
from vmc.models.latent_diffusion import LatentDiffusion
from vmc.models.text import TextEncoder
from vmc.models.unet3d import UNet3D, is_temporal
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

NEW = "temporal"
"""The name of the new self-attention within a transformer block."""
QUERIES = (".attn1.to_q.weight", ".attn2.to_q.weight")
KINDS = {kind.__name__: kind for kind in (UNet3DConditionModel, UNet2DConditionModel)}
SPACING = {"timestep_spacing": "leading", "clip_sample": False}
"""Of the times of DDIM and of its inversion, which must be the same; as Stable Diffusion's own."""
SHARED = (
    *("sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block", "downsample_padding"),
    *("mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim"),
)
"""What the configs of a 3D UNet and of its spatial layers alone have in common."""


@dataclass(frozen=True, kw_only=True)
class TuneAVideo(LatentDiffusion):
    """A UNet for images, inflated; of a 3D UNet its spatial layers, of Stable Diffusion all of it.

    Its group `tune_a_video` is what is trained there: queries of both attentions of the image model, and the new
    attention.

    Args:
        image_layers: of a 3D UNet, `spatial` leaves its temporal layers out; `all` keeps them, and they see each frame
            as a video of one frame, for a model that draws nothing without them.
    """

    image_layers: Literal["spatial", "all"] = "spatial"

    family: ClassVar[str] = "tune_a_video"
    pipelines: ClassVar[tuple[str, ...]] = (*UNet3D.pipelines, "StableDiffusionPipeline")
    of_another_family: ClassVar[bool] = True
    networks: ClassVar[Mapping[str, Any]] = {"unet": UNet2DConditionModel, **LatentDiffusion.networks}
    groups: ClassVar[Mapping[str, Callable[[str], bool]]] = {
        "tune_a_video": lambda name: is_new(name) or (name.endswith(QUERIES) and not is_temporal(name)),
        "all": lambda name: True,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_layers not in ("spatial", "all"):
            raise VmcError(f"model.image_layers is '{self.image_layers}'; it must be spatial or all")

    def check_folder(self, folder: Path) -> None:
        """Refuse a UNet that is neither a 3D one nor one for images."""
        if (name := self.read_config(folder / "unet" / "config.json").get("_class_name")) not in KINDS:
            told = f"whose UNet is of the class {name}; Tune-A-Video inflates a {' or a '.join(KINDS)}"
            raise VmcError(f"model.path is {self.path}, {told}")

    def network(self, part: str) -> Any:
        """The UNet's class, by what the folder is."""
        return KINDS[self.config("unet")["_class_name"]] if part == "unet" else super().network(part)

    def solver(self, **changes: Any) -> Solver:
        """DDIM (Song et al., 2021), which adds no noise, so that an inverted video comes back."""
        return DDIMScheduler.from_config(self.schedule(), **{**SPACING, **changes})

    def inverse_solver(self) -> Solver:
        """The same steps the other way round, of the noise that a prediction implies."""
        return DDIMInverseScheduler.from_config(self.schedule(), **SPACING, prediction_type="epsilon")

    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> Any:
        """The image model with what inflates it; the new attention begins at the same numbers in every run."""
        return self._inflate(self.open("unet", dtype)).requires_grad_(False).eval()

    def empty_denoiser(self) -> Any:
        """The same on the meta device."""
        return self._inflate(self.empty("unet"))

    def _inflate(self, unet: Any) -> Any:
        if self.image_layers == "spatial" and isinstance(unet, UNet3DConditionModel):
            unet = spatial_layers(unet)
        return self.with_kernels(insert_attention(unet))

    def with_kernels(self, unet: Any) -> Any:
        """The UNet with the kind of attention that was chosen, sparse-causal where a frame attends to itself."""
        super().with_kernels(unet)
        blocks = set(transformer_blocks(unet))
        for name, module in unet.named_modules():
            if isinstance(module, Attention) and not is_new(name):
                block, _, kind = name.rpartition(".")
                module.set_processor(FrameProcessor(module.processor, causal=kind == "attn1" and block in blocks))
        return unet

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet, of which each frame is an image with the video's text."""
        videos, _, frames, *_ = noisy_BCFHW.shape
        images = rearrange(noisy_BCFHW, "b c f h w -> (b f) c h w")
        if takes_videos := isinstance(denoiser, UNet3DConditionModel):
            images = images.unsqueeze(2)
        prediction = denoiser(
            images,
            timesteps.expand(videos).repeat_interleave(frames),
            encoder_hidden_states=text.embeddings_BLD.repeat_interleave(frames, dim=0),
            cross_attention_kwargs={"frames": frames},
        ).sample
        prediction_NCHW = prediction.squeeze(2) if takes_videos else prediction
        return rearrange(prediction_NCHW, "(b f) c h w -> b c f h w", f=frames)

    def check_export(self) -> None:
        """Refuse it: diffusers has no class for an inflated UNet."""
        told = "whose network no pipeline of diffusers can open; leave export out, this project reads the run's weights"
        raise VmcError(f"the run is of the family tune_a_video, {told}")

    def save(self, folder: Path, *, denoiser: Any, text: TextEncoder) -> None:
        """Refused."""
        self.check_export()


def is_new(name: str) -> bool:
    """Whether the parameter or module of a name belongs to the new attention."""
    return NEW in name.split(".")


def transformer_blocks(unet: Module) -> dict[str, BasicTransformerBlock]:
    """The blocks that work on one frame, by name."""
    found = {name: module for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)}
    return {name: block for name, block in found.items() if not is_temporal(name)}


def spatial_layers(unet: UNet3DConditionModel) -> UNet2DConditionModel:
    """The image model that is left of a 3D UNet without its temporal layers; no tensor is copied."""
    config = unet.config
    settings = {name: config[name] for name in SHARED}
    for name in ("down_block_types", "up_block_types"):
        settings[name] = [kind.replace("3D", "2D") for kind in config[name]]
    with torch.device("meta"):
        image_unet = UNet2DConditionModel(
            **settings,
            # What a 3D UNet calls so is a head's width, what one for images calls so is the number of heads.
            attention_head_dim=[width // config["attention_head_dim"] for width in config["block_out_channels"]],
            use_linear_projection=True,
        )
    kept = {name: tensor for name, tensor in unet.state_dict().items() if not is_temporal(name)}
    image_unet.load_state_dict(kept, assign=True)
    return image_unet


class TemporalAttention(Module):
    """Self-attention of each place along time, added to what it is given; `width` is D."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width, elementwise_affine=False)
        self.attn = Attention(query_dim=width, heads=heads, dim_head=width // heads)

    def forward(self, features_NPD: Tensor, frames: int) -> Tensor:
        """features_NPD with what the attention says added."""
        along_time = rearrange(features_NPD, "(b f) p d -> (b p) f d", f=frames)
        added = self.attn(self.norm(along_time))
        return features_NPD + rearrange(added, "(b p) f d -> (b f) p d", p=features_NPD.shape[1])


def insert_attention(unet: Any) -> Any:
    """Put a `TemporalAttention` behind every transformer block; what it adds is zero at the beginning."""
    for name, block in transformer_blocks(unet).items():
        like = block.attn1.to_q.weight
        with torch.random.fork_rng(devices=[]), torch.device(like.device):  # its own initial weights are replaced
            new = TemporalAttention(block.dim, block.num_attention_heads).to(like.dtype)
        init.zeros_(new.attn.to_out[0].weight)
        init.zeros_(new.attn.to_out[0].bias)
        if not like.is_meta:
            for projection in ("to_q", "to_k", "to_v"):
                weight, draw = getattr(new.attn, projection).weight, generator(0, f"{name}.{NEW}", projection)
                init.kaiming_uniform_(weight, a=math.sqrt(5), generator=draw)  # as PyTorch's layers begin
        block.add_module(NEW, new)
        block.register_forward_hook(_attend_along_time, with_kwargs=True)
    return unet


def _attend_along_time(block: Module, args: Any, named: Mapping[str, Any], features_NPD: Tensor) -> Tensor:
    return block.get_submodule(NEW)(features_NPD, named["cross_attention_kwargs"]["frames"])


class FrameProcessor:
    """Attention of images that are frames, which `processor` computes: with `causal`, keys and values are of the first
    and the previous frame, else each frame is alone.
    """

    def __init__(self, processor: Any, *, causal: bool) -> None:
        self.processor, self.causal = processor, causal

    def __call__(
        self, attn: Attention, hidden_states: Tensor, *, encoder_hidden_states: Any, attention_mask: Any, frames: int
    ) -> Tensor:
        """As diffusers' processors; `frames` are those of a video."""
        if self.causal:
            encoder_hidden_states = first_and_previous(hidden_states, frames)
        return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask)


def first_and_previous(features_NPD: Tensor, frames: int) -> Tensor:
    """Of each frame the features of its video's first frame and of the frame before it, beside each other along P."""
    features_BFPD = rearrange(features_NPD, "(b f) p d -> b f p d", f=frames)
    first = repeat(features_BFPD[:, 0], "b p d -> b f p d", f=frames)
    previous = torch.cat([features_BFPD[:, :1], features_BFPD[:, :-1]], dim=1)  # the first is before itself
    return rearrange([first, previous], "two b f p d -> (b f) (two p) d")
