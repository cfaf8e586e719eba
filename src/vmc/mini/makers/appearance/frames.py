"""The frames that the appearance model learns from: as rendered, and as the pipeline's autoencoder gives them back.

Axes: N frames or clips, B batch, F frames of a clip, H and W pixels, C = 3 colours.
"""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.mini.world.gestures import LABELS
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.renderer import ClipSpec, Framing, render
from vmc.mini.world.specs import sample_clip
from vmc.models.base import Autoencoder
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.shards import Array, Shards
from vmc.utils.randomness import generator

SIZE = 64
CLIP_FRAMES = 12
"""The shortest that a clip can be: a clip is rendered for two of its frames."""
KEPT = 2
"""Frames of a clip: one of its middle, where the gesture shows, and one of any time."""
MIDDLE = (3, 9)
SHIFT = 3  # px, the farthest that a frame is moved
NOISE = 6 / 255  # the strongest deviation of a pixel
LIGHT = 0.08  # the largest change of brightness and of contrast, as a share


@cache
def spec_of(number: int) -> ClipSpec:
    """Clip `number`: any of the 27 gestures, every other one as a webcam films it."""
    framing: Framing = "webcam" if number % 2 else "web"
    return sample_clip("appearance", number, gestures=LABELS, framing=framing, frames=(CLIP_FRAMES, CLIP_FRAMES))


def rendered(count: int, first: int = 0) -> Shards:
    """`KEPT` frames of every clip."""
    settings = (renderer_hash(), CLIP_FRAMES, MIDDLE)
    return Shards(
        name="appearance rendered",
        make=render_clips,
        shape=(KEPT, SIZE, SIZE, 3),
        settings=settings,
        count=count,
        first=first,
    )


def decoded(count: int, pipeline: Path, first: int = 0) -> Shards:
    """The first of the `KEPT` frames of every clip after the autoencoder of a pipeline's folder."""
    settings = (*rendered(1).settings, UNet3D(path=pipeline).fingerprint("vae"))
    return Shards(
        name="appearance decoded",
        make=partial(decode_clips, pipeline=pipeline),
        shape=(SIZE, SIZE, 3),
        settings=settings,
        count=count,
        first=first,
    )


def render_clips(numbers: Sequence[int]) -> Array:
    """frames_NFHWC of these clips."""
    return np.stack([render(spec_of(number), SIZE)[_chosen(number)] for number in numbers])


def _chosen(number: int) -> list[int]:
    draw = generator("appearance", number, "frames")
    middle = int(torch.randint(*MIDDLE, (1,), generator=draw))
    return [middle, int(torch.randint(CLIP_FRAMES, (1,), generator=draw))]


def decode_clips(numbers: Sequence[int], *, pipeline: Path) -> Array:
    """frames_NHWC of consecutive clips after the autoencoder; what is not rendered yet is rendered first."""
    source = rendered(len(numbers), numbers[0])
    source.prepare(workers=1)
    return after_autoencoder(source.items(range(len(numbers)))[:, 0], pipeline)


def after_autoencoder(frames_NHWC: Array, pipeline: Path) -> Array:
    """The same frames, encoded to the posterior's mean and decoded."""
    autoencoder = _autoencoder(pipeline)
    frames_NCHW = torch.from_numpy(np.ascontiguousarray(frames_NHWC)).permute(0, 3, 1, 2)
    mean_CNHW = autoencoder.encode(frames_NCHW)[0]
    frames_CHW = autoencoder.decode(mean_CNHW[None])[0]
    return frames_CHW.permute(0, 2, 3, 1).numpy()


@cache
def _autoencoder(pipeline: Path) -> Autoencoder:
    return UNet3D(path=pipeline).autoencoder()


def pixels_of(frames_NHWC: Array) -> Tensor:
    """pixels_NCHW, 0..1."""
    return torch.from_numpy(np.ascontiguousarray(frames_NHWC)).permute(0, 3, 1, 2).float() / 255


def augmented(pixels_NCHW: Tensor, draw: torch.Generator) -> Tensor:
    """Frames a little moved, softened, lit otherwise and noisy, each in its own way; never flipped."""
    count, _, height, width = pixels_NCHW.shape
    share_N411 = torch.rand(4, count, 1, 1, 1, generator=draw)
    padded = F.pad(pixels_NCHW, [SHIFT] * 4, mode="replicate")
    offsets = torch.randint(2 * SHIFT + 1, (count, 2), generator=draw).tolist()
    moved = torch.stack([padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(offsets)])
    soft = F.avg_pool2d(F.pad(moved, [1] * 4, mode="replicate"), 3, stride=1)
    blur = (2 * share_N411[0] - 1).clamp(min=0)  # half of the frames stay sharp
    moved = moved + blur * (soft - moved)
    contrast, brightness = (1 + LIGHT * (2 * share_N411[place] - 1) for place in (1, 2))
    moved = ((moved - 0.5) * contrast + 0.5) * brightness
    return moved + NOISE * share_N411[3] * torch.randn(moved.shape, generator=draw)
