"""Videos from prompts, written as they are made, as many at a time as are asked for or as memory allows.

Axes: B videos, C colours or latent channels, F frames, H and W.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.diffusion.conditioning import Conditioning
from vmc.diffusion.sampling import Sampler, initial_noise, on_device
from vmc.models.base import DECODE_FRAMES, Autoencoder, VideoModel
from vmc.utils.errors import VmcError

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


WRITERS = 4
"""Threads that write videos while a GPU makes the next ones."""
_Todo: TypeAlias = tuple[Prompt, Path]


@dataclass(kw_only=True)
class VideoGenerator:
    """A model and how videos are drawn from it.

    Args:
        model: the base model.
        denoiser: its denoiser, tuned or not, in eval mode, on the device that is to be used.
        autoencoder: on the same device, or on another one, which lends it while it decodes.
        encode: what the denoiser reads of a text.
        sampler: steps and guidance.
        latent_shape: (C, F, h, w).
        fps: frames a second of the videos written.
        batch_size: videos at a time, None for as many as memory allows; one prompt with one seed gives the same video
            in any batch, to rounding.
        precision: entered around the denoiser (autocast where its weights are of mixed precision).
        decode_frames: that the autoencoder decodes at a time.
        decode_tile: px, the side of tiles that it decodes a frame in; None decodes it whole.
    """

    model: VideoModel
    denoiser: Any
    autoencoder: Autoencoder
    encode: Callable[[str], Conditioning]
    sampler: Sampler
    latent_shape: Sequence[int]
    fps: float
    batch_size: int | None = None
    precision: Callable[[], AbstractContextManager] = nullcontext
    decode_frames: int = DECODE_FRAMES
    decode_tile: int | None = None

    def __post_init__(self) -> None:
        self._texts: dict[str, Conditioning] = {}
        self._batch = BatchSize(self.batch_size, self.denoiser.device)

    def write(self, prompts: Sequence[Prompt], files: Sequence[Path], *, label: str = "videos") -> Iterator[Path]:
        """Write each prompt's video to its file and give the files that were missing, in order.

        Which prompts share a batch follows from the prompts alone, because the last bits of a video hang on those
        beside it. A batch of which a video is missing is made again whole; the videos that are there stay.
        """
        todo = list(zip(prompts, files, strict=True))
        missing = {file for file in files if not file.exists()}
        # A GPU draws the next batch while a processor writes this one; on a processor alone they would only compete.
        workers = WRITERS if self.denoiser.device.type == "cuda" else 0
        with (
            tqdm(total=len(missing), desc=label, unit="video", disable=None, leave=False) as bar,
            _Writers(workers) as write,
        ):
            for batch, frames_BFCHW in self._batches(todo, missing):
                for (_, file), frames_FCHW in zip(batch, frames_BFCHW, strict=True):
                    if file in missing:
                        write(file, frames_FCHW, fps=self.fps)
                for file in write.finished():
                    bar.update()
                    yield file
            for file in write.finished(wait=True):
                bar.update()
                yield file

    def _batches(self, todo: Sequence[_Todo], missing: Set[Path]) -> Iterator[tuple[Sequence[_Todo], Tensor]]:
        """Prompts with their files, and frames_BFCHW, in batches that fit into memory and lack a file."""
        first = 0
        while first < len(todo):
            batch = todo[first : first + self._batch.size]
            if not any(file in missing for _, file in batch):
                first += len(batch)
                continue
            self._batch.begin()
            try:
                frames_BFCHW = self.frames([prompt for prompt, _ in batch])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._batch.too_large(error)
                continue
            self._batch.done(len(batch))
            first += len(batch)
            yield batch, frames_BFCHW

    def frames(self, prompts: Sequence[Prompt]) -> Tensor:
        """frames_BFCHW, uint8, of one batch of prompts."""
        device = self.denoiser.device
        noise_BCFHW = initial_noise([prompt.seed for prompt in prompts], self.latent_shape).to(device)
        text = Conditioning.cat([self._text(prompt.text) for prompt in prompts]).to(device)
        with self.precision():
            latents_BCFHW = self.sampler(
                partial(self.model.predict, self.denoiser),
                self.model.process.solver(),
                noise_BCFHW=noise_BCFHW,
                text=text,
                empty=self._text("").to(device),
            )
        with on_device(self.autoencoder.module, device):
            return self.autoencoder.decode(latents_BCFHW, frames_at_once=self.decode_frames, tile=self.decode_tile)

    def _text(self, text: str) -> Conditioning:
        if text not in self._texts:
            self._texts[text] = self.encode(text)
        return self._texts[text]


class _Writers:
    """Writes videos, in so many threads (0: at once), and tells which are on disk."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._waiting: list[tuple[Path, Future | None]] = []

    def __enter__(self) -> "_Writers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=error[0] is not None)

    def __call__(self, file: Path, frames_FCHW: Tensor, *, fps: float) -> None:
        """Write a video, now or soon."""
        if self._pool is None:
            write_video(file, frames_FCHW, fps=fps)
            self._waiting.append((file, None))
        else:
            self._waiting.append((file, self._pool.submit(write_video, file, frames_FCHW, fps=fps)))

    def finished(self, *, wait: bool = False) -> Iterator[Path]:
        """Files that are there, in order; all of them if waited for."""
        while self._waiting:
            file, job = self._waiting[0]
            if job is not None:
                if not (wait or job.done()):
                    return
                job.result()
            self._waiting.pop(0)
            yield file


def video_names(prompts: Sequence[Prompt]) -> list[str]:
    """A readable file name for each prompt, unique among them: place, subject or text, seed."""
    return [
        f"{place:04d}-{_slug(prompt.subject or prompt.text)}-{prompt.seed}.mp4" for place, prompt in enumerate(prompts)
    ]


def marked_names(prompts: Sequence[Prompt], *made_with: object) -> list[str]:
    """As `video_names`, with a mark of the prompt and of all that it is made with.

    So a video of the same name is the same video, and a folder may hold those of several models, prompts and samplers.
    """
    marks = [hashlib.sha256(repr((prompt.text, prompt.seed, made_with)).encode()).hexdigest()[:8] for prompt in prompts]
    names = video_names(prompts)
    return [f"{name.removesuffix('.mp4')}-{mark}.mp4" for name, mark in zip(names, marks, strict=True)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-") or "video"
