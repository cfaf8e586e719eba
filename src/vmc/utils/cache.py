"""Caches on disk that all runs share: an entry for each key, which holds tensors or files.

An entry is made by one process while others wait for it. It is written atomically with its SHA-256, and made again
where it is damaged.
"""

import hashlib
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
from vmc.utils.files import atomic_write, read_json, sha256_of, short_reason, sweep, write_json
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

log = logging.getLogger(__name__)
Item = TypeVar("Item")

# Folders of the shared cache in which runs write.
CACHES = ("latents", "texts", "descriptors", "evaluations", "base-videos", "synthetic")
ONLY = "tensor"  # the name of an entry's only tensor
REMEDY = "choose another folder by cache=... or VMC_CACHE, or make room there"


def cache_key(*parts: object) -> str:
    """The key of an entry: a hash of everything that it depends on."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def sweep_caches(root: Path) -> None:
    """Remove incomplete files of killed runs from the shared caches."""
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
        """Give the tensors of each key, by their names; missing and damaged entries are made, each by itself.

        They are always read back from their file, so that an empty, an incomplete and a full cache give the same bits.

        Args:
            items: what the tensors of each key are made of.
            load: called if entries have to be made; gives the function that makes the tensors of an item.
            label: of the progress bar; None shows none.
        """
        found = {key: tensors for key in items if (tensors := self._read(key)) is not None}
        if len(found) == len(items):
            return found
        # Runs with the same items wait for each other, others do not.
        with only_process(self._file(min(items)).with_name(".lock"), doing=f"fills {self.folder}") as waited:
            if waited:
                found |= {key: tensors for key in items.keys() - found if (tensors := self._read(key)) is not None}
            if missing := [key for key in items if key not in found]:  # none, if the other process has made them
                make = load()
            for key in tqdm(missing, desc=label, unit="item", disable=None if label else True, leave=False):
                plain = {name: tensor.detach().cpu().contiguous() for name, tensor in make(items[key]).items()}
                save_tensors(plain, self._file(key), remedy=REMEDY)
                found[key] = load_tensors(self._file(key))[0]
        return found

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> dict[str, Tensor] | None:
        """An entry's tensors; None where it is missing or damaged, or has no checksum, as in earlier versions."""
        try:
            if not self._file(key).is_file():
                return None
            tensors, about = load_tensors(self._file(key))
        except PermissionError:  # writing it again will raise an error with a remedy
            return None
        except DamagedError as error:
            log.warning("the cache file %s; it is made again", error)
            return None
        return tensors if CHECKSUM in about else None


@dataclass(frozen=True)
class CachedFiles:
    """An entry that is a folder of files, with the SHA-256 of each in a JSON file, the `manifest`, written last."""

    folder: Path
    manifest: str = "checksums.json"

    def read(self) -> dict[str, Any]:
        """The content of the manifest; empty where it is missing or damaged."""
        content = read_json(self.folder / self.manifest) or {}
        return content if isinstance(content.get(CHECKSUM, {}), dict) else {}

    def faults(self, names: Iterable[str]) -> dict[str, str]:
        """A clause for each of these files that is missing or damaged."""
        sums = self.read().get(CHECKSUM, {})
        found = {}
        for name in names:
            if not (self.folder / name).is_file():
                found[name] = "is gone" if name in sums else "is not there yet"
            elif sums.get(name) != sha256_of(self.folder / name):
                found[name] = "is not as it was written" if name in sums else "has no checksum"
        return found

    def only_process(self) -> Any:
        """A context in which no other process makes this entry."""
        return only_process(self.folder.with_suffix(".lock"), doing=f"makes {self.folder}")

    def seal(self, checksums: Mapping[str, str], **about: Any) -> None:
        """Write the manifest, with `about` beside the checksums."""
        write_json(self.folder / self.manifest, {**about, CHECKSUM: dict(checksums)})

    def copy(self, targets: Mapping[str, Path]) -> bool:
        """Copy files of the entry to their targets; False, with damage logged, where one of them has to be made."""
        sums = self.read().get(CHECKSUM, {})
        if not targets.keys() <= sums.keys():
            return False
        try:
            for name, target in targets.items():
                with atomic_write(target) as temporary:
                    # Without permissions: the files of a read-only cache are read-only.
                    shutil.copyfile(self.folder / name, temporary)
                    if sha256_of(temporary) != sums[name]:
                        raise DamagedError("it is not as it was written")
        except (OSError, VmcError) as error:
            log.warning("the shared %s cannot be used (%s); it is made again", self.folder / name, short_reason(error))
            return False
        return True

    def add(self, sources: Mapping[str, Path]) -> bool:
        """Copy files into the entry, for other runs; False, which is logged, where the cache cannot be written."""
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
    """A context that one process at a time enters; gives whether it has waited for another one.

    The lock ends with its process. `doing` says, in the third person, what the other process does, for the log.
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
        pass  # the folder is read-only or has no locks; files are written atomically all the same
    try:
        yield waited
    finally:
        held.release()
