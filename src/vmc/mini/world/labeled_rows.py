"""Many clips on one picture, to be looked at."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], *, enlarge: int = 1, margin: int = 150
) -> Image.Image:
    """A picture with one row of frames_HWC per entry and its name on the left.

    Args:
        rows: (name, frames of equal size) pairs.
        enlarge: whole factor that every frame is enlarged by.
        margin: pixels on the left for the names.
    """
    height, width = (side * enlarge for side in rows[0][1][0].shape[:2])
    columns = max(len(frames) for _, frames in rows)
    sheet = Image.new("RGB", (margin + columns * (width + 2), len(rows) * (height + 2)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for row, (name, frames) in enumerate(rows):
        draw.text((4, row * (height + 2) + height // 2 - 6), name, fill=(0, 0, 0))
        for column, frame_HWC in enumerate(frames):
            picture = Image.fromarray(frame_HWC).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(picture, (margin + column * (width + 2), row * (height + 2)))
    return sheet
