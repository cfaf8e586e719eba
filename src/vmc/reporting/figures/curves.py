"""Fig. 7: metrics against training, each other and equal appearance; and how often each timestep is drawn."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vmc.metrics.columns import Measure, united
from vmc.metrics.equal_appearance import Trajectory, resample_trajectories
from vmc.metrics.scores import MEASURES
from vmc.metrics.statistics import ONE_MODEL, Interval, Resampled, intervals_of_runs, shares_of
from vmc.reporting.figures.common import (
    BANDS,
    COLORS,
    MUTED,
    THRESHOLD,
    ArmStyle,
    Drawn,
    arm_styles,
    draw_intervals,
    group_arms,
    part_suffix,
)
from vmc.reporting.loaded_runs import FoundRun, Scored
from vmc.reporting.report import Report
from vmc.reporting.results import mean_over_motions
from vmc.reporting.table_arms import APPEARANCE, METHOD, arm_name
from vmc.utils.errors import VmcError

DOTTED = (0, (1, 2))  # the line style of what is half-finished
SHADE = 0.2  # opacity of all bands that are drawn, together
TOGETHER = 8  # arms that are drawn into one figure; more are drawn apart, as the tables list them
LONGEST = 30  # characters of a label up to which a legend has four columns, else three
AXES = (("step", "training step"), ("updates", "exemplar updates"))
RESAMPLES = 2_000  # of a band; a figure needs fewer than a table
COLUMNS = ("metric", "step", "updates", "value", "low", "high", "whole")
NUMBERS = ["value", "low", "high"]


def timesteps(report: Report, *, points: int = 1000) -> Iterator[Drawn]:
    """Draw how likely each timestep is, over a uniform draw, for every sampler that the runs have.

    Args:
        report: what is drawn.
        points: of a curve, from clean at the left to noise at the right.
    """
    if not report.samplers:
        return
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    times_T = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    for number, (label, sampler) in enumerate(report.samplers.items()):
        density_T = sampler.density(times_T)
        density_T = density_T / density_T.mean()
        mean = float((times_T * density_T).mean())
        color = "#000000" if number == 0 else COLORS[(number - 1) % len(COLORS)]
        name, _, arms = label.partition(": ")
        lines = [f"{name}, mean t = {mean:.3f}", *wrap(arms, 78)]
        axes.plot(times_T, density_T, color=color, linewidth=1.8, label="\n".join(lines))
    axes.set(xlim=(0, 1), ylim=(0, max(2.0, axes.get_ylim()[1])))
    axes.set(xlabel="time t (0 clean, 1 noise)", ylabel="density over uniform")
    axes.set_title("Timesteps drawn in training", loc="left")
    figure.legend(loc="outside lower left", fontsize=8)
    yield Drawn(figure=figure, caption="How often each timestep is drawn in training, over a uniform draw.")


# --- an arm against training -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The metrics of an arm, or of one of its runs, against training.

    A point is an evaluation and metric, ascending in steps: exemplar updates (NaN where `train.csv` is gone),
    the value, both ends of its interval (NaN where there is none), whether the whole test set was scored.
    """

    arm: str
    measures: Sequence[Measure]
    points: pd.DataFrame  # with the columns COLUMNS
    runs: int  # that it is the mean of
    of: int  # runs that there are
    finished: bool  # whether those that it is the mean of are

    def having(self, measure: Measure, x: str = "step") -> pd.DataFrame:
        """Return the points of a metric that have a value of `x`, in percent where it is a share."""
        points = self.points[self.points["metric"] == measure.name].dropna(subset=x)
        numbers = points[NUMBERS].astype(float) * (100 if measure.percent else 1)
        return points.assign(**numbers, whole=points.whole.astype(bool))

    @property
    def note(self) -> str:
        """A note on its runs, for the legend."""
        count = f"{self.runs} runs" if self.runs == self.of else f"{self.runs} of {self.of} runs"
        return ", ".join([count] * (self.of > 1) + ["half-finished"] * (not self.finished))


