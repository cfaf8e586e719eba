"""Videos from prompts, in batches, written as they are made.

Axes: B videos, C colours or latent channels, F frames, H and W.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor
from tqdm import tqdm

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.diffusion.conditioning import Conditioning
from vmc.diffusion.sampling import Sampler, initial_noise, lent
from vmc.models.base import DECODE_FRAMES, Autoencoder, VideoModel
from vmc.runs.batching import BatchSize, is_out_of_memory

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
        with lent(self.autoencoder.module, device):
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
