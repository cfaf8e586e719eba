"""Batches of videos: how many fit into memory, and stages of generation that overlap."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import torch

from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)
Item = TypeVar("Item")

FIRST = 4  # videos of the first batch on a GPU, from which the memory of one is measured
MOST = 64  # beyond this a batch gains nothing
ON_CPU = 8  # the fastest on two cores (`python -m vmc.bench generate`); larger batches leave the processor's caches
SHARE = 0.85  # of the free memory that is used
TOO_LARGE = (
    "one video alone does not fit into memory; choose a smaller data.size or data.frames, or a lower trainer.precision"
)


class BatchSize:
    """The number of videos in the next batch; where `wanted` is None, as many as the device's memory allows."""

    def __init__(self, wanted: int | None, device: torch.device) -> None:
        if wanted is not None and wanted < 1:
            raise VmcError(f"batch_size is {wanted}; it must be at least 1, or null to find it")
        self.device, on_gpu = device, device.type == "cuda"
        self.size = wanted or (FIRST if on_gpu else ON_CPU)
        self._measuring = on_gpu and wanted is None

    def begin(self) -> None:
        """Start to measure the memory of a batch, where the size is not known."""
        if self._measuring:
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)

    def done(self, videos: int) -> None:
        """Choose the size of the following batches, after a batch of so many videos."""
        if not self._measuring:
            return
        each = (torch.cuda.max_memory_allocated(self.device) - self._before) / videos
        reserved = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + reserved
        self.size, self._measuring = fitting(free=free, each=each), False
        log.info("%d videos at a time: one takes %.2f GiB", self.size, each / 2**30)

    def too_large(self, error: BaseException) -> None:
        """Halve the size after a batch that did not fit; a VmcError where it was one video."""
        if self.size == 1:
            raise VmcError(TOO_LARGE) from error
        self.size, self._measuring = self.size // 2, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.info("memory is short: %d videos at a time", self.size)


def fitting(*, free: float, each: float) -> int:
    """Number of videos of `each` bytes that fit into `free` bytes, from 1 to `MOST`."""
    return max(1, min(MOST, int(SHARE * free / max(each, 1.0))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is of memory running out, on a GPU or in PyTorch's allocator on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def prefetch(items: Iterator[Item], device: torch.device) -> Iterator[Item]:
    """Make the items of an iterator in a thread, each while the one before it is used; on a GPU in a stream of its own.

    At most one item is made ahead. Errors of the iterator are raised here.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    if stream is not None:  # earlier work of this stream must be complete
        stream.wait_stream(torch.cuda.current_stream(device))

    def make() -> Item | None:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            item = next(items, None)
            if stream is not None:  # the caller uses the item in another stream
                stream.synchronize()
            return item

    # A new thread has the default number of threads within operations, which affects the last bits of results.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as thread:
        coming = thread.submit(make)
        while (item := coming.result()) is not None:
            coming = thread.submit(make)
            yield item
