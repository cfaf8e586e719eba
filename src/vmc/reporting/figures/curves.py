"""Fig. 7: accuracy, appearance and copies against training and against each other, a line an arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vmc.metrics.columns import Measure, united
from vmc.reporting.catalogue import APPEARANCE, METHOD, arm_name
from vmc.reporting.curves import Curve, Point
from vmc.reporting.figures.style import BANDS, MUTED, Look, looks

DOTTED = (0, (1, 2))
"""Of what is half-finished."""
SHADE = 0.2
"""Of all bands that are drawn, together."""
AXES = (("step", "training step"), ("updates", "exemplar updates"))


def draw_curves(
    arms: Sequence[Curve], single: Mapping[str, Sequence[Curve]], *, threshold: float | None, title: str
) -> Figure:
    """A row a metric, against steps at the left and against exemplar updates at the right.

    Args:
        arms: one curve an arm, the first on top, with a band for its 95 % interval; of many, the method alone has one.
        single: the runs of arms that have several, drawn thin.
        threshold: of the appearance score.
        title: above it.
    """
    shown = united(*(curve.measures for curve in arms))
    figure = Figure(figsize=(10.2, 8.2 * len(shown) / 3), layout="constrained")
    grid = figure.subplots(len(shown), len(AXES), sharey="row", sharex="col", squeeze=False)
    drawn, few = looks([curve.arm for curve in arms]), len(arms) <= BANDS
    every = [*arms, *(one for runs in single.values() for one in runs)]
    banded = [curve for curve in arms if few or curve.arm == METHOD]
    for measure, line in zip(shown, grid, strict=True):
        for (attribute, label), axes in zip(AXES, line, strict=True):
            for curve in banded:
                _band(axes, curve, measure, attribute, drawn[curve.arm], SHADE / len(banded), edge=0.3 if few else 0)
            for curve in reversed(arms):
                for one in single.get(curve.arm, ()):
                    _thin(axes, one, measure, attribute, drawn[curve.arm])
                _thick(axes, curve, measure, attribute, drawn[curve.arm])
            if measure.name == APPEARANCE.name and threshold is not None:
                axes.axhline(threshold, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            if measure is shown[-1]:
                axes.set_xlabel(label)
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        line[0].set_ylabel(measure.title)
        line[0].set_ylim(_limits(every, banded, measure, threshold))
    figure.suptitle(title, weight="bold", size=11, x=0.01, ha="left")
    handles: list[Any] = [handle_of(curve, drawn[curve.arm]) for curve in arms]
    if banded and not few:
        handles.append(Patch(facecolor=(drawn[METHOD].colour, SHADE), label="95 % interval of the method alone"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5)
    return figure


def _limits(
    curves: Sequence[Curve], banded: Sequence[Curve], measure: Measure, threshold: float | None
) -> tuple[float, float]:
    """Of the vertical axis: so that curves can be read where bands of few runs reach far beyond them."""
    values = [point.value for curve in curves for point in curve.having(measure)]
    points = [point for curve in banded for point in curve.having(measure)]
    if measure.name == APPEARANCE.name and threshold is not None:
        values.append(threshold)
    least, most = min(values, default=0.0), max(values, default=1.0)
    room = max(0.5 * (most - least), 0.1 if measure.percent else 0.01)
    low = max(least - room, np.nanmin([least, *(point.low for point in points)]))
    high = min(most + room, np.nanmax([most, *(point.high for point in points)]))
    edge = 0.04 * (high - low) or 0.01
    factor = 100 if measure.percent else 1
    return factor * (low - edge), factor * (high + edge)


def _band(axes: Any, curve: Curve, measure: Measure, attribute: str, look: Look, shade: float, *, edge: float) -> None:
    """Of its intervals; `shade` and `edge` are opacities."""
    points = _having(curve, measure, attribute)
    if points:
        x, _, low, high = _numbers(points, measure, attribute)
        colours = {"facecolor": (look.colour, shade), "edgecolor": (look.colour, edge)}
        axes.fill_between(x, low, high, **colours, linewidth=0.5 if edge else 0, zorder=2)


def _thick(axes: Any, curve: Curve, measure: Measure, attribute: str, look: Look) -> None:
    points = _having(curve, measure, attribute)
    if not points:
        return
    x, value, *_ = _numbers(points, measure, attribute)
    dash = look.dash if curve.finished else DOTTED
    axes.plot(x, value, color=look.colour, linewidth=look.width, linestyle=dash, zorder=3)
    for whole in (True, False):
        chosen = [place for place, point in enumerate(points) if point.whole is whole]
        face = look.colour if whole else "white"
        axes.plot(
            x[chosen], value[chosen], "o", markersize=4, markeredgecolor=look.colour, markerfacecolor=face, zorder=4
        )


def _thin(axes: Any, curve: Curve, measure: Measure, attribute: str, look: Look) -> None:
    points = _having(curve, measure, attribute)
    if points:
        x, value, *_ = _numbers(points, measure, attribute)
        dash: Any = "-" if curve.finished else DOTTED
        axes.plot(x, value, color=look.colour, linewidth=0.7, alpha=0.5, linestyle=dash, zorder=2)


def _having(curve: Curve, measure: Measure, attribute: str) -> list[Point]:
    return [point for point in curve.having(measure) if not np.isnan(getattr(point, attribute))]


def _numbers(points: Sequence[Point], measure: Measure, attribute: str) -> tuple[np.ndarray, ...]:
    """x, value, low, high; percent where the metric is a share."""
    factor = 100 if measure.percent else 1
    x = np.array([getattr(point, attribute) for point in points], dtype=float)
    return x, *(factor * np.array([getattr(point, end) for point in points]) for end in ("value", "low", "high"))


def handle_of(curve: Curve, look: Look) -> Line2D:
    """An arm's line in a legend, and what is to be said of its runs."""
    count = f"{curve.runs} runs" if curve.runs == curve.of else f"{curve.runs} of {curve.of} runs"
    notes = [count] * (curve.of > 1) + ["half-finished"] * (not curve.finished)
    label = arm_name(curve.arm) + (f" ({', '.join(notes)})" if notes else "")
    dash: Any = look.dash if curve.finished else DOTTED
    return Line2D([], [], color=look.colour, linewidth=look.width, linestyle=dash, label=label)


