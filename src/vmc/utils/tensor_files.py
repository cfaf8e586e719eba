"""Files of tensors with a checksum, and messages about tensors that do not fit a network."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vmc.utils.errors import DamagedError
from vmc.utils.files import atomic_write

COUNTER = "num_batches_tracked"  # ends the names of BatchNorm's counters, which old files lack and only training reads
CHECKSUM = "sha256"  # the key of the checksum beside what else a file says of itself
Shapes = Mapping[str, Sequence[int]]  # of tensors, by their names


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def shapes_misfit(expected: Shapes, found: Shapes) -> str | None:
    """Describe the first tensor of another shape, or else missing, or else unknown; None where all tensors fit."""
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


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, about: Mapping[str, Any] | None = None, remedy: str | None = None
) -> None:
    """Write a safetensors file atomically, with a checksum of its content.

    Args:
        tensors: on the CPU, contiguous.
        about: metadata, as JSON can hold it.
        remedy: as in `vmc.utils.files.atomic_write`.
    """
    told = {**(about or {}), CHECKSUM: _checksum(tensors, about or {})}
    # One key only, because the order of several would differ from write to write.
    metadata = {"vmc": json.dumps(told, sort_keys=True)}
    with atomic_write(path, remedy=remedy) as temporary:
        save_file(dict(tensors), temporary, metadata=metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file and its metadata, with the checksum if it has one; a DamagedError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("vmc", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(about, dict):
            raise TypeError("its metadata is no object")
    # A flipped bit in the header, in a name, a type or a shape, can raise any of these.
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise DamagedError(f"{path} is damaged ({' '.join(str(error).split())})") from error
    rest = {key: value for key, value in about.items() if key != CHECKSUM}
    if CHECKSUM in about and about[CHECKSUM] != _checksum(tensors, rest):
        raise DamagedError(f"{path} is damaged (its checksum is of another content)")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and bytes of tensors, and of the metadata."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\x1f{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
