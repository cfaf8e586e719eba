"""A network in a file: found missing or damaged before anything runs, opened once."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from vmc.errors import VmcError
from vmc.files import fingerprint

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
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
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