def draw_balance(arms: Sequence[Curve], *, threshold: float | None, title: str) -> Figure:
    """Training goes from left to right, as the appearance score falls.

    Args:
        arms: one curve an arm, the first on top.
        threshold: of the appearance score.
        title: above it.
    """
    panels = [measure for measure in united(*(curve.measures for curve in arms)) if measure.name != APPEARANCE.name]
    figure = Figure(figsize=(5.1 * len(panels), 4.4), layout="constrained")
    drawn = looks([curve.arm for curve in arms])
    for measure, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for curve in reversed(arms):
            x, y, whole = _joined(curve, measure)
            look = drawn[curve.arm]
            dash = look.dash if curve.finished else DOTTED
            axes.plot(x, y, color=look.colour, linewidth=look.width, linestyle=dash, zorder=3)
            for chosen, face in ((whole, look.colour), (~whole, "white")):
                edge = look.colour
                axes.plot(x[chosen], y[chosen], "o", markersize=4, markeredgecolor=edge, markerfacecolor=face, zorder=4)
        if threshold is not None:
            axes.axvline(threshold, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.invert_xaxis()
        axes.set_xlabel(APPEARANCE.title)
        axes.set_ylabel(measure.title)
    figure.suptitle(title, weight="bold", size=11, x=0.01, ha="left")
    handles = [handle_of(curve, drawn[curve.arm]) for curve in arms]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5)
    return figure


def _joined(curve: Curve, measure: Measure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Appearance, the metric (in percent where it is a share) and whether the whole test set was scored, by step."""
    appearance = {point.step: point for point in curve.having(APPEARANCE)}
    points = [point for point in curve.having(measure) if point.step in appearance]
    factor = 100 if measure.percent else 1
    return (
        np.array([appearance[point.step].value for point in points]),
        np.array([factor * point.value for point in points]),
        np.array([point.whole for point in points], dtype=bool),
    )
