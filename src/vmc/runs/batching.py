"""How many videos are made at a time: as many as asked for, or as memory allows."""

import logging
from dataclasses import dataclass, field

import torch

from vmc.errors import VmcError

log = logging.getLogger(__name__)

FIRST = 4
"""Videos of the first batch on a GPU, from which the memory of one is measured."""
MOST = 64
"""Beyond this a batch gains nothing."""
ON_CPU = 8
"""The fastest on two cores (`python -m vmc.bench generate`); larger batches leave the processor's caches."""
SHARE = 0.85
"""Of the free memory that is used."""


@dataclass
class BatchSize:
    """The size of the next batch.

    Args:
        wanted: videos; None finds the size.
        device: where they are made.
    """

    wanted: int | None
    device: torch.device
    size: int = field(init=False)
    _measured: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.wanted is not None and self.wanted < 1:
            raise VmcError(f"batch_size is {self.wanted}; it must be at least 1, or null to find it")
        self.size = self.wanted or (FIRST if self.device.type == "cuda" else ON_CPU)

    def begin(self) -> None:
        """Before a batch: start measuring, where a size is to be found."""
        if self._searching:
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)

    def done(self, videos: int) -> None:
        """After a batch of so many videos: the next ones are as large as memory allows."""
        if not self._searching:
            return
        each = (torch.cuda.max_memory_allocated(self.device) - self._before) / videos
        reserved = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + reserved
        self.size, self._measured = fitting(free=free, each=each), True
        log.info("%d videos at a time: one takes %.2f GiB", self.size, each / 2**30)

    def too_large(self, error: BaseException) -> None:
        """Memory was not enough: half as many from now on.

        Raises:
            VmcError: not even one fits.
        """
        if self.size == 1:
            raise VmcError(
                "one video alone does not fit into memory; choose a smaller data.size or data.frames,"
                " or a lower trainer.precision"
            ) from error
        self.size, self._measured = self.size // 2, True
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.info("memory is short: %d videos at a time", self.size)

    @property
    def _searching(self) -> bool:
        return self.wanted is None and self.device.type == "cuda" and not self._measured


def fitting(*, free: float, each: float) -> int:
    """How many videos of `each` bytes fit into `free` bytes, at least 1 and at most `MOST`."""
    return max(1, min(MOST, int(SHARE * free / max(each, 1.0))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on a GPU or in PyTorch's allocator on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
