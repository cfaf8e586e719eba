"""Networks in files: found missing or damaged before anything runs, opened once, when they are first needed.

Axes: N images or texts, C colours, H and W, D features.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from vmc.metrics.networks.sscd import SHORT_SIDE, CopyDescriptor, load_sscd
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint

Opened = TypeVar("Opened")


class NetworkFile(ABC, Generic[Opened]):
    """A file, or a folder, and the network in it.

    Args:
        path: of the file.
        get: the command that gets it, named where it is missing; empty where there is none.
    """

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.path, self.get = Path(path).expanduser(), get
        self.device = torch.device("cpu")
        self._opened: Opened | None = None

    @abstractmethod
    def open(self) -> Opened:
        """The network, on `device`.

        Raises:
            VmcError: no such file, or one that is not what it should be.
        """

    @staticmethod
    @abstractmethod
    def module(opened: Opened) -> nn.Module:
        """What of an opened network is moved to a device."""

    @property
    def network(self) -> Opened:
        """The network, opened once."""
        if self._opened is None:
            self._opened = self.open()
        return self._opened

    def to(self, device: torch.device | str) -> None:
        """Where the network runs; one that is open is moved and not read again."""
        self.device = torch.device(device)
        if self._opened is not None:
            self.module(self._opened).to(self.device)

    def check(self) -> None:
        """Opens the network, which stays open for use.

        Raises:
            VmcError: as `open`, with the command that gets the file.
        """
        try:
            _ = self.network
        except VmcError as error:
            raise VmcError(f"{error} ({self.get})" if self.get else str(error)) from error
        except Exception as error:  # libraries raise of every kind for a damaged file
            reason = first_line(error)
            remedy = f"get it again ({self.get})" if self.get else "get it again"
            raise VmcError(f"{self.path} does not load ({reason}); {remedy}") from error

    def missing(self) -> str | None:
        """The file that is not there, or the folder that is empty, with the command that gets it."""
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            return None
        return f"{self.path} ({self.get})" if self.get else str(self.path)

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, or of the names and bytes of a folder's files."""
        return fingerprint(self.path)

    def describe(self) -> dict[str, Any]:
        """The file's name and SHA-256."""
        return {"file": self.path.name, "sha256": self.sha256}


class ImageTextNetwork(NetworkFile[Any]):
    """A model of open_clip (`vmc.metrics.networks.open_clip`).

    Args:
        path: a folder with `open_clip_config.json` and weights, or a file of an architecture's weights; None with a
            tag.
        architecture: open_clip's name of it; None with a folder, which says it itself.
        tag: of weights that open_clip downloads, in place of a path.
        get: the command that gets the file.
    """

    def __init__(
        self, *, path: str | Path | None = None, architecture: str | None = None, tag: str | None = None, get: str = ""
    ) -> None:
        if (path is None) == (tag is None):
            raise VmcError(f"metrics.appearance has the path {path} and the tag {tag}; give one of the two")
        super().__init__(path=path or "", get=get)
        self.architecture, self.tag = architecture, tag

    def open(self) -> Any:
        """The model, in eval mode."""
        from vmc.metrics.networks.open_clip import load_image_text  # open_clip takes seconds to import

        if self.tag is not None:
            opened = load_image_text(architecture=self.architecture, tag=self.tag)
        elif self.architecture is None:
            opened = load_image_text(folder=self.path)
        else:
            opened = load_image_text(architecture=self.architecture, file=self.path)
        self.module(opened).to(self.device)
        return opened

    @staticmethod
    def module(opened: Any) -> nn.Module:
        """The model of open_clip."""
        return opened.model

    def encode_frames(self, frames_NCHW: Tensor) -> Tensor:
        """features_ND of RGB uint8 frames of any size."""
        return self.network.encode_frames(frames_NCHW.to(self.device))

    def encode_texts(self, texts: list[str]) -> Tensor:
        """features_ND."""
        return self.network.encode_texts(texts)

    def missing(self) -> str | None:
        """The file that is not there, with the command that gets it; None for a tag."""
        return None if self.tag is not None else super().missing()

    def describe(self) -> dict[str, Any]:
        """Architecture, and file or tag."""
        weights = {"tag": self.tag} if self.tag is not None else super().describe()
        return {"architecture": self.architecture, **weights}


class CopyNetwork(NetworkFile[CopyDescriptor]):
    """SSCD (`vmc.metrics.networks.sscd`).

    Args:
        path: `NAME.torchvision.pt` or `NAME.torchscript.pt`.
        short_side: px that frames are resized to.
        trust: run the code of a TorchScript archive whose tensors alone do not tell its network.
        get: the command that gets the file.
    """

    def __init__(self, *, path: str | Path, short_side: int = SHORT_SIDE, trust: bool = False, get: str = "") -> None:
        super().__init__(path=path, get=get)
        if not isinstance(trust, bool):
            raise VmcError(f"metrics.copying.trust is '{trust}'; it must be true or false")
        self.short_side, self.trust = short_side, trust

    def open(self) -> CopyDescriptor:
        """The descriptor, in eval mode."""
        opened = load_sscd(self.path, short_side=self.short_side, trust=self.trust)
        self.module(opened).to(self.device)
        return opened

    @staticmethod
    def module(opened: CopyDescriptor) -> nn.Module:
        """The network before which frames are prepared."""
        return opened.network

    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        """descriptors_ND of RGB uint8 frames of any size."""
        return self.network(frames_NCHW.to(self.device))

    def describe(self) -> dict[str, Any]:
        """File and size of frames."""
        return {**super().describe(), "short_side": self.short_side}
