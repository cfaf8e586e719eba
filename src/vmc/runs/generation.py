"""Videos from prompts, in batches, written as they are made.

Axes: B videos, C colours, F frames, H and W, L text positions, D text width.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet3DConditionModel
from torch import Tensor
from tqdm import tqdm

from vmc.data.prompts import Prompt
from vmc.data.video import write_video
from vmc.diffusion.sampling import Sampler, decode, initial_noise
from vmc.errors import VmcError


@dataclass(kw_only=True)
class VideoGenerator:
    """A model and how videos are drawn from it.

    Args:
        unet: in eval mode, on the device that is to be used.
        vae: on the same device.
        solver: DPM-Solver++ on the model's schedule.
        encode: embedding_LD of a text.
        sampler: steps and guidance.
        latent_shape: (C, F, h, w).
        fps: frames a second of the videos written.
        batch_size: videos at a time; one prompt with one seed gives the same video in any batch, to rounding.
        precision: entered around the UNet (autocast where its weights are of mixed precision).
    """

    unet: UNet3DConditionModel
    vae: AutoencoderKL
    solver: DPMSolverMultistepScheduler
    encode: Callable[[str], Tensor]
    sampler: Sampler
    latent_shape: Sequence[int]
    fps: float
    batch_size: int = 8
    precision: Callable[[], AbstractContextManager] = nullcontext

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise VmcError(f"batch_size is {self.batch_size}; it must be at least 1")
        self._texts: dict[str, Tensor] = {}

    def write(self, prompts: Sequence[Prompt], files: Sequence[Path], *, label: str = "videos") -> Iterator[Path]:
        """Write each prompt's video to its file and give the file; videos already there are not made again."""
        todo = [(prompt, file) for prompt, file in zip(prompts, files, strict=True) if not file.exists()]
        with tqdm(total=len(todo), desc=label, unit="video", disable=None, leave=False) as bar:
            for first in range(0, len(todo), self.batch_size):
                batch = todo[first : first + self.batch_size]
                frames_BFCHW = self.frames([prompt for prompt, _ in batch])
                for (_, file), frames_FCHW in zip(batch, frames_BFCHW, strict=True):
                    write_video(file, frames_FCHW, fps=self.fps)
                    bar.update()
                    yield file

    def frames(self, prompts: Sequence[Prompt]) -> Tensor:
        """frames_BFCHW, uint8, of one batch of prompts."""
        device = self.unet.device
        noise_BCFHW = initial_noise([prompt.seed for prompt in prompts], self.latent_shape).to(device)
        text_BLD = torch.stack([self._text(prompt.text) for prompt in prompts]).to(device)
        with self.precision():
            latents_BCFHW = self.sampler(
                self.unet,
                self.solver,
                noise_BCFHW=noise_BCFHW,
                text_BLD=text_BLD,
                empty_LD=self._text("").to(device),
            )
        return decode(self.vae, latents_BCFHW)

    def _text(self, text: str) -> Tensor:
        if text not in self._texts:
            self._texts[text] = self.encode(text)
        return self._texts[text]


def video_names(prompts: Sequence[Prompt]) -> list[str]:
    """A readable file name for each prompt, unique among them: place, subject or text, seed."""
    return [
        f"{place:04d}-{_slug(prompt.subject or prompt.text)}-{prompt.seed}.mp4" for place, prompt in enumerate(prompts)
    ]


def marked_names(prompts: Sequence[Prompt], *made_with: object) -> list[str]:
    """As `video_names`, with a mark of the prompt and of all that it is made with.

    So a video of the same name is the same video, and a folder may hold those of several models, prompts and samplers.
    """
    marks = [hashlib.sha256(repr((prompt, made_with)).encode()).hexdigest()[:8] for prompt in prompts]
    names = video_names(prompts)
    return [f"{name.removesuffix('.mp4')}-{mark}.mp4" for name, mark in zip(names, marks, strict=True)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-") or "video"
