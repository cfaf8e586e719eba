"""Weight files written tensor by tensor, so that a model larger than the memory can be written.

Both are the formats of the published folders: a safetensors file, and PyTorch's zip archive (`.bin`) of a pickled
dictionary with a record for each tensor's bytes.
"""

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, TypeAlias

import torch
from torch import Tensor
from torch._utils import _rebuild_tensor_v2  # what PyTorch's own archives name; there is no public one

from vmc.tools.full_size.sizes import DTYPE, Shapes

Draw: TypeAlias = Callable[[str, tuple[int, ...]], Tensor]
"""A tensor of this name and shape; asked for once, when its bytes are due."""
ALIGNMENT = 64
"""Bytes: where a record of an archive may begin, so that it can be mapped into memory."""
ROOT = "archive"


def write_safetensors(path: Path, shapes: Shapes, draw: Draw) -> None:
    """Write half-precision tensors of these names and shapes.

    The header comes first: its length in 8 bytes, then JSON with each tensor's place, padded to 8 bytes
    (github.com/huggingface/safetensors, README).
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + prod(shape) * DTYPE.itemsize
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            stream.write(_bytes(draw(name, shape)))


def write_bin(path: Path, shapes: Shapes, draw: Draw) -> None:
    """Write half-precision tensors of these names and shapes as `torch.save` writes a dictionary of them."""
    with path.open("wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, stream, "data.pkl", _pickled(shapes))
        _record(archive, stream, "byteorder", b"little")
        for place, (name, shape) in enumerate(shapes.items()):
            _record(archive, stream, f"data/{place}", _bytes(draw(name, shape)))
        _record(archive, stream, "version", b"3\n")


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.to(DTYPE).contiguous().flatten().view(torch.uint8).numpy().data


def _record(archive: zipfile.ZipFile, stream: IO[bytes], name: str, data: bytes | memoryview) -> None:
    """One file of the archive. Its bytes begin at a multiple of `ALIGNMENT`: an extra field fills the gap before."""
    record = zipfile.ZipInfo(f"{ROOT}/{name}")
    fixed = stream.tell() + 30 + len(record.filename) + 4  # a local header, the name, and the extra field's own header
    gap = -fixed % ALIGNMENT
    record.extra = b"FB" + gap.to_bytes(2, "little") + b"Z" * gap  # as PyTorch's
    with archive.open(record, "w") as part:
        part.write(data)


@dataclass(frozen=True)
class _Storage:
    place: int
    count: int


@dataclass(frozen=True)
class _Placeholder:
    storage: _Storage
    shape: tuple[int, ...]


class _Pickler(pickle.Pickler):
    """Pickles placeholders as tensors whose bytes stand in records of their own."""

    def persistent_id(self, thing: Any) -> Any:
        if isinstance(thing, _Storage):
            return ("storage", torch.HalfStorage, str(thing.place), "cpu", thing.count)
        return None

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, _Placeholder):
            strides = tuple(prod(thing.shape[axis + 1 :]) for axis in range(len(thing.shape)))
            return _rebuild_tensor_v2, (thing.storage, 0, thing.shape, strides, False, OrderedDict())
        return NotImplemented


def _pickled(shapes: Shapes) -> bytes:
    tensors = {
        name: _Placeholder(_Storage(place, prod(shape)), shape) for place, (name, shape) in enumerate(shapes.items())
    }
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(OrderedDict(tensors))
    return stream.getvalue()
