"""The sizes of a text-to-video pipeline's networks without its files: names, shapes and counts of its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import torch

from vmc.models.unet3d import UNet3D

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Name of a tensor in a weight file -> its shape."""
DTYPE = torch.float16
"""Of the weights in the published folders."""


@dataclass(frozen=True, kw_only=True)
class Sizes(UNet3D):
    """A model of which the configs alone are there, one for each part that has weights."""

    path: str | Path = ""
    configs: Mapping[str, Mapping[str, Any]]

    def config(self, part: str) -> dict[str, Any]:
        """The config of a part."""
        return dict(self.configs[part])


ZEROSCOPE = Sizes(
    configs={
        "unet": {
            **{"sample_size": 32, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2},
            **{"cross_attention_dim": 1024, "attention_head_dim": 64},
        },
        "vae": {
            **{"sample_size": 512, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
            **{"latent_channels": 4, "down_block_types": ("DownEncoderBlock2D",) * 4},
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        },
        "text_encoder": {
            **{"vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23},
            **{"num_attention_heads": 16, "max_position_embeddings": 77, "hidden_act": "gelu"},
            **{"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407},
        },
    }
)
"""`cerspense/zeroscope_v2_576w`, as its configs give them; `damo-vilab/text-to-video-ms-1.7b` has the same."""


def count(shapes: Shapes) -> int:
    """Parameters in all."""
    return sum(prod(shape) for shape in shapes.values())
