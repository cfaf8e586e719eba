"""What all figures share: colours by arm, frames as pictures, and files that are equal for equal input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor

from vmc.reporting.catalogue import METHOD, known_arms
from vmc.utils.files import atomic_write

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "vmc",  # else the names inside a file are drawn at random
    "text.parse_math": False,  # a prompt may hold dollar signs
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}
DPI = 150
RIGHT, WRONG, MUTED = "#117733", "#aa3344", "#666666"
# Paul Tol's "muted" scheme, which colour-blind people can tell apart; the method is black.
COLOURS = ("#cc6677", "#332288", "#ddaa33", "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499", "#996644")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
BANDS = 6
"""Arms up to which each has the band of its interval; those of more would hide each other and the curves."""
SHOWN_FRAMES = 8
FRAME = 128
"""px to which a frame's shorter side is enlarged at least, by a whole factor, so that no viewer smooths it."""


class Look(NamedTuple):
    """How an arm is drawn."""

    colour: str
    dash: object
    width: float


def looks(arms: list[str]) -> dict[str, Look]:
    """Of each arm: no two are drawn alike, a known one alike in every figure, and the method black and thick."""
    known = [arm for arm in known_arms() if arm != METHOD]
    others = [*known, *sorted(set(arms) - {METHOD, *known})]
    drawn = {
        arm: Look(COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)], 1.4)
        for place, arm in enumerate(others)
    }
    return {METHOD: Look("#000000", "-", 2.2), **drawn}


@contextmanager
def styled() -> Iterator[None]:
    """Draw with the project's settings, whatever the user's own are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def save(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write `NAME.svg` and `NAME.png`; the names of the files."""
    files = []
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with atomic_write(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)
        files.append(f"{name}.{suffix}")
    return files


def enlarged(frames_FCHW: Tensor) -> np.ndarray:
    """frames_FHWC, every pixel repeated by a whole factor."""
    factor = max(1, -(-FRAME // min(frames_FCHW.shape[-2:])))
    return rearrange(frames_FCHW, "f c h w -> f h w c").numpy().repeat(factor, axis=1).repeat(factor, axis=2)


def evenly(count: int, *, of: int) -> list[int]:
    """Places of up to `count` evenly spaced frames, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, of - 1, min(count, of))})


def shortened(text: str, length: int) -> str:
    """Text of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
