"""The tensors of a TorchScript archive, read without running anything that it holds.

`torch.jit.load` runs an archive's code, which can write files while it loads. A network of ours needs only the weights.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""What a storage of each kind holds, by its name in `torch`."""
LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
"""What marks lists of one type in `torch.jit._pickle`; here they stay lists."""
MOST_MODULES, LONGEST = 10_000, 1000
"""Of an archive, and letters of a name; one that holds itself has no end."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with code; other weights of PyTorch's are zip archives too."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of an archive's modules under the name that `state_dict` gives it.

    Raises:
        UnpicklingError: the archive is damaged, or holds something else than modules, tensors, numbers and texts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (root,) = (name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl"))
            return dict(_tensors(_Reader(archive, root).load()))
    except Exception as error:  # a pickle that somebody has made can fail in every way
        raise pickle.UnpicklingError(first_line(error)) from error


class _Reader(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Builds what an archive's `data.pkl` describes, its modules as empty objects of one class of this reading.

    It is the unpickler in Python: that in C makes a list as long as the largest number that a pickle gives an object,
    and one flipped byte is then 32 GB.

    Nothing that it can name does more than to hold values: what is callable is made anew for each reading, so that not
    even attributes that a pickle sets on it outlive it.
    """

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}
        self.module = type("Module", (), {})
        super().__init__(io.BytesIO(self._bytes("data.pkl")))

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the archive.

        Raises:
            UnpicklingError: it is none that weights need.
        """
        if module.startswith("__torch__"):
            return self.module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilding()
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in LISTS:
            return lambda values, *kind: values
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> Tensor:
        """The values of a storage, in one row."""
        _, dtype, key, _, count = pid
        if key not in self.storages:
            content = bytearray(self._bytes(f"data/{key}"))
            if len(content) != count * dtype.itemsize:
                raise pickle.UnpicklingError(f"data/{key} has {len(content)} bytes, not those of {count} values")
            self.storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return self.storages[key]

    def _bytes(self, name: str) -> bytes:
        entry = self.archive.getinfo(f"{self.root}/{name}")
        if entry.compress_type != zipfile.ZIP_STORED:  # as PyTorch writes it; so no file is more than it is on disk
            raise pickle.UnpicklingError(f"{name} is compressed")
        return self.archive.read(entry)


def _rebuilding() -> Callable[..., Tensor]:
    def rebuild(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
        if math.prod(size) > len(storage):
            raise pickle.UnpicklingError(f"a tensor of shape {size} has {len(storage)} values")
        return storage.as_strided(size, stride, offset)

    return rebuild


def _tensors(root: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a module and those in it."""
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, module = waiting.pop()
        seen += 1
        if seen > MOST_MODULES or len(prefix) > LONGEST:
            raise pickle.UnpicklingError("its modules have no end")
        held: Mapping[str, Any] = vars(module)
        for name, value in held.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif type(value) is type(root):
                waiting.append((f"{prefix}{name}.", value))


def first_line(error: Exception) -> str:
    """An error in few words."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