def curve_of(runs: Sequence[FoundRun]) -> Curve:
    """Average an arm's finished runs (all, if none is) at the steps at which all of them were evaluated.

    Where runs stop at differing steps a mean over those that are left would speak of ever fewer of them. A single run
    has the intervals of its `summary.json`; of several, those are left out of which scores are damaged.
    """
    of, arm = len(runs), runs[0].arm
    runs = [run for run in runs if of == 1 or all(map(_reads, run.evaluations.values()))]
    runs = [run for run in runs if run.finished] or runs
    measures, rows = drawn_measures(runs), []
    steps = [set(run.evaluations) for run in runs]
    for step in sorted(set.intersection(*steps) if steps else ()):
        each = [run.evaluations[step] for run in runs]
        if len(runs) == 1:
            (one,) = each
            ends = {m.name: [one.value(m.name, end) for end in NUMBERS] for m in measures}
            intervals = {name: Interval(value, low, high, ONE_MODEL) for name, (value, low, high) in ends.items()}
        else:
            tables = [one.as_run(*run.place) for run, one in zip(runs, each, strict=True)]
            intervals = intervals_of_runs(tables, resamples=RESAMPLES)
        updates = mean_over_motions([(run.motion, run.updates.get(step, math.nan) if step else 0.0) for run in runs])
        found = [(measure.name, intervals[measure.name]) for measure in measures if measure.name in intervals]
        whole = all(one.whole for one in each)
        rows += [(name, step, updates, one.value, one.low, one.high, whole) for name, one in found]
    points = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(subset="value")
    finished = all(run.finished for run in runs)
    return Curve(arm=arm, measures=measures, points=points, runs=len(runs), of=of, finished=finished)


def _reads(scored: Scored) -> bool:
    with suppress(VmcError):
        return bool(len(scored.values))
    return False


def drawn_measures(runs: Iterable[FoundRun]) -> list[Measure]:
    """Return the metrics of runs that are drawn as curves."""
    scored = [one.measures for run in runs for one in run.evaluations.values()]
    return [measure for measure in united(MEASURES, *scored) if measure.curve]


def figure7(report: Report) -> Iterator[Drawn]:
    """Draw metrics against training and against appearance; runs that stop separately from those that do not."""
    for name, runs in report.curves.items():
        for end, arms in group_arms([run.arm for run in runs], together=TOGETHER).items():
            of = {arm: [run for run in runs if run.arm == arm] for arm in arms}
            for drawn in (*_against_training(of, end, report.threshold), *_at_equal_appearance(report, of, end)):
                yield replace(drawn, end=f"_{name}{end}{drawn.end}")


def _against_training(of: Mapping[str, Sequence[FoundRun]], end: str, threshold: float | None) -> Iterator[Drawn]:
    curves = [curve_of(runs) for runs in of.values()]
    if all(curve.points.empty for curve in curves):
        return
    single = {arm: [curve_of([run]) for run in runs] for arm, runs in of.items() if len(runs) > 1}
    shown = [measure.short for measure in united(*(curve.measures for curve in curves))]
    others = _listed([one for one in shown if one != APPEARANCE.short])
    caption = (
        f"Figure 7{part_suffix(end)}: {_listed(shown)} against training steps and exemplar updates. Bands:"
        " 95 % intervals, the method's alone where there are many arms; of several runs the mean of those that are"
        " finished, at the steps at which all of them were evaluated, the runs thin. Filled: the whole test set;"
        " hollow: a part of it. Dotted: half-finished or failed."
    )
    caption += " Runs stop at the threshold." * any(run.stops for runs in of.values() for run in runs)
    caption += f" Dashed: the threshold of {threshold:.4f}." if threshold is not None else ""
    title = f"{_listed(shown).capitalize()}{part_suffix(end)}"
    yield Drawn(figure=draw_curves(curves, single, threshold=threshold, title=title), caption=caption)
    if any(len(curve.having(APPEARANCE)) for curve in curves):
        title = f"{others.capitalize()} at equal appearance{part_suffix(end)}"
        caption = (
            f"The same evaluations{part_suffix(end)}: {others} against the appearance score, which falls as"
            " training goes on. Where one line lies above another, its arm has learned more at an equal loss."
        )
        figure = draw_balance(curves, threshold=threshold, title=title)
        yield Drawn(figure=figure, caption=caption, end="_balance")


