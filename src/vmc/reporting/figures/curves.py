"""Fig. 7: metrics against training and against each other, an arm a line; and how often each timestep is drawn."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from vmc.metrics.declared import MEASURES
from vmc.metrics.resampling import Run
from vmc.metrics.statistics import intervals_of_runs
from vmc.reporting.catalog import APPEARANCE, METHOD, arm_name
from vmc.reporting.figures.common import BANDS, COLORS, MUTED, THRESHOLD, Drawn, Look, groups, looks, say_part
from vmc.reporting.figures.frontier import ACCURACY, draw_frontiers
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import mean_over_motions
from vmc.reporting.results import Report, TimestepSampler

POINTS = 1000  # of a curve


def timesteps(report: Report) -> Iterator[Drawn]:
    """How likely each timestep is, of every sampler that the runs have."""
    if report.samplers:
        caption = "How often each timestep is drawn in training, over a uniform draw."
        yield Drawn(figure=draw_timesteps(report.samplers), caption=caption)


def draw_timesteps(samplers: Mapping[str, TimestepSampler]) -> Figure:
    """A curve a sampler: its density over the uniform one's, clean at the left and noise at the right.

    Args:
        samplers: by what they are called, and after a colon whose they are.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    times_T = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    for number, (label, sampler) in enumerate(samplers.items()):
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
    return figure


