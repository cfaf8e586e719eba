"""Networks in files, which are checked before anything runs, read as tensors only, and opened once.

`torch.jit.load` runs an archive's code, which can write files while it loads. Networks here need only the weights.
Axes: N images or texts, C colors, H and W, D features.
"""

import io
import pickle
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, _weights_only_unpickler, nn
from torch._weights_only_unpickler import get_globals_in_pkl

from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint
from vmc.utils.tensor_files import COUNTER, shapes_misfit, shapes_of

# What the libraries raise for a damaged or foreign file.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError, SafetensorError)
# Functions of `torch.jit._pickle` that mark lists of one type; here they stay lists.
LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "restore_type_tag")
MOST_MODULES, LONGEST = 10_000, 1000  # modules of an archive, and letters of a name: one that holds itself has no end
Network = TypeVar("Network", bound=nn.Module)


class NetworkFile(ABC, Generic[Network]):
    """A network in a file or folder; `get` is the command that downloads it, for messages."""

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.path, self.get = Path(path).expanduser(), get
        self.device = torch.device("cpu")
        self._opened: Network | None = None

    @abstractmethod
    def open(self) -> Network:
        """Load the network; a missing, damaged or foreign file is a `VmcError`."""

    @property
    def network(self) -> Network:
        """The network in eval mode, opened once."""
        if self._opened is None:
            self._opened = self.open().eval().to(self.device)
        return self._opened

    def to(self, device: torch.device | str) -> None:
        """Choose the device of the network; one that is open is moved, not loaded again."""
        self.device = torch.device(device)
        if self._opened is not None:
            self._opened.to(self.device)

    def check(self) -> None:
        """Open the network, which stays open for use. Errors name the command that downloads the file."""
        try:
            _ = self.network
        except VmcError as error:
            raise VmcError(f"{error} ({self.get})" if self.get else str(error)) from error
        except Exception as error:  # libraries raise of every kind for a damaged file
            remedy = f"get it again ({self.get})" if self.get else "get it again"
            raise VmcError(f"{self.path} does not load ({first_line(error)}); {remedy}") from error

    def missing(self) -> str | None:
        """The missing file or empty folder, with the command that downloads it; None where it is there."""
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            return None
        return f"{self.path} ({self.get})" if self.get else str(self.path)

    @cached_property
    def sha256(self) -> str:
        """What tells its content from others' (`vmc.utils.files.fingerprint`)."""
        return fingerprint(self.path)

    def describe(self) -> dict[str, Any]:
        """The file's name and fingerprint."""
        return {"file": self.path.name, "sha256": self.sha256}


class ImageTextNetwork(NetworkFile[Any]):
    """A model of open_clip: a folder that states its architecture, or the name of an architecture with a file of its
    weights or a tag of weights that open_clip downloads (`load_image_text`).
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
        """Load the model."""
        from vmc.metrics.networks.open_clip import load_image_text  # open_clip takes seconds to import

        return load_image_text(None if self.tag else self.path, architecture=self.architecture, tag=self.tag)

    def encode_frames(self, frames_NCHW: Tensor) -> Tensor:
        """Compute features_ND of RGB uint8 frames of any size."""
        return self.network.encode_frames(frames_NCHW.to(self.device))

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Compute features_ND of texts."""
        return self.network.encode_texts(texts)

    def missing(self) -> str | None:
        """The missing file with the command that downloads it; None for a tag."""
        return None if self.tag else super().missing()

    def describe(self) -> dict[str, Any]:
        """Architecture, and file or tag."""
        return {"architecture": self.architecture, **({"tag": self.tag} if self.tag else super().describe())}


def read_weights(path: Path, *, kind: str, expected: str, key: str | None = None) -> Any:
    """Read a file of weights without running code: safetensors, a pickle of tensors, or a TorchScript archive.

    Args:
        path: of the file.
        kind: what the file is called in messages.
        expected: what should be given instead, for messages.
        key: that its content must have; None for any content.

    Raises:
        VmcError: the file is missing, truncated, foreign, without `key`, or would run code.
    """
    if not path.is_file():
        raise VmcError(f"the {kind} {path} does not exist; give the path of {expected}")
    try:
        content = _load(path)
    except UNREADABLE as error:
        reason = first_line(error).partition(" Re-running")[0]  # PyTorch's advice is to run the file's code
        raise VmcError(f"the {kind} {path} does not load ({reason}); get it again") from error
    if key is not None and (not isinstance(content, Mapping) or key not in content):
        raise VmcError(f"the {kind} {path} holds no {key}; give the path of {expected}")
    return content


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if is_torchscript(path):
        return read_tensors(path)
    # Old files hold their accuracy as a NumPy number. The NumPy classes that unpickling it needs run no code.
    scalar = np._core.multiarray.scalar if np.__version__ >= "2" else np.core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64")]
    with torch.serialization.safe_globals([(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]):
        return torch.load(path, map_location="cpu", weights_only=True)


def fill(model: Network, state: Mapping[str, Tensor], file: str, *, fits: str, remedy: str = "get it again") -> Network:
    """Load all weights into a model, checking their shapes, and freeze it. BatchNorm's counters may be missing.

    A model on the meta device is allocated after the check: a file may name any size, and random weights take time.
    """
    if problem := shapes_misfit(shapes_of(model.state_dict()), shapes_of(state)):
        raise VmcError(f"{file} does not fit {fits}: {problem}; {remedy}")
    if next(model.parameters()).is_meta:
        model.to_empty(device="cpu")
    counters = {name: torch.tensor(0) for name in model.state_dict() if name.endswith(COUNTER)}
    model.load_state_dict(counters | dict(state))
    return model.requires_grad_(False).eval()


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with code; other weights of PyTorch are zip archives without."""
    if zipfile.is_zipfile(path):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    return False


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a TorchScript archive, by their names in the `state_dict`.

    PyTorch's weights-only unpickler reads the archive, its modules as empty objects of one local class, so nothing that
    an archive names can do more than hold values. A damaged archive, or one that holds anything else than modules,
    tensors, numbers and texts, raises an UnpicklingError.
    """
    module = type("Module", (), {})
    try:
        with zipfile.ZipFile(path) as archive:
            data = [entry for entry in archive.infolist() if "/data" in entry.filename]
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in data):
            raise ValueError("its values are compressed, so that they may be more than the file is on disk")
        reader = torch._C.PyTorchFileReader(str(path))
        names = get_globals_in_pkl(io.BytesIO(reader.get_record("data.pkl")))
        known: list[Any] = [(module, name) for name in names if name.startswith("__torch__.")]
        known += [(lambda values, *kind: values, f"torch.jit._pickle.{name}") for name in LISTS]
        with torch.serialization.safe_globals(known):
            root = torch.serialization._load(reader, "cpu", _weights_only_unpickler, encoding="utf-8")
        return dict(_tensors(root))
    except Exception as error:  # a crafted pickle can fail in any way
        raise pickle.UnpicklingError(first_line(error).partition(" Please use")[0]) from error


def _tensors(root: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a module and its submodules."""
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
