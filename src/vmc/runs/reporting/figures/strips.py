"""Fig. 3: frame strips of one prompt across methods.

Axes: F frames, H and W, C colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vmc.runs.reporting.figures.style import MUTED, RIGHT, WRONG, shortened

GAP = 4  # px between frames


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One video as a row of frames.

    Args:
        name: of the arm.
        detail: below the name.
        verdict: what the classifier says, and whether it is right; None where nobody asked it.
        frames_FHWC: uint8; None for a video that is missing.
        missing: what is said in place of frames.
    """

    name: str
    detail: str = ""
    verdict: tuple[str, bool] | None = None
    frames_FHWC: np.ndarray | None = None
    missing: str = ""


def draw_strips(strips: Sequence[Strip], *, title: str) -> Figure:
    """A row a strip, its name at the left."""
    shapes = [strip.frames_FHWC.shape for strip in strips if strip.frames_FHWC is not None]
    frames, height, width = max((shape[:3] for shape in shapes), default=(8, 128, 128))
    tall = 8.0 / frames * height / width
    figure = Figure(figsize=(10.2, 0.45 + (tall + 0.08) * len(strips)))
    top = 0.4 / figure.get_figheight()
    figure.text(0.01, 1 - 0.5 * top, shortened(title, 150), weight="bold", size=10, va="center")
    share = (1 - top) / len(strips)
    for place, strip in enumerate(strips):
        low = 1 - top - (place + 1) * share
        axes = figure.add_axes((0.215, low + 0.03 * share, 0.78, 0.94 * share))
        axes.axis("off")
        if strip.frames_FHWC is None:
            axes.add_patch(_plate())
            axes.text(0.5, 0.5, strip.missing, color=MUTED, ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(_row(strip.frames_FHWC), interpolation="none", aspect="equal")
            axes.set_anchor("W")
        middle = low + share / 2
        figure.text(0.01, middle + 0.16 * share, shortened(strip.name, 32), weight="bold", size=8.5, va="center")
        figure.text(0.01, middle - 0.06 * share, shortened(strip.detail, 36), size=7.5, color=MUTED, va="center")
        if strip.verdict:
            text, right = strip.verdict
            mark, colour = ("✓", RIGHT) if right else ("✗", WRONG)
            figure.text(
                0.01, middle - 0.24 * share, shortened(f"{mark} {text}", 36), size=7.5, color=colour, va="center"
            )
    return figure


def _row(frames_FHWC: np.ndarray) -> np.ndarray:
    """Frames side by side, white between them."""
    count, height, width, _ = frames_FHWC.shape
    row = np.full((height, count * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for place, frame_HWC in enumerate(frames_FHWC):
        left = place * (width + GAP)
        row[:, left : left + width] = frame_HWC
    return row


def _plate() -> Rectangle:
    return Rectangle((0, 0), 1, 1, facecolor="#f2f2f2", edgecolor="none")
