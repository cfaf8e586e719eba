"""Whether the frames of a clip are all there, as far as their numbers tell."""

from collections.abc import Sequence
from pathlib import Path


def gap(files: Sequence[Path], stated: int | None = None) -> str | None:
    """Frames are numbered from 1 on; what does not fit that, a clause; None where all are there.

    Args:
        files: of the frames, in natural order.
        stated: how many there should be; None where nobody says.
    """
    for number, file in enumerate(files, start=1):
        if not file.stem.isdecimal():
            return f"holds {file.name}, which is no numbered frame"
        if int(file.stem) != number:
            return f"has no frame {number:05d}{file.suffix}"
    if stated is not None and stated != len(files):
        return f"has {len(files)} frames, where the table says {stated}"
    return None
