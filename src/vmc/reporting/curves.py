"""Fig. 7: how each arm's metrics go with training, over its motions and training seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import MEASURES
from vmc.metrics.statistics import Run, intervals_of_runs
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import mean_over_motions

RESAMPLES = 2_000  # of a band; a figure needs fewer than a table


@dataclass(frozen=True, kw_only=True)
class Point:
    """An arm at one step.

    Args:
        step: of training.
        updates: exemplar updates until then; NaN where `train.csv` is gone.
        value, low, high: of the metric; NaN ends where there is no interval.
        whole: whether the whole test set was scored.
    """

    step: int
    updates: float
    value: float
    low: float
    high: float
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An arm, or one of its runs.

    Args:
        arm: its name.
        measures: that are drawn.
        points: by metric, ascending in steps.
        runs: how many it is the mean of, and `of`, how many there are.
        finished: whether those that it is the mean of are.
    """

    arm: str
    measures: Sequence[Measure]
    points: dict[str, list[Point]]
    runs: int
    of: int
    finished: bool

    def having(self, measure: Measure) -> list[Point]:
        """The points of a metric; none where it was not measured."""
        return self.points.get(measure.name, [])


def drawn_of(runs: Sequence[FoundRun]) -> list[Measure]:
    """The metrics of runs that are drawn."""
    scored = [one.measures for run in runs for one in run.evaluations.values()]
    return [measure for measure in united(MEASURES, *scored) if measure.curve]


def curve_of_run(run: FoundRun) -> Curve:
    """One run, with the intervals of its `summary.json`."""
    measures = drawn_of([run])
    points = {
        measure.name: [
            Point(
                step=step,
                updates=_updates(run, step),
                value=scored.value(measure.name),
                low=scored.value(measure.name, "low"),
                high=scored.value(measure.name, "high"),
                whole=scored.whole,
            )
            for step, scored in run.evaluations.items()
            if not math.isnan(scored.value(measure.name))
        ]
        for measure in measures
    }
    return Curve(arm=run.arm, measures=measures, points=points, runs=1, of=1, finished=run.finished)


def curve_of_arm(runs: Sequence[FoundRun]) -> Curve:
    """The mean over an arm's finished runs (all, if none is) at the steps at which all of them were evaluated.

    Where runs stop at differing steps a mean over those that are left would speak of ever fewer of them.
    """
    of, runs = len(runs), [run for run in runs if run.finished] or runs
    if len(runs) == 1:
        return replace(curve_of_run(runs[0]), of=of)
    measures = drawn_of(runs)
    points: dict[str, list[Point]] = {measure.name: [] for measure in measures}
    for step in sorted(set.intersection(*(set(run.evaluations) for run in runs))):
        scored = [run.evaluations[step] for run in runs]
        tables = [
            Run(motion=run.motion, seed=run.seed, values=one.values, measures=one.measures)
            for run, one in zip(runs, scored, strict=True)
        ]
        intervals = intervals_of_runs(tables, resamples=RESAMPLES)
        updates = mean_over_motions([(run.motion, _updates(run, step)) for run in runs])
        for measure in measures:
            if found := intervals.get(measure.name):
                points[measure.name].append(
                    Point(
                        step=step,
                        updates=updates,
                        value=found.value,
                        low=found.low,
                        high=found.high,
                        whole=all(one.whole for one in scored),
                    )
                )
    finished = runs[0].finished
    return Curve(arm=runs[0].arm, measures=measures, points=points, runs=len(runs), of=of, finished=finished)


def _updates(run: FoundRun, step: int) -> float:
    return 0.0 if step == 0 else float(run.updates.get(step, math.nan))
