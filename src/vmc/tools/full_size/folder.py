"""A pipeline's folder with random weights, of any size, in the layout of ZeroScope's: half precision, `.bin` or not."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.models.latent_diffusion import scheduler
from vmc.models.text import TEXT_PREFIX, clip_tokenizer
from vmc.tools.full_size.sizes import DTYPE, Shapes, Sizes, count, shapes_of
from vmc.tools.full_size.streamed import write_bin, write_safetensors
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder
from vmc.utils.randomness import generator

Format = Literal["bin", "safetensors"]
WRITERS = {"bin": write_bin, "safetensors": write_safetensors}
NAMES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
TEXT_NAMES = {"bin": "pytorch_model", "safetensors": "model"}
MARK = "random.json"
"""In the folder: what its weights were drawn for."""
LAYOUT = 1  # raised when what is written changes, so that an earlier folder is not taken for it


def random_folder(folder: Path, sizes: Sizes, *, format: Format = "bin", seed: int = 0) -> bool:
    """Write the pipeline, or leave it where it is there already; whether it was written.

    A tensor is drawn when its bytes are due, from (seed, part, name): no more than the largest is in memory.

    Raises:
        VmcError: the folder holds something else.
    """
    mark = json.loads(json.dumps({"layout": LAYOUT, "format": format, "seed": seed, "sizes": sizes.configs}))
    if folder.exists():
        have = json.loads((folder / MARK).read_text()) if (folder / MARK).is_file() else None
        if have != mark:
            raise VmcError(
                f"{folder} holds something else than these random weights (--format {format}, seed {seed});"
                " remove it, or choose another --output"
            )
        return False
    shapes = part_shapes(sizes)
    with atomic_folder(folder) as temporary:
        _write_configs(temporary, sizes)
        total = sum(count(part) for part in shapes.values())
        with tqdm(total=total, desc="random weights", unit="", unit_scale=True, disable=None, leave=False) as bar:
            for part, tensors in shapes.items():
                name = TEXT_NAMES[format] if part == "text_encoder" else NAMES[part]
                WRITERS[format](temporary / part / f"{name}.{format}", tensors, _Drawing(part, seed, bar))
        (temporary / MARK).write_text(json.dumps(mark, indent=2) + "\n")
    return True


def part_shapes(sizes: Sizes) -> Mapping[str, Shapes]:
    """The tensors of each weight file; transformers leaves out the prefix that the text encoder's files have."""
    return {part: shapes_of(sizes.empty(part), prefix=_prefix(part)) for part in ("unet", "text_encoder", "vae")}


def _prefix(part: str) -> str:
    return TEXT_PREFIX if part == "text_encoder" else ""


def _write_configs(folder: Path, sizes: Sizes) -> None:
    parts: dict[str, Any] = {part: sizes.empty(part) for part in sizes.networks}
    parts |= {"scheduler": scheduler(), "tokenizer": clip_tokenizer()}
    for part in ("unet", "vae", "scheduler"):
        parts[part].save_config(folder / part)
    text_config = parts["text_encoder"].config
    text_config.architectures, text_config.dtype = [type(parts["text_encoder"]).__name__], DTYPE
    text_config.save_pretrained(folder / "text_encoder")
    parts["tokenizer"].save_pretrained(folder / "tokenizer")
    parts["tokenizer"].backend_tokenizer.model.save(str(folder / "tokenizer"))  # vocab.json, merges.txt
    libraries = {part: [type(made).__module__.partition(".")[0], type(made).__name__] for part, made in parts.items()}
    index = {"_class_name": sizes.pipelines[0], **dict(sorted(libraries.items()))}
    index["_diffusers_version"] = version("diffusers")
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


class _Drawing:
    """Draws the tensors of one part, and moves a progress bar."""

    def __init__(self, part: str, seed: int, bar: tqdm) -> None:
        self.part, self.seed, self.bar = part, seed, bar

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        self.bar.update(prod(shape))
        return drawn(name, shape, generator(self.seed, self.part, name))


def drawn(name: str, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """A tensor in float32 as PyTorch begins with it, on the scale that keeps a deep network's activations finite.

    Norms are 1, biases 0, embeddings normal with a deviation of 0.02, all else uniform within 1 / sqrt(inputs).
    """
    if len(shape) < 2:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    if "embeddings." in name:
        return torch.empty(shape).normal_(0.0, 0.02, generator=source)
    bound = prod(shape[1:]) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=source)
