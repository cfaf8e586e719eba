"""Contact sheets of the base model's videos, to be looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from vmc.data.video import read_frames
from vmc.mini.card.bars import SHOWN
from vmc.mini.card.videos import Asked
from vmc.mini.world.labeled_rows import contact_sheet
from vmc.utils.files import atomic_write

FRAMES = 4
"""Of a video on the sheet of gestures."""
COLUMNS = 10
"""Of the sheet of subjects."""
MARGIN, HEAD = 190, 16
"""Pixels on the left for a gesture's name, and above for the subjects."""


def known_gestures(path: Path, files: Sequence[Path], asked: Sequence[Asked]) -> None:
    """A row for each gesture: four frames of the videos of the first subjects, the same in every row."""
    rows: dict[str, list[np.ndarray]] = {}
    heads: dict[str, None] = {}
    for file, one in zip(files, asked, strict=True):
        frames = rows.setdefault(one.gesture, [])
        if len(frames) < SHOWN * FRAMES:
            video_FCHW = read_frames(file)
            frames += [_image(video_FCHW, place) for place in np.linspace(0, len(video_FCHW) - 1, FRAMES)]
            heads.setdefault(str(one.prompt.subject))
    sheet = contact_sheet(list(rows.items()), margin=MARGIN)
    headed = Image.new("RGB", (sheet.width, sheet.height + HEAD), (255, 255, 255))
    headed.paste(sheet, (0, HEAD))
    draw, width = ImageDraw.Draw(headed), (sheet.width - MARGIN) // len(heads)
    for place, name in enumerate(heads):
        draw.text((MARGIN + place * width, 2), name, fill=(0, 0, 0))
    _save(path, headed)


def base_subjects(path: Path, files: Sequence[Path], asked: Sequence[Asked]) -> None:
    """A middle frame of the first video of every subject, in the test set's order."""
    first: dict[str, Path] = {}
    for file, one in zip(files, asked, strict=True):
        first.setdefault(str(one.prompt.subject), file)
    frames = [_image(video, len(video) // 2) for video in map(read_frames, first.values())]
    rows = [("", frames[start : start + COLUMNS]) for start in range(0, len(frames), COLUMNS)]
    _save(path, contact_sheet(rows, margin=0, enlarge=2))


def _image(video_FCHW: Tensor, place: float) -> np.ndarray:
    return np.asarray(video_FCHW[round(place)].permute(1, 2, 0).numpy())


def _save(path: Path, sheet: Image.Image) -> None:
    with atomic_write(path) as temporary:
        sheet.save(temporary)
