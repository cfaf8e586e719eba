"""Tune-A-Video's family (Wu et al., 2022, arXiv 2212.11565, Sec. 4.1): an image model inflated to videos.

Each frame passes through an image model, whose self-attention takes keys and values from the first and the previous
frame (sparse-causal attention). A new self-attention along time follows each transformer block. Its output projection
starts at zero, so at first frames interact in the sparse-causal attention alone.

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
from vmc.models.zeroscope import UNet3D, is_temporal
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

NEW = "temporal"
"""The name of the new self-attention in a transformer block."""
QUERIES = (".attn1.to_q.weight", ".attn2.to_q.weight")
KINDS = {kind.__name__: kind for kind in (UNet3DConditionModel, UNet2DConditionModel)}
SPACING = {"timestep_spacing": "leading", "clip_sample": False}
"""Spacing of the times of DDIM and of its inversion, which must be the same; Stable Diffusion's own."""
SHARED = (
    *("sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block", "downsample_padding"),
    *("mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim"),
)
"""What the configs of a 3D UNet and of its image model have in common."""


@dataclass(frozen=True, kw_only=True)
class TuneAVideo(LatentDiffusion):
    """An inflated image model: the UNet of Stable Diffusion, or the spatial layers of a 3D UNet.

    Its group `tune_a_video` contains what the paper trains: the queries of both attentions of the image model, and the
    new attention.

    Args:
        image_layers: with a 3D UNet, `spatial` removes its temporal layers; `all` keeps them, applied to each frame as
            a video of one frame, for a model that generates nothing without them.
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

    @property
    def settings(self) -> dict[str, str]:
        """Which layers of a 3D UNet are kept."""
        return {"image_layers": self.image_layers}

    def check_folder(self, folder: Path) -> None:
        """Raise a VmcError for a UNet that is neither a 3D UNet nor one for images."""
        if (name := self.read_config(folder / "unet" / "config.json").get("_class_name")) not in KINDS:
            told = f"whose UNet is of the class {name}; Tune-A-Video inflates a {' or a '.join(KINDS)}"
            raise VmcError(f"model.path is {self.path}, {told}")

    def network(self, part: str) -> Any:
        """The class of a part, depending on the folder's UNet."""
        return KINDS[self.config("unet")["_class_name"]] if part == "unet" else super().network(part)

    def solver(self, **changes: Any) -> Solver:
        """DDIM (Song et al., 2021), which adds no noise, so that it can be inverted."""
        return DDIMScheduler.from_config(self.schedule(), **{**SPACING, **changes})

    def inverse_solver(self) -> Solver:
        """The same steps in the other direction, for predictions of noise."""
        return DDIMInverseScheduler.from_config(self.schedule(), **SPACING, prediction_type="epsilon")

    def assemble(self, load: Callable[[str], Any]) -> Any:
        """The inflated image model; the new attention starts with the same weights in every run."""
        unet = load("unet")
        if self.image_layers == "spatial" and isinstance(unet, UNet3DConditionModel):
            unet = spatial_layers(unet)
        return self.with_kernels(insert_attention(unet))

    def with_kernels(self, unet: Any) -> Any:
        """The UNet with the chosen kind of attention, sparse-causal in place of self-attention."""
        super().with_kernels(unet)
        blocks = set(transformer_blocks(unet))
        for name, module in unet.named_modules():
            if isinstance(module, Attention) and not is_new(name):
                block, _, kind = name.rpartition(".")
                module.set_processor(FrameProcessor(module.processor, causal=kind == "attn1" and block in blocks))
        return unet

    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of the UNet, which takes each frame as an image with the video's text."""
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
        """Raise a VmcError, because diffusers has no class for an inflated UNet."""
        told = "whose network no pipeline of diffusers can open; leave export out, this project reads the run's weights"
        raise VmcError(f"the run is of the family tune_a_video, {told}")

    def save(self, folder: Path, *, denoiser: Any, text: TextEncoder) -> None:
        """Raise the VmcError of `check_export`."""
        self.check_export()


def is_new(name: str) -> bool:
    """Whether the parameter or module of a name belongs to the new attention."""
    return NEW in name.split(".")


