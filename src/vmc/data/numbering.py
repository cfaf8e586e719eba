"""Whether the frames of a clip are all there, as far as their numbers tell."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
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


def numbers(files: Sequence[Path]) -> list[int] | None:
    """The numbers of frames whose names differ in one number alone (`frame_0001.png`); None for other names."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,18})(\D*)", file.stem) for file in files]
    if not parts or not all(parts) or len({(part[1].casefold(), part[3].casefold()) for part in parts if part}) > 1:
        return None
    return [int(part[2]) for part in parts if part]


def irregularity(files: Sequence[Path]) -> str | None:
    """What is odd about how frames follow each other, a clause; None for evenly numbered ones.

    Args:
        files: of the frames, in natural order, numbered from anywhere and in any step.
    """
    found = numbers(files)
    if found is None:
        return "holds frames that are not numbered alike"
    steps = [after - before for before, after in pairwise(found)]
    if not steps:
        return None
    usual = Counter(steps).most_common(1)[0][0]
    for file, after, step in zip(files, files[1:], steps, strict=False):
        if step == 0:
            return f"holds one frame twice, {file.name} and {after.name}"
        if step > usual:
            return f"jumps from {file.name} to {after.name}"
    return None
