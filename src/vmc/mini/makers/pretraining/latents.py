"""The latents of all windows, encoded once and mapped into memory.

Axes: N windows, C latent channels, F frames, H and W of the latent.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vmc.mini.makers.pretraining.clips import CLIPS_A_SHARD, WINDOWS, Clips
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

_AT_ONCE = 16
"""Windows encoded in one go."""


@dataclass(frozen=True)
class Latents:
    """Means of the posteriors of all windows of `clips`, scaled, in float16 beside the clips' shards.

    Args:
        clips: whose windows.
        vae: the finished autoencoder; another one has other files.
    """

    clips: Clips
    vae: AutoencoderKL

    @cached_property
    def key(self) -> str:
        """A hash of the autoencoder's weights and scaling factor."""
        digest = hashlib.sha256(repr(self.vae.config.scaling_factor).encode())
        for tensor in self.vae.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:12]

    def _path(self, numbers: range) -> Path:
        return self.clips.folder / f"latents-{self.key}-{numbers.start}-{len(numbers)}.npy"

    def prepare(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Encode the shards that are missing; whether all are there. `enough` is asked before each shard."""
        shards = self.clips.shards
        missing = [shard for shard, (_, numbers) in enumerate(shards) if not self._path(numbers).is_file()]
        for shard in tqdm(missing, desc="encoding clips", unit="shard", disable=None if missing else True):
            if enough():
                return False
            numbers = shards[shard][1]
            first = shard * CLIPS_A_SHARD * WINDOWS
            means_NCFHW = self._encode(range(first, first + len(numbers) * WINDOWS))
            with atomic_write(self._path(numbers)) as temporary:
                np.save(temporary, means_NCFHW)
        return True

    @torch.no_grad()
    def _encode(self, windows: range) -> NDArray[np.float16]:
        parts = []
        for start in range(0, len(windows), _AT_ONCE):
            frames_NFHWC = torch.from_numpy(self.clips.frames(windows[start : start + _AT_ONCE]))
            pixels = rearrange(frames_NFHWC, "n f h w c -> (n f) c h w").to(self.vae.device).float() / 127.5 - 1
            means = self.vae.encode(pixels).latent_dist.mean * self.vae.config.scaling_factor
            parts.append(rearrange(means, "(n f) c h w -> n c f h w", n=len(frames_NFHWC)).cpu().half().numpy())
        return np.concatenate(parts)

    @cached_property
    def _arrays(self) -> list[NDArray[np.float16]]:
        try:
            return [np.load(self._path(numbers), mmap_mode="r") for _, numbers in self.clips.shards]
        except (OSError, ValueError, EOFError) as error:
            raise VmcError(f"a file of latents in {self.clips.folder} is damaged ({error}); remove it") from error

    def means(self, windows: Sequence[int]) -> Tensor:
        """means_NCFHW, float32."""
        places = [divmod(window, CLIPS_A_SHARD * WINDOWS) for window in windows]
        return torch.from_numpy(np.stack([self._arrays[shard][row] for shard, row in places])).float()
