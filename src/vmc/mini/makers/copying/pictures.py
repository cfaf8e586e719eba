"""The pictures that the descriptor is trained and measured on, made once and kept in the cache.

Axes: N clips, V pictures or versions of a clip, F frames, H and W pixels, C = 3 colours.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vmc.data.frames import even_times, window
from vmc.mini.makers.copying.people import (
    EXEMPLARS,
    GROUP,
    OTHERS,
    SETS,
    VALIDATION,
    settings,
    training_clip,
    validation_clip,
)
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.renderer import FPS, render
from vmc.tools.learning.shards import open_array, shard_files, write_shards
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, cache_root, fingerprint
from vmc.utils.randomness import generator

SIZE = 64
"""Pixels of a side, as in `conf/data/mini.yaml`."""
RENDERED, PICTURES = 3, 4
"""Frames taken of a clip; the last of its pictures is the first of them, through the autoencoder."""
FRAMES, STEP = 8, 4
"""Of the validation's windows, as the miniature's configs have them: 3 of 12 frames a second."""
LATENT_NOISE = 0.15
"""Deviation added to latents before they are decoded, as a share of theirs: generated latents are not exact."""
CLIPS_A_SHARD = 200
LIGHT, MARGIN = 0.1, 3
"""What happens to the validation's copies besides the autoencoder: largest change of brightness, pixels cut off."""
_AT_ONCE = 50


