"""Pictures made once and kept in the cache: arrays in files of equal size, mapped into memory."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, cache_root
from vmc.utils.processes import spawn_context

Array = NDArray[np.uint8]
Make = Callable[[Sequence[int]], Array]


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Consecutive items, uint8 arrays of one shape; an item is a function of its number and the settings.

    The settings are all that decides an item besides its number, the renderer's hash among it, and are taken by their
    `repr`; other settings have another folder. Where several processes are to run `make`, it must be picklable: a
    function of a module, or a `functools.partial` of one.
    """

    name: str  # of the folder and on the bar
    make: Make  # numbers -> the items stacked
    shape: tuple[int, ...]  # of one item
    settings: tuple[object, ...]
    count: int  # of the items
    first: int = 0  # number of the first item
    per_shard: int = 250  # items in a file

    def __post_init__(self) -> None:
        if self.count < 1:
            raise VmcError(f"{self.name} are asked for {self.count} times; ask for 1 at least")

    def __len__(self) -> int:
        return self.count

    @cached_property
    def folder(self) -> Path:
        """The folder of the files."""
        key = hashlib.sha256(repr((self.settings, self.shape, self.per_shard)).encode()).hexdigest()[:12]
        return cache_root() / "mini" / f"{self.name.replace(' ', '-')}-{key}"

    @property
    def files(self) -> list[tuple[Path, range]]:
        """Path and numbers of every shard."""
        return shard_files(self.folder / "items", self.first, self.count, self.per_shard)

    @property
    def missing(self) -> list[tuple[Path, range]]:
        """Those of `files` that are not made yet."""
        return [file for file in self.files if not file[0].is_file()]

    def prepare(self, *, workers: int, enough: Callable[[], bool] = lambda: False) -> bool:
        """Make the shards that are missing until `enough`, asked after each, says stop; whether all are there."""
        return write_shards(self.make, self.files, name=self.name, workers=workers, enough=enough)

    @cached_property
    def _arrays(self) -> list[Array]:
        return [open_array(path, (len(numbers), *self.shape)) for path, numbers in self.files]

    def items(self, indices: Sequence[int]) -> Array:
        """The items wanted, stacked; index 0 is number `first`."""
        places = [divmod(index, self.per_shard) for index in indices]
        return np.stack([self._arrays[shard][row] for shard, row in places])


def shard_files(stem: Path, first: int, count: int, per_shard: int) -> list[tuple[Path, range]]:
    """Path, which begins with `stem`, and numbers of every shard of `count` items."""
    parts = [range(first, first + count)[start : start + per_shard] for start in range(0, count, per_shard)]
    return [(stem.with_name(f"{stem.name}-{part.start}-{len(part)}.npy"), part) for part in parts]


def write_shards(
    make: Make, files: Sequence[tuple[Path, range]], *, name: str, workers: int, enough: Callable[[], bool]
) -> bool:
    """Make those of the files that are missing, see `Shards`; whether all are there."""
    missing = [file for file in files if not file[0].is_file()]
    total = sum(len(numbers) for _, numbers in missing)
    bar: tqdm = tqdm(total=total, desc=name, unit="item", disable=None if missing else True)
    with bar:
        if workers > 1 and len(missing) > 1:
            return _in_processes(make, missing, workers, enough, bar)
        for path, numbers in missing:
            if enough():
                return False
            _write_shard(make, path, numbers)
            bar.update(len(numbers))
    return True


def _write_shard(make: Make, path: Path, numbers: Sequence[int]) -> None:
    items = make(numbers)
    with atomic_write(path) as temporary:
        np.save(temporary, items)


def _in_processes(
    make: Make, missing: Sequence[tuple[Path, range]], workers: int, enough: Callable[[], bool], bar: "tqdm[None]"
) -> bool:
    """`_write_shard` for all, side by side; spawned, because a fork of a process with CUDA or threads is not sound."""
    with ProcessPoolExecutor(workers, mp_context=spawn_context(), initializer=os.nice, initargs=(5,)) as pool:
        waiting = {pool.submit(_write_shard, make, path, numbers): len(numbers) for path, numbers in missing}
        try:
            for future in as_completed(waiting):
                future.result()
                bar.update(waiting[future])
                if enough():
                    break
        except BrokenProcessPool:
            if not enough():
                raise
        finally:  # else hours of work that waits would be done before an error is seen
            pool.shutdown(wait=True, cancel_futures=True)
    return all(path.is_file() for path, _ in missing)


def open_array(path: Path, shape: tuple[int, ...]) -> Array:
    """Map an array of the cache into memory.

    Raises:
        VmcError: it is damaged, or of another shape.
    """
    try:
        items: Array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise VmcError(f"{path} is damaged ({error}); remove it and it is made again") from error
    if items.shape != shape:
        raise VmcError(f"{path} holds {items.shape}, not {shape}; remove it and it is made again")
    return items
