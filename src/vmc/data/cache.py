"""Tensors made once and kept on disk: latent posteriors per clip and variant, text embeddings per caption."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from vmc.errors import VmcError
from vmc.files import written_whole

Item = TypeVar("Item")


def cache_key(*parts: object) -> str:
    """A file name that stands for everything a cached tensor depends on."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TensorCache:
    """One tensor a file, named by `cache_key`. A tensor is always read back from its file, also just after it was
    made, so that a cold, a half-filled and a full cache give the same bits.
    """

    folder: Path

    def missing(self, keys: Mapping[str, Item]) -> dict[str, Item]:
        """The part of `keys` that has no file yet."""
        return {key: item for key, item in keys.items() if not self._path(key).is_file()}

    def fill(self, keys: Mapping[str, Item], make: Callable[[Item], Tensor], *, label: str) -> None:
        """Make what is missing, each item by itself; a progress bar tells how far it is."""
        for key, item in tqdm(self.missing(keys).items(), desc=label, unit="item", disable=None, leave=False):
            with written_whole(self._path(key)) as temporary:
                save_file({"tensor": make(item).contiguous()}, temporary)

    def read(self, key: str) -> Tensor:
        """The tensor of a key that has been filled.

        Raises:
            VmcError: its file is damaged.
        """
        try:
            return load_file(self._path(key))["tensor"]
        except (SafetensorError, KeyError) as error:
            raise VmcError(f"the cache file {self._path(key)} is damaged; remove it, it is made again") from error

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"
