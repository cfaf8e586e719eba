"""What an arm gains for what it loses: accuracy and copies against the appearance score, a line an arm."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vmc.metrics.columns import Measure, united
from vmc.runs.reporting.catalogue import APPEARANCE
from vmc.runs.reporting.curves import Curve
from vmc.runs.reporting.figures.curves import DOTTED, handle_of
from vmc.runs.reporting.figures.style import MUTED, looks


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