def load_autoencoder(pipeline: Path) -> AutoencoderKL:
    """The autoencoder of a diffusers folder.

    Raises:
        VmcError: the folder has none.
    """
    if not (pipeline / "vae" / "config.json").is_file():
        raise VmcError(f"--pipeline is {pipeline}, which has no vae/config.json; give the folder of a pipeline")
    vae = AutoencoderKL.from_pretrained(pipeline, subfolder="vae", torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval()


@dataclass(frozen=True)
class Pictures:
    """Training clips and validation clips.

    Args:
        pipeline: the diffusers folder whose autoencoder pictures go through.
        clips: how many to train on.
        sets: of the validation.
    """

    pipeline: Path
    clips: int
    sets: int = SETS

    def __post_init__(self) -> None:
        if self.clips < GROUP or self.clips % GROUP or self.clips > VALIDATION:
            raise VmcError(f"--clips is {self.clips}; it must be a multiple of {GROUP} from {GROUP} to {VALIDATION}")

    @cached_property
    def autoencoder(self) -> AutoencoderKL:
        """Of the pipeline."""
        return load_autoencoder(self.pipeline)

    @cached_property
    def key(self) -> str:
        """Of all that decides what a file of the cache holds."""
        if not (self.pipeline / "vae").is_dir():
            load_autoencoder(self.pipeline)
        own = (SIZE, RENDERED, PICTURES, FRAMES, STEP, LATENT_NOISE, LIGHT, MARGIN)
        parts = (renderer_hash(), fingerprint(self.pipeline / "vae"), own, settings())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    @property
    def _shards(self) -> list[tuple[Path, range]]:
        stem = cache_root() / "mini" / f"copying-{self.key}" / "clips"
        return shard_files(stem, 0, self.clips, CLIPS_A_SHARD)

    @property
    def _validation(self) -> Path:
        return cache_root() / "mini" / f"copying-{self.key}" / f"validation-{self.sets}.npy"

    def prepare(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Make what is missing; whether all is there. `enough` is asked after each file."""
        if not self._validation.is_file():
            with atomic_write(self._validation) as temporary:
                np.save(temporary, self._validation_sets())
        return write_shards(self._shard, self._shards, name="rendering clips", workers=1, enough=enough)

    def _shard(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """pictures_NVHWC of training clips."""
        rendered_NVHWC = np.stack([_three_frames(number) for number in numbers])
        decoded_NHWC = through(self.autoencoder, rendered_NVHWC[:, 0], "copying", numbers[0])
        return np.concatenate([rendered_NVHWC, decoded_NHWC[:, None]], axis=1)

    def _validation_sets(self) -> NDArray[np.uint8]:
        """frames_NVFHWC: each clip's window as it is, and re-encoded with another light and margin."""
        numbers = range(VALIDATION, VALIDATION + self.sets * (EXEMPLARS + OTHERS))
        clips = []
        for number in tqdm(numbers, desc="rendering validation", unit="clip", disable=None):
            frames_FHWC = _window(number)
            clips.append(np.stack([frames_FHWC, copied(self.autoencoder, frames_FHWC, number)]))
        return np.stack(clips)

    @cached_property
    def _arrays(self) -> list[NDArray[np.uint8]]:
        return [open_array(path, (len(part), PICTURES, SIZE, SIZE, 3)) for path, part in self._shards]

    def take(self, clips: Sequence[int], pictures: Sequence[int]) -> Tensor:
        """images_NCHW of 0 to 1: of each clip the picture wanted."""
        places = [divmod(clip, CLIPS_A_SHARD) for clip in clips]
        chosen_NHWC = np.stack([self._arrays[s][row, v] for (s, row), v in zip(places, pictures, strict=True)])
        return to_images(chosen_NHWC)

    @cached_property
    def validation(self) -> NDArray[np.uint8]:
        """frames_NVFHWC, set after set, exemplars first; V: as they are, re-encoded."""
        count = self.sets * (EXEMPLARS + OTHERS)
        return open_array(self._validation, (count, 2, FRAMES, SIZE, SIZE, 3))


def _three_frames(number: int) -> NDArray[np.uint8]:
    frames_FHWC = render(training_clip(number), SIZE)
    draw = generator("copying", number, "frames")
    return frames_FHWC[torch.randperm(len(frames_FHWC), generator=draw)[:RENDERED].numpy()]


def _window(number: int) -> NDArray[np.uint8]:
    frames_FHWC = render(validation_clip(number), SIZE)
    draw = generator("copying", number, "window")
    times = even_times(len(frames_FHWC), FPS)
    chosen = window(times, frames=FRAMES, fps=FPS / STEP, start="random", generator=draw)
    return frames_FHWC[list(chosen.indices)]


def to_images(frames_NHWC: NDArray[np.uint8]) -> Tensor:
    """images_NCHW of 0 to 1."""
    return torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255


def to_frames(images_NCHW: Tensor) -> NDArray[np.uint8]:
    """frames_NHWC, uint8."""
    frames: NDArray[np.uint8] = (images_NCHW.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return frames


@torch.no_grad()
def through(vae: AutoencoderKL, frames_NHWC: NDArray[np.uint8], *place: int | str) -> NDArray[np.uint8]:
    """Frames encoded and decoded, with a little noise on their latents; `place` names the draw."""
    random, parts = generator(*place, "latents"), []
    for images_NCHW in to_images(frames_NHWC).split(_AT_ONCE):
        latents = vae.encode(images_NCHW * 2 - 1).latent_dist.mean
        latents = latents + LATENT_NOISE * latents.std() * torch.randn(latents.shape, generator=random)
        parts.append(to_frames(vae.decode(latents).sample / 2 + 0.5))
    return np.concatenate(parts)


def copied(vae: AutoencoderKL, frames_FHWC: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A clip cut a little at its edges, in another light and through the autoencoder: still the same clip."""
    random = generator("copying", number, "copy")
    light, (top, left) = (
        1 + LIGHT * (2 * torch.rand(1, generator=random) - 1),
        torch.randint(2 * MARGIN + 1, (2,), generator=random),
    )
    side = SIZE - 2 * MARGIN
    cut_FCHW = (to_images(frames_FHWC) * light)[:, :, top : top + side, left : left + side]
    whole_FCHW = torch.nn.functional.interpolate(cut_FCHW, size=SIZE, mode="bilinear", align_corners=False)
    return through(vae, to_frames(whole_FCHW), "copy", number)
