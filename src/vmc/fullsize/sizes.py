"""The sizes of a text-to-video pipeline's networks, built without storage: names, shapes and counts of its tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from torch.nn import Module
from transformers import CLIPTextConfig, CLIPTextModel

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Name of a tensor in a weight file -> its shape."""
DTYPE = torch.float16
"""Of the weights in the published folders."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Arguments of the three networks' classes.

    Args:
        unet: of `UNet3DConditionModel`.
        vae: of `AutoencoderKL`.
        text_encoder: of `CLIPTextConfig`.
    """

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text_encoder: Mapping[str, Any]

    def networks(self) -> dict[str, Module]:
        """The networks by the names of their parts, on the meta device: they take no memory."""
        with torch.device("meta"):
            text = CLIPTextModel(CLIPTextConfig(**self.text_encoder, dtype=str(DTYPE).removeprefix("torch.")))
            return {
                "unet": UNet3DConditionModel(**self.unet),
                "text_encoder": text,
                "vae": AutoencoderKL(**self.vae),
            }

    def describe(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


ZEROSCOPE = Sizes(
    unet={
        "sample_size": 32,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": 64,
    },
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "latent_channels": 4,
        "layers_per_block": 2,
        "sample_size": 512,
    },
    text_encoder={
        "vocab_size": 49408,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "max_position_embeddings": 77,
        "hidden_act": "gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 49407,
    },
)
"""`cerspense/zeroscope_v2_576w`, as its configs give them."""


def shapes_of(network: Module, *, prefix: str = "") -> Shapes:
    """The tensors of a network's file."""
    return {prefix + name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def count(shapes: Shapes) -> int:
    """Parameters in all."""
    return sum(prod(shape) for shape in shapes.values())
