"""Tensors made once and kept on disk: latent posteriors per clip and variant, text embeddings per caption."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor
from tqdm import tqdm

from vmc.utils.files import sweep
from vmc.utils.tensor_files import ONLY, read_cached_tensors, write_cached_tensors

Item = TypeVar("Item")

CACHES = ("latents", "texts", "descriptors", "evaluations", "base-videos", "synthetic")
"""Folders below the caches' own in which runs write."""


def cache_key(*parts: object) -> str:
    """A file name that stands for everything a cached tensor depends on."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def sweep_caches(root: Path) -> None:
    """Remove from the shared caches what runs that were killed had half-written."""
    for name in CACHES:
        sweep(root / name)


@dataclass(frozen=True, kw_only=True)
class TensorCache:
    """One tensor a file, or a few, named by `cache_key`. They are always read back from their file, also just after it
    was made, so that a cold, a half-filled and a full cache give the same bits.
    """

    folder: Path

    def tensors(
        self, keys: Mapping[str, Item], maker: Callable[[], Callable[[Item], Tensor]], *, label: str
    ) -> dict[str, Tensor]:
        """As `several`, of one tensor each."""

        def named() -> Callable[[Item], dict[str, Tensor]]:
            make = maker()
            return lambda item: {ONLY: make(item)}

        return {key: found[ONLY] for key, found in self.several(keys, named, label=label).items()}

    def several(
        self, keys: Mapping[str, Item], maker: Callable[[], Callable[[Item], dict[str, Tensor]]], *, label: str
    ) -> dict[str, dict[str, Tensor]]:
        """The tensors of each key by name; those that are missing or damaged are made, each item by itself.

        Args:
            keys: what each key's tensors are made of.
            maker: called where some have to be made, for what makes them of their item.
            label: of the progress bar.

        Raises:
            UnwritableError: some are missing, and cannot be written.
        """
        read = {key: read_cached_tensors(self._path(key)) for key in keys}
        found = {key: tensors for key, tensors in read.items() if tensors is not None}
        if missing := [key for key in keys if key not in found]:
            make = maker()
            for key in tqdm(missing, desc=label, unit="item", disable=None, leave=False):
                found[key] = write_cached_tensors(self._path(key), make(keys[key]))
        return found

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"