def draw_curves(
    arms: Sequence[Curve], single: Mapping[str, Sequence[Curve]], *, threshold: float | None, title: str
) -> Figure:
    """Draw a row for each metric, against steps at the left and against exemplar updates at the right.

    The first arm lies on top. Each has a band for its 95 % interval; of many, the method alone. `single` holds the runs
    of arms that have several; they are drawn thin.
    """
    shown = united(*(curve.measures for curve in arms))
    figure = Figure(figsize=(10.2, 8.2 * len(shown) / 3), layout="constrained")
    grid = figure.subplots(len(shown), len(AXES), sharey="row", sharex="col", squeeze=False)
    drawn, few = arm_styles(curve.arm for curve in arms), len(arms) <= BANDS
    every = [*arms, *(one for runs in single.values() for one in runs)]
    banded = [curve for curve in arms if few or curve.arm == METHOD]
    for measure, line in zip(shown, grid, strict=True):
        for (x, label), axes in zip(AXES, line, strict=True):
            for curve in banded:
                if len(points := curve.having(measure, x)):
                    color = drawn[curve.arm].color
                    colors = {"facecolor": (color, SHADE / len(banded)), "edgecolor": (color, 0.3 if few else 0)}
                    edge = 0.5 if few else 0
                    axes.fill_between(points[x], points.low, points.high, **colors, linewidth=edge, zorder=2)
            for curve in reversed(arms):
                color = drawn[curve.arm].color
                for one in single.get(curve.arm, ()):
                    if len(points := one.having(measure, x)):
                        thin = {
                            "linewidth": 0.7,
                            "alpha": 0.5,
                            "linestyle": "-" if one.finished else DOTTED,
                            "zorder": 2,
                        }
                        axes.plot(points[x], points.value, color=color, **thin)
                if len(points := curve.having(measure, x)):
                    _draw_line(axes, points, x, drawn[curve.arm], finished=curve.finished)
            if measure.name == APPEARANCE.name and threshold is not None:
                axes.axhline(threshold, **THRESHOLD)
            if measure is shown[-1]:
                axes.set_xlabel(label)
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        line[0].set_ylabel(measure.title)
        line[0].set_ylim(_limits(every, banded, measure, threshold))
    band = Patch(facecolor=(drawn[METHOD].color, SHADE), label="95 % interval of the method alone")
    _frame(figure, arms, drawn, title, *[band] * (bool(banded) and not few))
    return figure


def draw_balance(arms: Sequence[Curve], *, threshold: float | None, title: str) -> Figure:
    """Draw every other metric against the appearance score; training goes from left to right, as the score falls."""
    panels = [measure for measure in united(*(curve.measures for curve in arms)) if measure.name != APPEARANCE.name]
    figure = Figure(figsize=(5.1 * len(panels), 4.4), layout="constrained")
    drawn = arm_styles(curve.arm for curve in arms)
    for measure, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for curve in reversed(arms):
            appearance = curve.having(APPEARANCE).set_index("step").value.rename(APPEARANCE.name)
            points = curve.having(measure).join(appearance, on="step", how="inner")
            _draw_line(axes, points, APPEARANCE.name, drawn[curve.arm], finished=curve.finished)
        _finish_against_appearance(axes, measure, threshold)
    _frame(figure, arms, drawn, title)
    return figure


def _draw_line(axes: Any, points: pd.DataFrame, x: str, look: ArmStyle, *, finished: bool) -> None:
    """Draw an arm's line; points that rest on a part of the test set are hollow."""
    dash = look.dash if finished else DOTTED
    axes.plot(points[x], points.value, color=look.color, linewidth=look.width, linestyle=dash, zorder=3)
    for some, face in ((points[points.whole], look.color), (points[~points.whole], "white")):
        colors = {"markeredgecolor": look.color, "markerfacecolor": face}
        axes.plot(some[x], some.value, "o", markersize=4, **colors, zorder=4)


def _finish_against_appearance(axes: Any, measure: Measure, threshold: float | None) -> None:
    if threshold is not None:
        axes.axvline(threshold, **THRESHOLD)
    axes.invert_xaxis()
    axes.set(xlabel=APPEARANCE.title, ylabel=measure.title)


def _limits(
    curves: Sequence[Curve], banded: Sequence[Curve], measure: Measure, threshold: float | None
) -> tuple[float, float]:
    """Return limits of the vertical axis by which curves can be read where bands of few runs reach far beyond them."""
    values = [value for curve in curves for value in curve.having(measure).value]
    values += [threshold] * (measure.name == APPEARANCE.name and threshold is not None)
    factor = 100 if measure.percent else 1
    least, most = min(values, default=0.0), max(values, default=factor)
    room = max(0.5 * (most - least), 10 if measure.percent else 0.01)
    low = max(least - room, np.nanmin([least, *(end for curve in banded for end in curve.having(measure).low)]))
    high = min(most + room, np.nanmax([most, *(end for curve in banded for end in curve.having(measure).high)]))
    edge = 0.04 * (high - low) or 0.01 * factor
    return low - edge, high + edge


def _frame(figure: Figure, arms: Sequence[Curve], drawn: Mapping[str, ArmStyle], title: str, *more: Patch) -> None:
    """Put the title above a figure, and below it a legend with each arm's line and a note on its runs."""
    figure.suptitle(title, weight="bold", size=11, x=0.01, ha="left")
    handles: list[Any] = []
    for curve in arms:
        look, label = drawn[curve.arm], arm_name(curve.arm) + (f" ({curve.note})" if curve.note else "")
        dash = look.dash if curve.finished else DOTTED
        handles.append(Line2D([], [], color=look.color, linewidth=look.width, linestyle=dash, label=label))
    handles += more
    columns = 4 if max(len(handle.get_label()) for handle in handles) <= LONGEST else 3
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5)


