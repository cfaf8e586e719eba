"""A pipeline's folder with random weights, of any size, in the layout of ZeroScope's: half precision, `.bin` or not."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from mmap import MAP_SHARED
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from diffusers import TextToVideoSDPipeline
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import set_default_mmap_options, skip_data
from tqdm import tqdm

from vmc.models.latent_diffusion import scheduler
from vmc.models.text import TEXT_PREFIX, clip_tokenizer
from vmc.models.unet3d import UNet3D
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder
from vmc.utils.randomness import generator

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Name of a tensor in a weight file -> its shape."""
DTYPE = torch.float16
"""Of the weights in the published folders."""
Format = Literal["bin", "safetensors"]
Drawn: TypeAlias = Iterable[tuple[str, Tensor]]
"""Tensors by name, each drawn when it is its turn."""
RECORD = "random.json"
"""In the folder: what its weights were drawn for."""
LAYOUT = 1  # raised when what is written changes, so that an earlier folder is not taken for it


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


def random_folder(folder: Path, sizes: Sizes, *, format: Format = "bin", seed: int = 0) -> bool:
    """Write the pipeline, or leave it where it is there already; whether it was written.

    Every tensor is drawn from (seed, part, name), so that both formats hold the same weights.

    Raises:
        VmcError: the folder holds something else.
    """
    record = json.loads(json.dumps({"layout": LAYOUT, "format": format, "seed": seed, "sizes": sizes.configs}))
    if folder.exists():
        if not (folder / RECORD).is_file() or json.loads((folder / RECORD).read_text()) != record:
            raise VmcError(
                f"{folder} holds something else than these random weights (--format {format}, seed {seed});"
                " remove it, or choose another --output"
            )
        return False
    with atomic_folder(folder) as temporary:
        _write_configs(temporary, sizes)
        for part, shapes in part_shapes(sizes).items():
            bar = tqdm(shapes.items(), desc=f"random {part}", unit="tensor", disable=None, leave=False)
            drawn = ((name, draw_tensor(name, shape, generator(seed, part, name))) for name, shape in bar)
            stem = "diffusion_pytorch_model"
            if part == "text_encoder":  # transformers' own names
                stem = "pytorch_model" if format == "bin" else "model"
            WRITERS[format](temporary / part / f"{stem}.{format}", shapes, drawn)
        (temporary / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return True


def part_shapes(sizes: Sizes) -> Mapping[str, Shapes]:
    """The tensors of each weight file; transformers leaves out the prefix that the text encoder's files have."""
    prefixes = {"unet": "", "text_encoder": TEXT_PREFIX, "vae": ""}
    return {
        part: {prefix + name: tuple(tensor.shape) for name, tensor in sizes.empty(part).state_dict().items()}
        for part, prefix in prefixes.items()
    }


def _write_configs(folder: Path, sizes: Sizes) -> None:
    parts: dict[str, Any] = {part: sizes.empty(part) for part in sizes.networks}
    pipeline = TextToVideoSDPipeline(**parts, scheduler=scheduler(), tokenizer=clip_tokenizer())
    pipeline.save_config(folder)
    for part in ("unet", "vae", "scheduler"):
        pipeline.components[part].save_config(folder / part)
    text_config = pipeline.text_encoder.config
    text_config.architectures, text_config.dtype = [type(pipeline.text_encoder).__name__], DTYPE
    text_config.save_pretrained(folder / "text_encoder")
    pipeline.tokenizer.save_pretrained(folder / "tokenizer")
    pipeline.tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))  # vocab.json, merges.txt


def write_bin(path: Path, shapes: Shapes, drawn: Drawn) -> None:
    """Write half-precision tensors with `torch.save`, their bytes one by one through a mapping of the file."""
    with skip_data():
        torch.save({name: torch.empty(shape, dtype=DTYPE) for name, shape in shapes.items()}, path)
    with set_default_mmap_options(MAP_SHARED):
        written = torch.load(path, mmap=True, weights_only=True)
    for name, tensor in drawn:
        written[name].copy_(tensor)


def write_safetensors(path: Path, shapes: Shapes, drawn: Drawn) -> None:
    """Write half-precision tensors; the library takes those of a file together."""
    save_file({name: tensor.to(DTYPE) for name, tensor in drawn}, path, {"format": "pt"})


WRITERS: dict[str, Callable[[Path, Shapes, Drawn], None]] = {"bin": write_bin, "safetensors": write_safetensors}


def draw_tensor(name: str, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """A tensor in float32 as PyTorch begins with it, on the scale that keeps a deep network's activations finite.

    Norms are 1, biases 0, embeddings normal with a deviation of 0.02, all else uniform within 1 / sqrt(inputs).
    """
    if len(shape) < 2:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    if "embeddings." in name:
        return torch.empty(shape).normal_(0.0, 0.02, generator=source)
    bound = prod(shape[1:]) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=source)
