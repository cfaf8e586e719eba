"""The untouched base model as a maker of videos."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.models.base import VideoModel
from vmc.training.hardware import Hardware
from vmc.training.tuned import TunedModel


@dataclass(frozen=True, kw_only=True)
class BaseVideos:
    """Videos of the frames, size and rate that a run trains on, by its base model before any training.

    Args:
        base: with the frames, size and rate of the run's clips.
        hardware: where videos are made.
        cache: folder of the shared caches.
        test_seeds: those of the run's test set, which nothing that is trained on may be made from.
    """

    base: VideoModel
    hardware: Hardware
    cache: Path
    test_seeds: frozenset[int] = frozenset()

    def describe(self, sampler: Sampler) -> dict[str, Any]:
        """All that a video depends on besides caption and seed: fingerprints of the model's parts, sampler, window."""
        # The denoiser may be of a part that lies beside the pipeline, too.
        parts = dict.fromkeys((*self.base.parts, *self.base.parts_of("denoiser")))
        return {
            "base": {part: self.base.fingerprint(part) for part in parts},
            "latents": list(self.base.latent_shape(frames=self.base.frames, size=self.base.size)),
            "fps": self.base.fps,
            "sampler": asdict(sampler),
        }

    def write(self, prompts: Sequence[Prompt], files: Sequence[Path], *, sampler: Sampler, label: str) -> None:
        """Write each prompt's video to its file, where it is not there yet.

        Each is made by itself, and on a CPU by one thread: so neither an interruption, nor memory, nor
        `trainer.threads` has a part in its bits. On two cores a batch would be a tenth faster.
        """
        if all(file.is_file() for file in files):
            return
        with _one_thread(on_cpu=self.hardware.device.type == "cpu"):
            encoder = self.base.text_encoder()
            model = TunedModel(base=self.base, denoiser=self.base.denoiser(), encoder=encoder, hardware=self.hardware)
            for _ in model.generator(sampler=sampler, batch_size=1).write(prompts, files, label=label):
                pass
        del model, encoder
        gc.collect()
        if self.hardware.device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def _one_thread(*, on_cpu: bool) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if on_cpu else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
