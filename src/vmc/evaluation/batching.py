"""Batches of videos: how many are made at a time, and each stage of making them beside the next one."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import torch

from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)
Item = TypeVar("Item")

FIRST = 4
"""Videos of the first batch on a GPU, from which the memory of one is measured."""
MOST = 64
"""Beyond this a batch gains nothing."""
ON_CPU = 8
"""The fastest on two cores (`python -m vmc.bench generate`); larger batches leave the processor's caches."""
SHARE = 0.85
"""Of the free memory that is used."""
TOO_LARGE = (
    "one video alone does not fit into memory; choose a smaller data.size or data.frames, or a lower trainer.precision"
)


class BatchSize:
    """The size of the next batch.

    Args:
        wanted: videos; None finds the size.
        device: where they are made.
    """

    def __init__(self, wanted: int | None, device: torch.device) -> None:
        if wanted is not None and wanted < 1:
            raise VmcError(f"batch_size is {wanted}; it must be at least 1, or null to find it")
        self.device, on_gpu = device, device.type == "cuda"
        self.size = wanted or (FIRST if on_gpu else ON_CPU)
        self._measuring = on_gpu and wanted is None

    def begin(self) -> None:
        """Before a batch: start measuring, where a size is to be found."""
        if self._measuring:
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)

    def done(self, videos: int) -> None:
        """After a batch of so many videos: the next ones are as large as memory allows."""
        if not self._measuring:
            return
        each = (torch.cuda.max_memory_allocated(self.device) - self._before) / videos
        reserved = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + reserved
        self.size, self._measuring = fitting(free=free, each=each), False
        log.info("%d videos at a time: one takes %.2f GiB", self.size, each / 2**30)

    def too_large(self, error: BaseException) -> None:
        """Memory was not enough: half as many from now on.

        Raises:
            VmcError: not even one fits.
        """
        if self.size == 1:
            raise VmcError(TOO_LARGE) from error
        self.size, self._measuring = self.size // 2, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.info("memory is short: %d videos at a time", self.size)


def fitting(*, free: float, each: float) -> int:
    """How many videos of `each` bytes fit into `free` bytes, at least 1 and at most `MOST`."""
    return max(1, min(MOST, int(SHARE * free / max(each, 1.0))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on a GPU or in PyTorch's allocator on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def ahead(items: Iterator[Item], device: torch.device) -> Iterator[Item]:
    """The items of an iterator, each made in a thread while the one before it is used; on a GPU in a stream of its own.

    It makes one item ahead and no more. What it raises is raised here.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    if stream is not None:  # what was begun before must be there
        stream.wait_stream(torch.cuda.current_stream(device))

    def make() -> Item | None:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            item = next(items, None)
            if stream is not None:  # who takes the item uses another stream
                stream.synchronize()
            return item

    # A thread starts with the default number of threads within operations, which decides their last bits.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as thread:
        coming = thread.submit(make)
        while (item := coming.result()) is not None:
            coming = thread.submit(make)
            yield item