def _listed(names: Sequence[str]) -> str:
    """Join names for a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


# --- the frontier: accuracy as a function of appearance, and what it is on average against the method's --------------

ACCURACY = "motion_accuracy"
FRONTIER_POINTS = 25
FRONTIER_RESAMPLES = 1_000


def frontier_of(runs: Sequence[FoundRun], *, measure: Measure) -> pd.DataFrame | None:
    """Compute an arm's values where its appearance has fallen to each `score`, with a simultaneous band of 95 %.

    They are means over motions of the mean over seeds, where all runs that are finished have been, in percent of a
    share. None where there are no two evaluations of a run, or no score that all of the runs have passed.
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
    scores_G = np.linspace(high, low, FRONTIER_POINTS)
    subjects = sorted({subject for one in trajectories for subject in one.videos["subject"]})
    drawn = resample_trajectories(trajectories, metrics=[measure.name], subjects=subjects, resamples=FRONTIER_RESAMPLES)
    grid_RG = np.broadcast_to(scores_G, (FRONTIER_RESAMPLES + 1, FRONTIER_POINTS))
    resampled = Resampled(
        places=[one.place for one in trajectories],
        metrics=[measure.name] * FRONTIER_POINTS,
        draws_QRV=np.stack([one.read(grid_RG)[..., 0] for one in drawn]),
        subjects_V=np.full(FRONTIER_POINTS, len(subjects)),
        shares=shares_of([measure]),
    )
    low_G, high_G = resampled.band()
    found = pd.DataFrame({"value": resampled.value_V, "low": low_G, "high": high_G})
    return (100 * found.clip(0, 1) if measure.percent else found).assign(score=scores_G)


def _at_equal_appearance(report: Report, of: Mapping[str, Sequence[FoundRun]], end: str) -> Iterator[Drawn]:
    """Draw the arms' frontiers, and their means over the range that each has in common with the method."""
    measure = next(one for one in report.measures if one.name == ACCURACY)
    frontiers = {arm: frontier_of(runs, measure=measure) for arm, runs in of.items()}
    found = {arm: one for arm, one in frontiers.items() if one is not None}
    if not found:
        return
    comparisons = {one.arm: one for one in report.comparisons if measure.name in one.mean_differences}
    compared = [comparisons[arm] for arm in of if arm in comparisons]
    figure = Figure(figsize=(10.2, max(4.4, 1.6 + 0.34 * len(compared))), layout="constrained")
    curves, means = figure.subplots(1, 2, width_ratios=(3, 2))
    drawn, few = arm_styles(of), len(found) <= BANDS
    for arm, one in reversed(found.items()):
        look = drawn[arm]
        if few or arm == METHOD:
            curves.fill_between(one.score, one.low, one.high, color=look.color, alpha=0.12, linewidth=0, zorder=2)
        line = {"color": look.color, "linewidth": look.width, "linestyle": look.dash, "zorder": 3}
        curves.plot(one.score, one.value, **line, label=arm_name(arm))
    _finish_against_appearance(curves, measure, report.threshold)
    factor = 100 if measure.percent else 1
    each = [one.mean_differences[measure.name] for one in compared]
    ends = [(factor * one.low, factor * one.value, factor * one.high) for one in each]
    names = [f"{arm_name(one.arm)}\n({one.range[1]:.3f} to {one.range[0]:.3f})" for one in compared]
    draw_intervals(means, ends, names, [drawn[one.arm].color for one in compared], markersize=6)
    means.axvline(0, **THRESHOLD)
    means.set_xlabel(f"{measure.title}, mean over the\ncommon range less the method's")
    figure.suptitle(f"{measure.plain} at equal appearance{part_suffix(end)}", weight="bold", size=11, x=0.01, ha="left")
    handles, labels = curves.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=4, fontsize=8.5)
    caption = (
        f"The frontier{part_suffix(end)}: {measure.short} where appearance, fitted falling over all evaluations, has"
        " come down to each score, where all runs of an arm have been. Bands hold the whole curve in 95 % of cases"
        f"{'' if few else ', of the method alone'}. At the right the mean over the appearance scores that an arm and"
        " the method both have passed (in brackets) less the method's, with intervals of 95 %, not corrected."
    )
    yield Drawn(figure=figure, caption=caption, end="_frontier")
