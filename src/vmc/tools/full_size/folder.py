"""A pipeline's folder with random weights, of any size, in the layout of ZeroScope's: half precision, `.bin` or not."""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from math import prod
from mmap import MAP_SHARED
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import set_default_mmap_options, skip_data
from tqdm import tqdm

from vmc.models.latent_diffusion import scheduler
from vmc.models.text import TEXT_PREFIX, clip_tokenizer
from vmc.tools.full_size.sizes import DTYPE, Shapes, Sizes, count
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder
from vmc.utils.randomness import generator

Format = Literal["bin", "safetensors"]
Draw: TypeAlias = Callable[[str, tuple[int, ...]], Tensor]
"""Makes the tensor of a name and a shape."""
NETWORKS = ("unet", "text_encoder", "vae")
RECORD = "random.json"
"""In the folder: what its weights were drawn for."""
LAYOUT = 1  # raised when what is written changes, so that an earlier folder is not taken for it


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
    shapes = part_shapes(sizes)
    total = sum(count(part) for part in shapes.values())
    with (
        atomic_folder(folder) as temporary,
        tqdm(total=total, desc="random weights", unit="", unit_scale=True, disable=None, leave=False) as bar,
    ):
        _write_configs(temporary, sizes)
        for part, tensors in shapes.items():

            def draw(name: str, shape: tuple[int, ...], part: str = part) -> Tensor:
                bar.update(prod(shape))
                return draw_tensor(name, shape, generator(seed, part, name))

            stem = "diffusion_pytorch_model"
            if part == "text_encoder":  # transformers' own
                stem = "pytorch_model" if format == "bin" else "model"
            WRITERS[format](temporary / part / f"{stem}.{format}", tensors, draw)
        (temporary / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return True


def part_shapes(sizes: Sizes) -> Mapping[str, Shapes]:
    """The tensors of each weight file; transformers leaves out the prefix that the text encoder's files have."""
    prefixes = {"text_encoder": TEXT_PREFIX}
    states = {part: sizes.empty(part).state_dict() for part in NETWORKS}
    return {
        part: {prefixes.get(part, "") + name: tuple(tensor.shape) for name, tensor in state.items()}
        for part, state in states.items()
    }


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


def write_bin(path: Path, shapes: Shapes, draw: Draw) -> None:
    """Write half-precision tensors with `torch.save`, their bytes through a mapping of the file: one tensor at a time
    is in memory.
    """
    with skip_data():
        torch.save({name: torch.empty(shape, dtype=DTYPE) for name, shape in shapes.items()}, path)
    with set_default_mmap_options(MAP_SHARED):
        for name, tensor in torch.load(path, mmap=True, weights_only=True).items():
            tensor.copy_(draw(name, shapes[name]))


def write_safetensors(path: Path, shapes: Shapes, draw: Draw) -> None:
    """Write half-precision tensors; its library takes those of a file together."""
    save_file({name: draw(name, shape).to(DTYPE) for name, shape in shapes.items()}, path, {"format": "pt"})


WRITERS: dict[str, Callable[[Path, Shapes, Draw], None]] = {"bin": write_bin, "safetensors": write_safetensors}


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
