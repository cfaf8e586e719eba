"""Tensors on disk with a checksum inside, and which tensor of a file does not fit a network."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vmc.utils.errors import DamagedError
from vmc.utils.files import atomic_write

COUNTER = "num_batches_tracked"
"""How the names of BatchNorm's counters end; old files have none, and only training reads them."""

Shapes = Mapping[str, Sequence[int]]
"""Of tensors, by their names."""


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def misfit(network: nn.Module, state: Mapping[str, Tensor]) -> str | None:
    """`shapes_misfit` of a network and the tensors that are meant for it."""
    return shapes_misfit(shapes_of(network.state_dict()), shapes_of(state))


def shapes_misfit(expected: Shapes, found: Shapes) -> str | None:
    """The first tensor of another shape, else the first that is missing, else the first unknown; None where all fit."""
    wanted = {name: tuple(shape) for name, shape in expected.items()}
    held = {name: f"it holds {name} of shape {tuple(shape)}" for name, shape in found.items()}
    both = [name for name in wanted if name in found and wanted[name] != tuple(found[name])]
    missing = [name for name in wanted if name not in found and not name.endswith(COUNTER)]
    problems = [f"{held[name]}, but {wanted[name]} is needed" for name in both]
    problems += [f"it has no {name} of shape {wanted[name]}" for name in missing]
    problems += [f"{held[name]}, which is unknown" for name in found if name not in wanted]
    if len(problems) < 2:
        return problems[0] if problems else None
    return f"{problems[0]}, and {len(problems) - 1} tensors more do not fit"


CHECKSUM = "sha256"
"""The key of the checksum beside what else a file says of itself."""


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, about: Mapping[str, Any] | None = None, remedy: str | None = None
) -> None:
    """Write a safetensors file whole, with the checksum of everything in it.

    Args:
        tensors: on the CPU, contiguous.
        about: what else the file says of itself, as JSON can hold it.
        remedy: see `vmc.utils.files.atomic_write`.
    """
    told = {**(about or {}), CHECKSUM: _checksum(tensors, about or {})}
    # One key: files with several differ in their order from write to write.
    metadata = {"vmc": json.dumps(told, sort_keys=True)}
    with atomic_write(path, remedy=remedy) as temporary:
        save_file(dict(tensors), temporary, metadata=metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what it says of itself, the checksum included where it has one; a DamagedError where
    it does not hold what was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("vmc", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(about, dict):
            raise TypeError("its metadata is no object")
    # What a flipped bit in the header can do to a name, a type or a shape is raised as any of these.
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise DamagedError(f"{path} is damaged ({' '.join(str(error).split())})") from error
    rest = {key: value for key, value in about.items() if key != CHECKSUM}
    if CHECKSUM in about and about[CHECKSUM] != _checksum(tensors, rest):
        raise DamagedError(f"{path} is damaged (its checksum is of another content)")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and bytes, and of what is said beside them."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\x1f{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
