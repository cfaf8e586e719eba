"""Fig. 7: how each arm's metrics go with training, over its motions and training seeds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import MEASURES
from vmc.metrics.statistics import Run, intervals_of_runs
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import mean_over_motions

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


def group_runs(runs: Sequence[FoundRun]) -> dict[str, list[FoundRun]]:
    """Runs that are drawn together: those that nothing stops (`tradeoff`) apart from those that stop (`stopping`)."""
    evaluated = [run for run in runs if run.trains and run.evaluations]
    unstopped = [run for run in evaluated if run.threshold is None]
    if len(unstopped) in (0, len(evaluated)):
        return {"tradeoff": evaluated} if evaluated else {}
    return {"tradeoff": unstopped, "stopping": [run for run in evaluated if run.threshold is not None]}


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
        scored = [(run, run.evaluations[step]) for run in runs]
        tables = [
            Run(motion=run.motion, seed=run.seed, values=one.values, measures=one.measures) for run, one in scored
        ]
        intervals = intervals_of_runs(tables, resamples=RESAMPLES)
        updates = mean_over_motions([(run.motion, _updates(run, step)) for run in runs])
        whole = all(one.whole for _, one in scored)
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
