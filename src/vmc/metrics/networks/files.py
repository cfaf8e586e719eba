"""Networks in files: found missing or damaged before anything runs, read as tensors alone, opened once.

`torch.jit.load` runs an archive's code, which can write files while it loads. A network of ours needs only the weights.
Axes: N images or texts, C colors, H and W, D features.
"""

import io
import math
import pickle
import zipfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint
from vmc.utils.tensor_files import COUNTER, misfit

UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError, SafetensorError)
"""What `load_weights` raises for a damaged or foreign file."""
DTYPES = {name: dtype for dtype, name in torch.storage._dtype_to_storage_type_map().items()}
LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
"""What marks lists of one type in `torch.jit._pickle`; here they stay lists."""
MOST_MODULES, LONGEST = 10_000, 1000
"""Modules of an archive, and letters of a name; one that holds itself has no end."""
Network = TypeVar("Network", bound=nn.Module)


class NetworkFile(ABC, Generic[Network]):
    """A file, or a folder, and the network in it; `get` is the command that gets it, named where it is missing."""

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.path, self.get = Path(path).expanduser(), get
        self.device = torch.device("cpu")
        self._opened: Network | None = None

    @abstractmethod
    def open(self) -> Network:
        """Read the network; a file that is not there, or not what it should be, is a `VmcError`."""

    @property
    def network(self) -> Network:
        """The network in eval mode, opened once."""
        if self._opened is None:
            self._opened = self.open().eval().to(self.device)
        return self._opened

    def to(self, device: torch.device | str) -> None:
        """Choose where the network runs; one that is open is moved and not read again."""
        self.device = torch.device(device)
        if self._opened is not None:
            self._opened.to(self.device)

    def check(self) -> None:
        """Open the network, which stays open for use; an error names the command that gets the file."""
        try:
            _ = self.network
        except VmcError as error:
            raise VmcError(f"{error} ({self.get})" if self.get else str(error)) from error
        except Exception as error:  # libraries raise of every kind for a damaged file
            remedy = f"get it again ({self.get})" if self.get else "get it again"
            raise VmcError(f"{self.path} does not load ({first_line(error)}); {remedy}") from error

    def missing(self) -> str | None:
        """The file that is not there, or the folder that is empty, with the command that gets it."""
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            return None
        return f"{self.path} ({self.get})" if self.get else str(self.path)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, or of the names and bytes of a folder's files."""
        return fingerprint(self.path)

    def describe(self) -> dict[str, Any]:
        """The file's name and SHA-256."""
        return {"file": self.path.name, "sha256": self.sha256}


class ImageTextNetwork(NetworkFile[Any]):
    """A model of open_clip: a folder that says its architecture itself, or an architecture by open_clip's name with a
    file of its weights or the tag of weights that open_clip downloads (`load_image_text`).
    """

    def __init__(
        self, *, path: str | Path | None = None, architecture: str | None = None, tag: str | None = None, get: str = ""
    ) -> None:
        if (path is None) == (tag is None):
            raise VmcError(f"metrics.appearance has the path {path} and the tag {tag}; give one of the two")
        if tag is not None and architecture is None:
            raise VmcError(f"metrics.appearance has the tag {tag} of no architecture; name the architecture too")
        super().__init__(path=path or "", get=get)
        self.architecture, self.tag = architecture, tag

    def open(self) -> Any:
        """Read the model."""
        from vmc.metrics.networks.open_clip import load_image_text  # open_clip takes seconds to import

        return load_image_text(None if self.tag else self.path, architecture=self.architecture, tag=self.tag)

    def encode_frames(self, frames_NCHW: Tensor) -> Tensor:
        """features_ND of RGB uint8 frames of any size."""
        return self.network.encode_frames(frames_NCHW.to(self.device))

    def encode_texts(self, texts: list[str]) -> Tensor:
        """features_ND of texts."""
        return self.network.encode_texts(texts)

    def missing(self) -> str | None:
        """The file that is not there, with the command that gets it; None for a tag."""
        return None if self.tag else super().missing()

    def describe(self) -> dict[str, Any]:
        """Architecture, and file or tag."""
        return {"architecture": self.architecture, **({"tag": self.tag} if self.tag else super().describe())}


def read_weights(path: Path, *, kind: str, expected: str) -> Any:
    """Read a file of weights, of which no code is run: safetensors, a pickle of tensors, or a TorchScript archive.

    Raises:
        VmcError: no such file, or one that is truncated, foreign or would run code, as `kind`; what is `expected`.
    """
    if not path.is_file():
        raise VmcError(f"the {kind} {path} does not exist; give the path of {expected}")
    try:
        return load_weights(path)
    except UNREADABLE as error:
        reason = first_line(error).partition(" Re-running")[0]  # PyTorch's advice is to run the file's code
        raise VmcError(f"the {kind} {path} does not load ({reason}); get it again") from error


def fill(model: Network, state: Mapping[str, Tensor], file: str, *, fits: str, remedy: str = "get it again") -> Network:
    """Give a model its weights, all of them and each of its shape, for use; BatchNorm's counters may be missing.

    A model on the meta device gets its room then: a file may name any size, and random weights take time.
    """
    if problem := misfit(model, state):
        raise VmcError(f"{file} does not fit {fits}: {problem}; {remedy}")
    if next(model.parameters()).is_meta:
        model.to_empty(device="cpu")
    counters = {name: torch.tensor(0) for name in model.state_dict() if name.endswith(COUNTER)}
    model.load_state_dict(counters | dict(state))
    return model.requires_grad_(False).eval()


def load_weights(path: Path, *, mmap: bool = False) -> Any:
    """Read a file as `read_weights` does, with the libraries' own errors (`UNREADABLE`); `mmap` maps a pickle."""
    if path.suffix == ".safetensors":
        return load_file(path)
    if is_torchscript(path):
        return read_tensors(path)
    # Old files hold their accuracy as a NumPy number; what unpickling one needs, by NumPy's names, runs no code.
    scalar = np._core.multiarray.scalar if np.__version__ >= "2" else np.core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64")]
    with torch.serialization.safe_globals([(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with code; other weights of PyTorch's are zip archives too."""
    if zipfile.is_zipfile(path):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    return False


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a TorchScript archive's modules under the name that `state_dict` gives it.

    An archive that is damaged, or holds something else than modules, tensors, numbers and texts, is an UnpicklingError.
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
    and one flipped byte is then 32 GB. Nothing that it can name does more than to hold values: what is callable is made
    anew for each reading, so that not even attributes that a pickle sets on it outlive it.
    """

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}
        self.module = type("Module", (), {})
        super().__init__(io.BytesIO(self._bytes("data.pkl")))

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return self.module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *values: _strided(*values)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in LISTS:
            return lambda values, *kind: values
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> Tensor:
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


def _strided(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    if math.prod(size) > len(storage):
        raise pickle.UnpicklingError(f"a tensor of shape {size} has {len(storage)} values")
    return storage.as_strided(size, stride, offset)


def _tensors(root: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a module and those in it."""
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, module = waiting.pop()
        seen += 1
        if seen > MOST_MODULES or len(prefix) > LONGEST:
            raise pickle.UnpicklingError("its modules have no end")
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif type(value) is type(root):
                waiting.append((f"{prefix}{name}.", value))
