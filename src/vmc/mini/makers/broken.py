"""Clips that show nothing right, as generated videos may: what the classes of the stand-ins are told from.

Axes: F frames, H, W pixels, C = 3 colors.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.nn import functional as F

from vmc.mini.world.vocabulary import COLORS

Frames = NDArray[np.uint8]
SKINS = ((236, 200, 176), (214, 168, 136), (168, 118, 86), (112, 76, 56), (245, 222, 204))
"""About those of the miniature's people."""
LARGE = 4
"""Pictures are painted so many times too large and averaged down."""


def warped(frames_FHWC: Frames, random: Generator, *, strength: float, grid: int = 6) -> Frames:
    """Every frame with its parts moved by up to about `strength` of the picture, which drifts from frame to frame."""
    count, height, width, _ = frames_FHWC.shape
    start, end = random.normal(size=(2, 2, grid, grid)) * strength
    times_F = np.linspace(0, 1, count)[:, None, None, None]
    moves_F2GG = torch.from_numpy(start * (1 - times_F) + end * times_F).float()
    moves_FHW2 = F.interpolate(moves_F2GG, (height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    whole_FHW2 = F.affine_grid(torch.eye(2, 3).repeat(count, 1, 1), [count, 3, height, width], align_corners=False)
    pixels_FCHW = torch.from_numpy(frames_FHWC).permute(0, 3, 1, 2).float()
    moved_FCHW = F.grid_sample(pixels_FCHW, whole_FHW2 + 2 * moves_FHW2, padding_mode="reflection", align_corners=False)
    return np.asarray(moved_FCHW.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())


def dissolved(first_FHWC: Frames, second_FHWC: Frames, random: Generator) -> Frames:
    """Two clips of which the second shows through the first in a part of the frames."""
    count = len(first_FHWC)
    middle, width = random.uniform(0.2, 0.8), random.uniform(0.15, 0.4)
    share_F = np.exp(-(((np.linspace(0, 1, count) - middle) / width) ** 2))[:, None, None, None]
    return np.asarray((first_FHWC * (1 - share_F) + second_FHWC * share_F).round(), dtype=np.uint8)


def blobs(size: int, frames: int, random: Generator) -> Frames:
    """Colored shapes in the middle of a picture over ground and sky, which turn pale and back one after another."""
    colors = list(COLORS.values())
    sky, ground = (np.array(random.integers(80, 235, 3)) for _ in range(2))
    pale = np.array([235, 225, 222]) - random.integers(0, 50)
    shapes = [_blob(random, np.array(colors[int(random.integers(len(colors)))])) for _ in range(random.integers(5, 12))]
    horizon = random.uniform(0.45, 0.75)
    pictures = []
    for time in np.linspace(0, 1, frames):
        picture = Image.new("RGB", (size * LARGE,) * 2, _rgb(sky))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, horizon * size * LARGE, size * LARGE, size * LARGE), fill=_rgb(ground))
        for points_N2, drift_2, color, peak, width in shapes:
            share = np.exp(-(((time - peak) / width) ** 2))
            placed = (points_N2 + drift_2 * time) * size * LARGE
            draw.polygon([tuple(point) for point in placed.tolist()], fill=_rgb(color * (1 - share) + pale * share))
        pictures.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return np.stack(pictures)


def patched(frames_FHWC: Frames, random: Generator) -> Frames:
    """Shapes of the color of skin about the head and beside it, which come and go and belong to no arm."""
    count, size = len(frames_FHWC), frames_FHWC.shape[1]
    skin = np.array(SKINS[int(random.integers(len(SKINS)))])
    shapes = [
        _blob(random, skin + random.integers(-25, 10, 3), low=0.02, high=0.45) for _ in range(random.integers(4, 14))
    ]
    pictures = []
    for time, frame_HWC in zip(np.linspace(0, 1, count), frames_FHWC, strict=True):
        picture = Image.fromarray(frame_HWC).resize((size * LARGE,) * 2)
        over = picture.copy()
        draw = ImageDraw.Draw(over)
        for points_N2, drift_2, color, peak, width in shapes:
            if abs(time - peak) < width:
                placed = (points_N2 + drift_2 * time) * size * LARGE
                draw.polygon([tuple(point) for point in placed.tolist()], fill=_rgb(color))
        seen = Image.blend(picture, over, random.uniform(0.7, 1.0))
        pictures.append(np.asarray(seen.resize((size, size), Image.Resampling.BOX)))
    return np.stack(pictures)


def _blob(
    random: Generator, color: NDArray[np.int64], *, low: float = 0.3, high: float = 0.75
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], float, float]:
    """(corners_N2 in picture sides, its drift, its color, when it is most changed, for how long)."""
    middle = np.array(
        [random.uniform(0.15, 0.85) if low < 0.3 else random.uniform(0.3, 0.7), random.uniform(low, high)]
    )
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = random.uniform(0.05, 0.18) * random.uniform(0.5, 1.3, 12)
    stretch = random.uniform(0.6, 1.6, 2)
    points_N2 = middle + np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radii[:, None] * stretch
    return points_N2, random.uniform(-0.08, 0.08, 2), color, random.uniform(0, 1), random.uniform(0.12, 0.35)


def _rgb(color: NDArray[np.number]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(color, 0, 255))
    return red, green, blue


def broken(
    number: int, random: Generator, *, thing: Callable[[int], Frames], people: Sequence[Callable[[], Frames]]
) -> Frames:
    """One of six ways of being broken, in turn.

    Args:
        number: of the clip.
        random: what it is drawn from.
        thing: renders an object by its number.
        people: render somebody who does a new gesture, and somebody at rest.
    """
    way = number % 6
    if way == 0:
        first_FHWC = thing(2 * number)
        return warped(blobs(first_FHWC.shape[1], len(first_FHWC), random), random, strength=random.uniform(0.0, 0.06))
    if way == 1:
        return warped(thing(2 * number), random, strength=random.uniform(0.08, 0.18))
    if way == 2:
        both_FHWC = dissolved(thing(2 * number), thing(2 * number + 1), random)
        return warped(both_FHWC, random, strength=random.uniform(0.0, 0.08))
    if way == 3:
        return warped(people[0](), random, strength=random.uniform(0.08, 0.16))
    if way == 4:
        return patched(warped(people[1](), random, strength=random.uniform(0.0, 0.06)), random)
    first_FHWC, second_FHWC = (warped(frames_FHWC, random, strength=0.06) for frames_FHWC in (people[1](), people[0]()))
    return dissolved(_on_table(first_FHWC, thing(2 * number), random), _paled(second_FHWC, random), random)


def _on_table(person_FHWC: Frames, object_FHWC: Frames, random: Generator) -> Frames:
    """The middle of a person's picture in that of an object's: neither a person nor an object."""
    size = person_FHWC.shape[1]
    middle_2, radii_2 = random.uniform(0.42, 0.58, 2) * size, random.uniform(0.2, 0.38, 2) * size
    rows, columns = np.mgrid[:size, :size]
    inside_HW = ((rows - middle_2[0]) / radii_2[0]) ** 2 + ((columns - middle_2[1]) / radii_2[1]) ** 2 < 1
    return np.where(inside_HW[None, :, :, None], person_FHWC, object_FHWC[:1])


def _paled(frames_FHWC: Frames, random: Generator) -> Frames:
    share = random.uniform(0.4, 0.85)
    return np.asarray((frames_FHWC * (1 - share) + 228 * share).round(), dtype=np.uint8)