DOTTED = (0, (1, 2))
"""Of what is half-finished."""
SHADE = 0.2
"""Of all bands that are drawn, together."""
TOGETHER = 8
"""Arms that are drawn into one figure; more are drawn apart, as the tables list them."""
AXES = (("step", "training step"), ("updates", "exemplar updates"))
RESAMPLES = 2_000  # of a band; a figure needs fewer than a table
COLUMNS = ("metric", "step", "updates", "value", "low", "high", "whole")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An arm, or one of its runs.

    A point is an evaluation and metric, ascending in steps: exemplar updates (NaN where `train.csv` is gone),
    the value, both ends of its interval (NaN where there is none), whether the whole test set was scored.
    """

    arm: str
    measures: Sequence[Measure]
    points: pd.DataFrame  # with the columns COLUMNS
    runs: int  # that it is the mean of
    of: int  # runs that there are
    finished: bool  # whether those that it is the mean of are

    def having(self, measure: Measure) -> pd.DataFrame:
        """The points of a metric; none where it was not measured."""
        return self.points[self.points["metric"] == measure.name]

    @property
    def note(self) -> str:
        """What is to be said of its runs beside its name."""
        count = f"{self.runs} runs" if self.runs == self.of else f"{self.runs} of {self.of} runs"
        return ", ".join([count] * (self.of > 1) + ["half-finished"] * (not self.finished))


def curve_of_run(run: FoundRun) -> Curve:
    """One run, with the intervals of its `summary.json`."""
    measures = drawn_measures([run])
    rows = [
        (m.name, step, _updates(run, step), *(one.value(m.name, end) for end in ("value", "low", "high")), one.whole)
        for step, one in run.evaluations.items()
        for m in measures
    ]
    return _curve([run], measures, rows)


def curve_of_arm(runs: Sequence[FoundRun]) -> Curve:
    """The mean over an arm's finished runs (all, if none is) at the steps at which all of them were evaluated.

    Where runs stop at differing steps a mean over those that are left would speak of ever fewer of them.
    """
    of, runs = len(runs), [run for run in runs if run.finished] or runs
    if len(runs) == 1:
        return replace(curve_of_run(runs[0]), of=of)
    measures, rows = drawn_measures(runs), []
    for step in sorted(set.intersection(*(set(run.evaluations) for run in runs))):
        each = [(run.place, run.evaluations[step]) for run in runs]
        tables = [Run(motion=m, seed=s, values=one.values, measures=one.measures) for (m, s), one in each]
        intervals = intervals_of_runs(tables, resamples=RESAMPLES)
        updates = mean_over_motions([(run.motion, _updates(run, step)) for run in runs])
        whole = all(one.whole for _, one in each)
        found = [(measure.name, intervals[measure.name]) for measure in measures if measure.name in intervals]
        rows += [(name, step, updates, one.value, one.low, one.high, whole) for name, one in found]
    return replace(_curve(runs, measures, rows), of=of)


def drawn_measures(runs: Iterable[FoundRun]) -> list[Measure]:
    """The metrics of runs that are drawn."""
    scored = [one.measures for run in runs for one in run.evaluations.values()]
    return [measure for measure in united(MEASURES, *scored) if measure.curve]


def _curve(runs: Sequence[FoundRun], measures: Sequence[Measure], rows: Sequence[tuple[Any, ...]]) -> Curve:
    points = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(subset="value")
    finished, count = runs[0].finished, len(runs)
    return Curve(arm=runs[0].arm, measures=measures, points=points, runs=count, of=count, finished=finished)


def _updates(run: FoundRun, step: int) -> float:
    return 0.0 if step == 0 else float(run.updates.get(step, math.nan))


def figure7(report: Report) -> Iterator[Drawn]:
    """Curves against training, and what an arm gains for what it loses; of what stops apart from the rest."""
    for name, runs in report.curves.items():
        for end, arms in groups([run.arm for run in runs], together=TOGETHER).items():
            of = {arm: [run for run in runs if run.arm == arm] for arm in arms}
            yield from _figures(of, name, end, threshold=report.threshold)
            compared = {one.arm: one for one in report.comparisons}
            accuracy = next(one for one in report.measures if one.name == ACCURACY)
            yield from draw_frontiers(of, compared, measure=accuracy, threshold=report.threshold, name=name, end=end)


def _figures(of: Mapping[str, Sequence[FoundRun]], name: str, end: str, *, threshold: float | None) -> Iterator[Drawn]:
    curves = [curve_of_arm(runs) for runs in of.values()]
    if all(curve.points.empty for curve in curves):
        return
    single = {arm: [curve_of_run(run) for run in runs] for arm, runs in of.items() if len(runs) > 1}
    shown = [measure.short for measure in united(*(curve.measures for curve in curves))]
    others = _listed([one for one in shown if one != APPEARANCE.short])
    caption = (
        f"Figure 7{say_part(end)}: {_listed(shown)} against training steps and exemplar updates. Bands:"
        " 95 % intervals, the method's alone where there are many arms; of several runs the mean of those that are"
        " finished, at the steps at which all of them were evaluated, the runs thin. Filled: the whole test set;"
        " hollow: a part of it. Dotted: half-finished or failed."
    )
    caption += " Runs stop at the threshold." * any(run.threshold is not None for runs in of.values() for run in runs)
    caption += f" Dashed: the threshold of {threshold:.4f}." if threshold is not None else ""
    title = f"{_listed(shown).capitalize()}{say_part(end)}"
    figure = draw_curves(curves, single, threshold=threshold, title=title)
    yield Drawn(figure=figure, caption=caption, end=f"_{name}{end}")
    if any(len(curve.having(APPEARANCE)) for curve in curves):
        title = f"{others.capitalize()} at equal appearance{say_part(end)}"
        caption = (
            f"The same evaluations{say_part(end)}: {others} against the appearance score, which falls as"
            " training goes on. Where one line lies above another, its arm has learned more at an equal loss."
        )
        figure = draw_balance(curves, threshold=threshold, title=title)
        yield Drawn(figure=figure, caption=caption, end=f"_{name}{end}_balance")


def draw_curves(
    arms: Sequence[Curve], single: Mapping[str, Sequence[Curve]], *, threshold: float | None, title: str
) -> Figure:
    """A row a metric, against steps at the left and against exemplar updates at the right.

    The first arm lies on top. Each has a band for its 95 % interval; of many, the method alone. `single` holds the runs
    of arms that have several; they are drawn thin.
    """
    shown = united(*(curve.measures for curve in arms))
    figure = Figure(figsize=(10.2, 8.2 * len(shown) / 3), layout="constrained")
    grid = figure.subplots(len(shown), len(AXES), sharey="row", sharex="col", squeeze=False)
    drawn, few = looks(curve.arm for curve in arms), len(arms) <= BANDS
    every = [*arms, *(one for runs in single.values() for one in runs)]
    banded = [curve for curve in arms if few or curve.arm == METHOD]
    for measure, line in zip(shown, grid, strict=True):
        for (x, label), axes in zip(AXES, line, strict=True):
            for curve in banded:
                if len(points := _points(curve, measure, x)):
                    color = drawn[curve.arm].color
                    colors = {"facecolor": (color, SHADE / len(banded)), "edgecolor": (color, 0.3 if few else 0)}
                    edge = 0.5 if few else 0
                    axes.fill_between(points[x], points.low, points.high, **colors, linewidth=edge, zorder=2)
            for curve in reversed(arms):
                for one in single.get(curve.arm, ()):
                    if len(points := _points(one, measure, x)):
                        dash = "-" if one.finished else DOTTED
                        thin = {"linewidth": 0.7, "alpha": 0.5, "linestyle": dash, "zorder": 2}
                        axes.plot(points[x], points.value, color=drawn[one.arm].color, **thin)
                if len(points := _points(curve, measure, x)):
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
    """Every other metric against the appearance score; training goes from left to right, as it falls."""
    panels = [measure for measure in united(*(curve.measures for curve in arms)) if measure.name != APPEARANCE.name]
    figure = Figure(figsize=(5.1 * len(panels), 4.4), layout="constrained")
    drawn = looks(curve.arm for curve in arms)
    for measure, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for curve in reversed(arms):
            appearance = _points(curve, APPEARANCE, "step").set_index("step").value.rename(APPEARANCE.name)
            points = _points(curve, measure, "step").join(appearance, on="step", how="inner")
            _draw_line(axes, points, APPEARANCE.name, drawn[curve.arm], finished=curve.finished)
        if threshold is not None:
            axes.axvline(threshold, **THRESHOLD)
        axes.invert_xaxis()
        axes.set(xlabel=APPEARANCE.title, ylabel=measure.title)
    _frame(figure, arms, drawn, title)
    return figure


def _points(curve: Curve, measure: Measure, x: str) -> pd.DataFrame:
    """The points of a metric that have an x; percent where the metric is a share."""
    points = curve.having(measure).dropna(subset=x)
    numbers = points[["value", "low", "high"]].astype(float) * (100 if measure.percent else 1)
    return points.assign(**numbers, whole=points.whole.astype(bool))


def _draw_line(axes: Any, points: pd.DataFrame, x: str, look: Look, *, finished: bool) -> None:
    """An arm's line; points of a part of the test set are hollow."""
    dash = look.dash if finished else DOTTED
    axes.plot(points[x], points.value, color=look.color, linewidth=look.width, linestyle=dash, zorder=3)
    for some, face in ((points[points.whole], look.color), (points[~points.whole], "white")):
        colors = {"markeredgecolor": look.color, "markerfacecolor": face}
        axes.plot(some[x], some.value, "o", markersize=4, **colors, zorder=4)