def transformer_blocks(unet: Module) -> dict[str, BasicTransformerBlock]:
    """The transformer blocks of the image model, by name."""
    found = {name: module for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)}
    return {name: block for name, block in found.items() if not is_temporal(name)}


def spatial_layers(unet: UNet3DConditionModel) -> UNet2DConditionModel:
    """A 3D UNet without its temporal layers, as an image model; no tensor is copied."""
    config = unet.config
    settings = {name: config[name] for name in SHARED}
    for name in ("down_block_types", "up_block_types"):
        settings[name] = [kind.replace("3D", "2D") for kind in config[name]]
    with torch.device("meta"):
        image_unet = UNet2DConditionModel(
            **settings,
            # In a 3D UNet this is the width of a head, in one for images the number of heads.
            attention_head_dim=[width // config["attention_head_dim"] for width in config["block_out_channels"]],
            use_linear_projection=True,
        )
    kept = {name: tensor for name, tensor in unet.state_dict().items() if not is_temporal(name)}
    image_unet.load_state_dict(kept, assign=True)
    return image_unet


class TemporalAttention(Module):
    """Residual self-attention along time, separately for each place; `width` is D."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width, elementwise_affine=False)
        self.attn = Attention(query_dim=width, heads=heads, dim_head=width // heads)

    def forward(self, features_NPD: Tensor, frames: int) -> Tensor:
        """features_NPD plus the output of the attention."""
        along_time = rearrange(features_NPD, "(b f) p d -> (b p) f d", f=frames)
        added = self.attn(self.norm(along_time))
        return features_NPD + rearrange(added, "(b p) f d -> (b f) p d", p=features_NPD.shape[1])


def insert_attention(unet: Any) -> Any:
    """Add a `TemporalAttention` after every transformer block; its output is zero at first."""
    for name, block in transformer_blocks(unet).items():
        like = block.attn1.to_q.weight
        with torch.random.fork_rng(devices=[]), torch.device(like.device):  # its random weights are replaced below
            new = TemporalAttention(block.dim, block.num_attention_heads).to(like.dtype)
        init.zeros_(new.attn.to_out[0].weight)
        init.zeros_(new.attn.to_out[0].bias)
        if not like.is_meta:
            for projection in ("to_q", "to_k", "to_v"):
                weight, draw = getattr(new.attn, projection).weight, generator(0, f"{name}.{NEW}", projection)
                init.kaiming_uniform_(weight, a=math.sqrt(5), generator=draw)  # as PyTorch initializes layers
        block.add_module(NEW, new)
        block.register_forward_hook(_attend_along_time, with_kwargs=True)
    return unet


def _attend_along_time(block: Module, args: Any, named: Mapping[str, Any], features_NPD: Tensor) -> Tensor:
    return block.get_submodule(NEW)(features_NPD, named["cross_attention_kwargs"]["frames"])


class FrameProcessor:
    """Attention of frames as images, computed by `processor`. With `causal`, keys and values are those of the first and
    the previous frame; else each frame attends to itself or the text.
    """

    def __init__(self, processor: Any, *, causal: bool) -> None:
        self.processor, self.causal = processor, causal

    def __call__(
        self, attn: Attention, hidden_states: Tensor, *, encoder_hidden_states: Any, attention_mask: Any, frames: int
    ) -> Tensor:
        """As diffusers' processors, with the number of `frames` of a video."""
        if self.causal:
            encoder_hidden_states = first_and_previous(hidden_states, frames)
        return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask)


def first_and_previous(features_NPD: Tensor, frames: int) -> Tensor:
    """The features of the video's first frame and of the previous frame, for each frame, concatenated along P."""
    features_BFPD = rearrange(features_NPD, "(b f) p d -> b f p d", f=frames)
    first = repeat(features_BFPD[:, 0], "b p d -> b f p d", f=frames)
    previous = torch.cat([features_BFPD[:, :1], features_BFPD[:, :-1]], dim=1)  # the first is before itself
    return rearrange([first, previous], "two b f p d -> (b f) (two p) d")
