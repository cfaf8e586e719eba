"""The frontier beside Fig. 7: accuracy as a function of appearance, and what it is on average against the method's."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vmc.metrics.columns import Measure
from vmc.metrics.matching import Trajectory, resample_trajectories
from vmc.metrics.resampling import Array, Resampled, shares_of
from vmc.reporting.catalog import APPEARANCE, METHOD, arm_name
from vmc.reporting.compare import Comparison
from vmc.reporting.figures.common import BANDS, THRESHOLD, Drawn, looks, say_part
from vmc.reporting.loaded import FoundRun
from vmc.utils.errors import VmcError

ACCURACY = "motion_accuracy"
POINTS = 25  # of a frontier
RESAMPLES = 1_000  # of a band


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """An arm's accuracy where its appearance has fallen to each score, with a simultaneous band of 95 %."""

    arm: str
    scores_G: Array
    values_G: Array
    low_G: Array
    high_G: Array


def frontier_of(arm: str, runs: Sequence[FoundRun], *, measure: Measure) -> Frontier | None:
    """The mean over motions of the mean over seeds, where all runs that are finished have been.

    None where there are no two evaluations of a run, or no score that all of its runs have passed.
    """
    trajectories = list[Trajectory]()
    for run in [run for run in runs if run.finished] or runs:
        with suppress(VmcError):
            trajectories.append(run.trajectory)
    trajectories = [one for one in trajectories if len(one.steps_K) > 1 and measure.name in one.metrics]
    low = max((float(one.fit.last_R[0]) for one in trajectories), default=math.inf)
    high = min((float(one.fit.first_R[0]) for one in trajectories), default=0.0)
    if low >= high:
        return None
    scores_G = np.linspace(high, low, POINTS)
    subjects = sorted({subject for one in trajectories for subject in one.videos["subject"]})
    drawn = resample_trajectories(trajectories, metrics=[measure.name], subjects=subjects, resamples=RESAMPLES)
    grid_RG = np.broadcast_to(scores_G, (RESAMPLES + 1, POINTS))
    resampled = Resampled(
        places=[one.place for one in trajectories],
        metrics=[measure.name] * POINTS,
        draws_QRV=np.stack([one.read(grid_RG)[..., 0] for one in drawn]),
        subjects_V=np.full(POINTS, len(subjects)),
        shares=shares_of([measure]),
    )
    low_G, high_G = resampled.band()
    if measure.percent:
        low_G, high_G = np.clip(low_G, 0, 1), np.clip(high_G, 0, 1)
    return Frontier(arm=arm, scores_G=scores_G, values_G=resampled.value_V, low_G=low_G, high_G=high_G)


def draw_frontiers(
    of: Mapping[str, Sequence[FoundRun]],
    comparisons: Mapping[str, Comparison],
    *,
    measure: Measure,
    threshold: float | None,
    name: str,
    end: str,
) -> Iterator[Drawn]:
    """The arms' frontiers, and their means over the range that each has in common with the method."""
    found = [one for arm, runs in of.items() if (one := frontier_of(arm, runs, measure=measure))]
    if not found:
        return
    compared = [comparisons[arm] for arm in of if arm in comparisons]
    compared = [comparison for comparison in compared if measure.name in comparison.mean_differences]
    figure = Figure(figsize=(10.2, max(4.4, 1.6 + 0.34 * len(compared))), layout="constrained")
    curves, means = figure.subplots(1, 2, width_ratios=(3, 2))
    drawn, few = looks(of), len(found) <= BANDS
    _draw_curves(curves, found, drawn, measure=measure, bands=[one.arm for one in found if few or one.arm == METHOD])
    if threshold is not None:
        curves.axvline(threshold, **THRESHOLD)
    _draw_means(means, compared, drawn, measure=measure)
    figure.suptitle(f"{measure.plain} at equal appearance{say_part(end)}", weight="bold", size=11, x=0.01, ha="left")
    handles, labels = curves.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=4, fontsize=8.5)
    caption = (
        f"The frontier{say_part(end)}: {measure.short} where appearance, fitted falling over all evaluations, has come"
        " down to each score, where all runs of an arm have been. Bands hold the whole curve in 95 % of cases"
        f"{'' if few else ', of the method alone'}. At the right the mean over the appearance scores that an arm and"
        " the method both have passed (in brackets) less the method's, with intervals of 95 %, not corrected."
    )
    yield Drawn(figure=figure, caption=caption, end=f"_{name}{end}_frontier")


def _draw_curves(
    axes: Any, found: Sequence[Frontier], drawn: Mapping[str, Any], *, measure: Measure, bands: Sequence[str]
) -> None:
    factor = 100 if measure.percent else 1
    for one in reversed(found):
        look = drawn[one.arm]
        if one.arm in bands:
            band = (factor * one.low_G, factor * one.high_G)
            axes.fill_between(one.scores_G, *band, color=look.color, alpha=0.12, linewidth=0, zorder=2)
        line = {"color": look.color, "linewidth": look.width, "linestyle": look.dash, "zorder": 3}
        axes.plot(one.scores_G, factor * one.values_G, **line, label=arm_name(one.arm))
    axes.invert_xaxis()
    axes.set(xlabel=APPEARANCE.title, ylabel=measure.title)


def _draw_means(axes: Any, compared: Sequence[Comparison], drawn: Mapping[str, Any], *, measure: Measure) -> None:
    factor, names = 100 if measure.percent else 1, list[str]()
    for place, one in enumerate(compared):
        apart, color = one.mean_differences[measure.name], drawn[one.arm].color
        axes.plot([factor * apart.low, factor * apart.high], [place, place], color=color, linewidth=2)
        axes.plot(factor * apart.value, place, "o", color=color, markersize=6)
        names.append(f"{arm_name(one.arm)}\n({one.range[1]:.3f} to {one.range[0]:.3f})")
    axes.axvline(0, **THRESHOLD)
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(max(len(names), 1) - 0.5, -0.5))
    axes.set_xlabel(f"{measure.title}, mean over the\ncommon range less the method's")
    axes.grid(axis="y", visible=False)
