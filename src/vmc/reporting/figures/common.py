"""What all figures share: colours by arm, which arms are drawn together, and files that are equal for equal input."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor

from vmc.reporting.report import Report
from vmc.reporting.results import Result
from vmc.reporting.table_arms import BASELINES, KNOWN_ARMS, METHOD, NOT_REACHED, arm_order
from vmc.utils.errors import VmcError
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
RIGHT, WRONG, MUTED, PLATE = "#117733", "#aa3344", "#666666", "#f2f2f2"
# Paul Tol's "muted" scheme, which colour-blind people can tell apart; the method is black.
COLORS = ("#cc6677", "#332288", "#ddaa33", "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499", "#996644")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
THRESHOLD: dict[str, Any] = {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
BANDS = 6  # arms up to which each has the band of its interval; those of more would hide each other and the curves
FRAME = 128  # px to which a frame's shorter side is enlarged at least, by a whole factor, so that no viewer smooths it


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure of a report."""

    figure: Figure
    caption: str  # what it shows, in sentences
    end: str = ""  # of the name of its files, which begins with the figure's key in the YAML


DrawFigure = Callable[[Report], Iterable[Drawn]]
"""Draws what a report has something for: no figure, one, or several with names of different ends."""


def draw_figures(report: Report, figures: Mapping[str, DrawFigure | None], folder: Path) -> dict[str, str]:
    """Write every figure that has something to show as SVG and PNG; return captions by the name of the files.

    A VmcError where one of the figures is neither a function nor None, or two have one name.
    """
    captions: dict[str, str] = {}
    with figure_style():
        for name, draw in figures.items():
            if draw is not None and not callable(draw):
                raise VmcError(f"figures.{name} is {draw}, which is no function; give its YAML _partial_: true")
            for drawn in () if draw is None else draw(report):
                if (file := f"{name}{drawn.end}") in captions:
                    raise VmcError(f"figures.{name} draws {file}, which another figure is named; give it another name")
                save_figure(drawn.figure, folder, file)
                captions[file] = drawn.caption
    return captions


def figure_style() -> AbstractContextManager[None]:
    """Draw with the project's settings, whatever the user's own are."""
    return matplotlib.style.context(["default", SETTINGS])


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write `NAME.svg` and `NAME.png`."""
    for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with atomic_write(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)


class ArmStyle(NamedTuple):
    """Color, line style and line width of an arm."""

    color: str
    dash: Any
    width: float


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """Return how each arm is drawn: no two alike, a known one alike in every figure, the method black and thick."""
    others = [*KNOWN_ARMS[1:], *sorted(set(arms) - set(KNOWN_ARMS))]  # the first is the method
    styles = [(color, dash, 1.4) for dash in DASHES for color in COLORS]
    return {METHOD: ArmStyle("#000000", "-", 2.2)} | {arm: ArmStyle(*one) for arm, one in zip(others, cycle(styles))}


def draw_intervals(
    axes: Any, ends: Sequence[Sequence[float]], names: Sequence[str], colors: Sequence[str], *, markersize: float
) -> None:
    """Draw intervals below each other: their names at the left, and a line from low to high with a dot at the value.

    Args:
        axes: that are drawn into.
        ends: low end, value and high end of each interval.
        names, colors: of each interval.
        markersize: of the dots, in points.
    """
    for place, ((low, value, high), color) in enumerate(zip(ends, colors, strict=True)):
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot(value, place, "o", color=color, markersize=markersize)
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(max(len(names), 1) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)


def group_arms(arms: Iterable[str], *, together: int) -> dict[str, list[str]]:
    """Group arms into figures, by the end of the figure's name; the method is in all of them."""
    arms = sorted(dict.fromkeys(arms), key=arm_order)
    if len(arms) <= together:
        return {"": arms}
    baselines = [arm for arm in arms if arm in (METHOD, *BASELINES)]
    parts = {"_baselines": baselines, "_ablations": [arm for arm in arms if arm not in BASELINES]}
    return {end: part for end, part in parts.items() if set(part) - {METHOD}} or {"": arms}


def part_suffix(end: str) -> str:
    """Return which of several figures one is, for its title."""
    return f" ({end.strip('_')})" if end else ""


def describe_evaluations(results: Sequence[Result]) -> str:
    """Describe in a sentence which evaluation of each arm is shown."""
    runs = [run for result in results for run in result.matched]
    if not any(run.behind or run.crossing.reached for run in runs):
        return "Each arm at its last evaluation."
    said = f"; {NOT_REACHED} at its last one, as it did not fall so far" * any(run.behind for run in runs)
    return f"Each arm at the evaluation next to where its appearance score meets the threshold{said}."


def enlarge(frames_FCHW: Tensor) -> np.ndarray:
    """Enlarge frames by a whole factor and return them as frames_FHWC."""
    factor = max(1, -(-FRAME // min(frames_FCHW.shape[-2:])))
    return rearrange(frames_FCHW, "f c h w -> f h w c").numpy().repeat(factor, axis=1).repeat(factor, axis=2)


def shorten(text: str, length: int) -> str:
    """Cut a text to at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