def _limits(
    curves: Sequence[Curve], banded: Sequence[Curve], measure: Measure, threshold: float | None
) -> tuple[float, float]:
    """Of the vertical axis: so that curves can be read where bands of few runs reach far beyond them."""
    values = [value for curve in curves for value in curve.having(measure).value]
    values += [threshold] * (measure.name == APPEARANCE.name and threshold is not None)
    least, most = min(values, default=0.0), max(values, default=1.0)
    room = max(0.5 * (most - least), 0.1 if measure.percent else 0.01)
    low = max(least - room, np.nanmin([least, *(end for curve in banded for end in curve.having(measure).low)]))
    high = min(most + room, np.nanmax([most, *(end for curve in banded for end in curve.having(measure).high)]))
    edge = 0.04 * (high - low) or 0.01
    factor = 100 if measure.percent else 1
    return factor * (low - edge), factor * (high + edge)


def _frame(figure: Figure, arms: Sequence[Curve], drawn: Mapping[str, Look], title: str, *more: Patch) -> None:
    """Put the title above a figure, and a legend below it: an arm's line, and what is to be said of its runs."""
    figure.suptitle(title, weight="bold", size=11, x=0.01, ha="left")
    handles: list[Any] = []
    for curve in arms:
        look, label = drawn[curve.arm], arm_name(curve.arm) + (f" ({curve.note})" if curve.note else "")
        dash = look.dash if curve.finished else DOTTED
        handles.append(Line2D([], [], color=look.color, linewidth=look.width, linestyle=dash, label=label))
    figure.legend(handles=[*handles, *more], loc="outside lower center", ncols=4, fontsize=8.5)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
