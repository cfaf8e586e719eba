"""What is made once and kept on disk for all runs: an entry a key, which holds tensors or files.

An entry is made by one process, for which others wait, is written atomically with its SHA-256, and is made again where
it is not as it was written.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from vmc.utils.errors import DamagedError, VmcError
from vmc.utils.files import atomic_write, sha256_of, short_reason, sweep, write_json
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

log = logging.getLogger(__name__)
Item = TypeVar("Item")

CACHES = ("latents", "texts", "descriptors", "evaluations", "base-videos", "synthetic")
"""Folders below the caches' own in which runs write."""
ONLY = "tensor"
"""The name of an entry's only tensor."""
REMEDY = "choose another folder by cache=... or VMC_CACHE, or make room there"


def cache_key(*parts: object) -> str:
    """A name that stands for everything an entry depends on."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def sweep_caches(root: Path) -> None:
    """Remove from the shared caches what runs that were killed had half-written."""
    for name in CACHES:
        sweep(root / name)


@dataclass(frozen=True)
class Cache:
    """A folder of entries, named by `cache_key`."""

    folder: Path

    def tensors(
        self,
        items: Mapping[str, Item],
        load: Callable[[], Callable[[Item], Mapping[str, Tensor]]],
        *,
        label: str | None = None,
    ) -> dict[str, dict[str, Tensor]]:
        """The tensors of each key by name; those that are missing or damaged are made, each item by itself.

        They are always read back from their file, so that a cold, a half-filled and a full cache give the same bits.

        Args:
            items: what each key's tensors are made of.
            load: called where some have to be made, for the function that makes them of their item.
            label: of the progress bar; None shows none.
        """
        found = {key: tensors for key in items if (tensors := self._read(key)) is not None}
        if len(found) == len(items):
            return found
        # Runs of equal clips wait for each other; those of others go on beside them.
        with only_process(self._file(min(items)).with_name(".lock"), doing=f"fills {self.folder}") as waited:
            if waited:
                found |= {key: tensors for key in items.keys() - found if (tensors := self._read(key)) is not None}
            if missing := [key for key in items if key not in found]:  # who waited may have nothing left to make
                make = load()
            for key in tqdm(missing, desc=label, unit="item", disable=None if label else True, leave=False):
                plain = {name: tensor.detach().cpu().contiguous() for name, tensor in make(items[key]).items()}
                save_tensors(plain, self._file(key), remedy=REMEDY)
                found[key] = load_tensors(self._file(key))[0]
        return found

    def files(self, key: str) -> "CachedFiles":
        """The entry of files under a key."""
        return CachedFiles(self.folder / key)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> dict[str, Tensor] | None:
        """An entry's tensors; None where it is missing, damaged, or of before there were checksums."""
        try:
            if not self._file(key).is_file():
                return None
            tensors, about = load_tensors(self._file(key))
        except PermissionError:  # who makes it again is told that it cannot be written
            return None
        except DamagedError as error:
            log.warning("the cache file %s; it is made again", error)
            return None
        return tensors if CHECKSUM in about else None


@dataclass(frozen=True)
class CachedFiles:
    """An entry that is a folder of files, with the SHA-256 of each in a JSON file beside them, written last.

    The JSON file, `manifest`, may say more of the entry.
    """

    folder: Path
    manifest: str = "checksums.json"

    def read(self) -> dict[str, Any]:
        """What the JSON file holds; nothing where it is missing or damaged."""
        try:
            content = json.loads((self.folder / self.manifest).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) and isinstance(content.get(CHECKSUM, {}), dict) else {}

    def faults(self, names: Iterable[str]) -> dict[str, str]:
        """What is wrong with which of these files, a clause each."""
        sums = self.read().get(CHECKSUM, {})
        found = {}
        for name in names:
            if not (self.folder / name).is_file():
                found[name] = "is gone" if name in sums else "is not there yet"
            elif sums.get(name) != sha256_of(self.folder / name):
                found[name] = "is not as it was written" if name in sums else "has no checksum"
        return found

    def only_process(self) -> Any:
        """A block in which no other process makes this entry."""
        return only_process(self.folder.with_suffix(".lock"), doing=f"makes {self.folder}")

    def seal(self, checksums: Mapping[str, str], **about: Any) -> None:
        """Write the JSON file."""
        write_json(self.folder / self.manifest, {**about, CHECKSUM: dict(checksums)})

    def copy(self, targets: Mapping[str, Path]) -> bool:
        """Copy files of the entry to where they are wanted; False where one of them has to be made, damage logged."""
        sums = self.read().get(CHECKSUM, {})
        if not targets.keys() <= sums.keys():
            return False
        try:
            for name, target in targets.items():
                with atomic_write(target) as temporary:
                    # Bytes alone: a cache that is read-only says so of its files.
                    shutil.copyfile(self.folder / name, temporary)
                    if sha256_of(temporary) != sums[name]:
                        raise DamagedError("it is not as it was written")
        except (OSError, VmcError) as error:
            log.warning("the shared %s cannot be used (%s); it is made again", self.folder / name, short_reason(error))
            return False
        return True

    def add(self, sources: Mapping[str, Path]) -> bool:
        """Copy files into the entry, for other runs; False where that cannot be done, which is logged."""
        try:
            with self.only_process():
                sums = dict(self.read().get(CHECKSUM, {}))
                for name in self.faults(sources):
                    with atomic_write(self.folder / name) as temporary:
                        shutil.copyfile(sources[name], temporary)
                        sums[name] = sha256_of(temporary)
                self.seal(sums)
        except (OSError, VmcError) as error:
            log.warning("not shared with other runs: %s cannot be written (%s)", self.folder, short_reason(error))
            return False
        return True


@contextmanager
def only_process(lock: Path, *, doing: str) -> Iterator[bool]:
    """A block that one process at a time runs, whether another one was in it before; the lock ends with its process.
    `doing` says, in the third person, what is waited for.
    """
    held, waited = FileLock(lock), False
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            log.info("another process %s; waiting for it", doing)
            held.acquire()
            waited = True
    except (OSError, NotImplementedError):
        pass  # a folder that is read-only or has no locks: what is written there is atomic all the same
    try:
        yield waited
    finally:
        held.release()
