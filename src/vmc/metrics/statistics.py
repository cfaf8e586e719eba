"""Intervals that say what they speak of: of one trained model, or of the method.

Axes: R resamples, N subjects, Q runs, V metrics.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from vmc.metrics.columns import Column, Measure, measures_of, united
from vmc.metrics.declared import COLUMNS, MEASURES
from vmc.metrics.values import names_of, values_of_run
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

RESAMPLES = 10_000
TAIL = 0.025  # of a 95 % interval, on each side
ONE_MODEL = "this model only"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % interval; NaN ends where there is too little to tell.

    Args:
        value: the metric.
        low: the interval's lower end.
        high: its upper end.
        speaks_of: what was resampled, and therefore what the interval speaks of.
    """

    value: float
    low: float
    high: float
    speaks_of: str

    def to_json(self) -> dict[str, float | None]:
        """The form in `summary.json`."""
        return {
            name: None if math.isnan(number) else number
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


@dataclass(frozen=True, kw_only=True)
class Run:
    """The values of one trained model: one motion, one training seed; and what its measures are."""

    motion: str
    seed: int
    values: pd.DataFrame
    measures: Sequence[Measure] = MEASURES


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Metrics and their bootstrap distribution.

    Args:
        value_V: the metrics.
        draws_RV: the same of every resample.
        subjects_V: how many subjects have a value.
    """

    value_V: Array
    draws_RV: Array
    subjects_V: NDArray[np.int64]


def intervals_of_run(scores: pd.DataFrame, *, columns: Sequence[Column] = COLUMNS) -> dict[str, Interval]:
    """Every measured metric of one evaluation of one run, from the table of `scores.csv`; see `values_of_run`."""
    return intervals_of_values(values_of_run(scores, columns=columns), measures=measures_of(columns))


def intervals_of_values(
    values: pd.DataFrame, *, measures: Sequence[Measure] = MEASURES, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Every metric of one run: percentile bootstrap over subjects, all videos of a subject drawn together.

    The percentiles are widened for few subjects as Hesterberg (2015, "What teachers should know about the bootstrap")
    has it, such that with normal data they are those of Student's t; with 100 subjects this hardly shows. A share's
    interval reaches at least as far as that of a run without a single hit (`no_hit_bound`).
    """
    metrics, shares = names_of(values), shares_of(measures)
    drawn = resample([Run(motion="", seed=0, values=values)], metrics=metrics, resamples=resamples)
    found = {}
    for place, metric in enumerate(metrics):
        value, subjects = float(drawn.value_V[place]), int(drawn.subjects_V[place])
        low, high = _percentiles(drawn.draws_RV[:, place], clusters=subjects)
        interval = Interval(value, low, high, ONE_MODEL)
        found[metric] = _bounded(interval, subjects=subjects) if metric in shares else interval
    return found


def intervals_of_runs(runs: Sequence[Run], *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Every metric that all runs have: the mean over motions of the mean over a motion's training seeds.

    Hierarchical bootstrap over motions, training seeds and subjects (`resample`). With three or five motions its
    percentiles are far too narrow (four values never resample beyond their range), so the interval is the value plus
    and minus Student's t times the bootstrap's deviation, with one degree of freedom less than there are motions
    (training seeds, if there is one motion). One run alone speaks of itself only.
    """
    if not runs:
        raise VmcError("there are no runs to take an interval of; give at least one")
    if len(runs) == 1:
        return intervals_of_values(runs[0].values, measures=runs[0].measures, resamples=resamples)
    held = [set(names_of(run.values)) for run in runs]
    metrics = [metric for metric in names_of(runs[0].values) if all(metric in names for names in held)]
    shares = shares_of(united(*(run.measures for run in runs)))
    drawn = resample(runs, metrics=metrics, resamples=resamples)
    found = {}
    for place, metric in enumerate(metrics):
        value, draws_R = float(drawn.value_V[place]), drawn.draws_RV[:, place]
        reach = student_reach(deviation(draws_R, clusters=clusters(runs)), clusters=clusters(runs))
        alike = metric in shares and value in (0.0, 1.0)  # then the runs cannot tell how much runs differ
        label = "these runs only: other subjects (every video alike)" if alike else speaks_of(runs)
        interval = Interval(value, value - reach, value + reach, label)
        subjects = int(drawn.subjects_V[place])
        found[metric] = _bounded(interval, subjects=subjects) if metric in shares else interval
    return found


def resample(runs: Sequence[Run], *, metrics: Sequence[str], resamples: int) -> Resampled:
    """Bootstrap over motions, within a drawn motion over its training seeds, and over subjects.

    The subjects are the same people in every run, some of them easy to draw for every model. So they are drawn once
    for all runs of a resample (Owen, 2007, "The pigeonhole bootstrap"); drawn anew within every run, their part of the
    error would seem to shrink with the number of runs. The draws depend on the numbers of motions, seeds and subjects
    alone: two arms of the same runs and subjects are resampled alike, which is what pairs them.
    """
    runs = sorted(runs, key=lambda run: (run.motion, run.seed))
    subjects = sorted({subject for run in runs for subject in run.values["subject"]})
    count = len(subjects)
    rng = np.random.default_rng(derive_seed(count, "bootstrap", "subjects"))
    weights_RN = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    shares_Q, shares_RQ = _shares_of_runs(runs, resamples=resamples)
    value_V = np.zeros(len(metrics))
    draws_RV = np.zeros((resamples, len(metrics)))
    present_NV = np.zeros((count, len(metrics)), dtype=bool)
    for run, share, share_R in zip(runs, shares_Q, shares_RQ.T, strict=True):
        sums_NV, counts_NV = _totals(run.values, subjects=subjects, metrics=metrics)
        present_NV |= counts_NV > 0
        with np.errstate(invalid="ignore"):  # a resample may hold no video with a value: 0 / 0
            value_V += share * sums_NV.sum(0) / counts_NV.sum(0)
            means_RV = (weights_RN @ sums_NV) / (weights_RN @ counts_NV)
        draws_RV += np.where(share_R[:, None] > 0, share_R[:, None] * means_RV, 0.0)
    return Resampled(value_V=value_V, draws_RV=draws_RV, subjects_V=present_NV.sum(0))


def _totals(values: pd.DataFrame, *, subjects: Sequence[str], metrics: Sequence[str]) -> tuple[Array, Array]:
    """Sum and number of each subject's values in a run."""
    rows = np.searchsorted(np.array(subjects, dtype=object), values["subject"].to_numpy(dtype=object))
    numbers = values[list(metrics)].to_numpy(dtype=np.float64)
    present = ~np.isnan(numbers)
    sums_NV, counts_NV = np.zeros((2, len(subjects), len(metrics)))
    np.add.at(sums_NV, rows, np.where(present, numbers, 0.0))
    np.add.at(counts_NV, rows, present)
    return sums_NV, counts_NV


def _shares_of_runs(runs: Sequence[Run], *, resamples: int) -> tuple[Array, Array]:
    """Each run's share in the mean over motions of the mean over seeds, in truth and in every resample."""
    seeds = Counter(run.motion for run in runs)
    rng = np.random.default_rng(derive_seed(*sorted(seeds.values()), "bootstrap", "runs"))
    times_RM = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=resamples)
    # A motion drawn k times draws its seeds k times over.
    drawn = [
        rng.multinomial(times_R * count, np.full(count, 1 / count)) / (len(seeds) * count)
        for count, times_R in zip(seeds.values(), times_RM.T, strict=True)
    ]
    return np.array([1 / (len(seeds) * seeds[run.motion]) for run in runs]), np.concatenate(drawn, axis=1)


def clusters(runs: Sequence[Run]) -> int:
    """How many independent draws the interval rests on: motions, or training seeds of the only motion."""
    motions = {run.motion for run in runs}
    return len(motions) if len(motions) > 1 else len(runs)


def speaks_of(runs: Sequence[Run]) -> str:
    """What an interval over these runs speaks of."""
    seeds = sorted(Counter(run.motion for run in runs).values())
    if len(runs) == 1:
        return ONE_MODEL
    if len(seeds) == 1:
        return f"this motion only: other training seeds and subjects (1 motion, {len(runs)} training seeds)"
    if seeds[-1] == 1:
        return f"other motions and subjects ({len(seeds)} motions, a single training seed each)"
    each = f"{seeds[0]}" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    return f"other motions, training seeds and subjects ({len(seeds)} motions, {each} training seeds each)"


def no_hit_bound(subjects: int) -> float:
    """The largest share that agrees with no hit among so many subjects (Clopper and Pearson, 95 %, two-sided).

    The plain bootstrap of 0 hits is [0, 0]. A subject's videos may stand or fall together, so it is the subjects that
    count: 0 of 100 subjects x 3 seeds gives 0.036.
    """
    return float(1 - TAIL ** (1 / subjects))


def deviation(draws_R: Array, *, clusters: int) -> float:
    """The bootstrap's standard error, freed of its bias of (n - 1) / n in the variance for n clusters."""
    return float(np.nanstd(draws_R)) * math.sqrt(clusters / (clusters - 1))


def student_reach(error: float, *, clusters: int) -> float:
    """Half the width of the 95 % interval."""
    return float(stdtrit(clusters - 1, 1 - TAIL)) * error


def _percentiles(draws_R: Array, *, clusters: int) -> tuple[float, float]:
    if clusters < 2:
        return math.nan, math.nan
    level = float(ndtr(stdtrit(clusters - 1, TAIL) * math.sqrt(clusters / (clusters - 1))))
    low, high = np.nanquantile(draws_R, [level, 1 - level])
    return float(low), float(high)


def shares_of(measures: Sequence[Measure]) -> frozenset[str]:
    """Names of the measures that count videos; they lie between 0 and 1."""
    return frozenset(measure.name for measure in measures if measure.percent)


def _bounded(interval: Interval, *, subjects: int) -> Interval:
    """A share's interval, within 0..1 and never tighter at either end than without a single hit or miss."""
    bound = no_hit_bound(subjects)
    # A single subject has no bootstrap: np.fmin and fmax pass over its NaN.
    low = np.clip(np.fmin(interval.low, 1 - bound), 0.0, interval.value)
    high = np.clip(np.fmax(interval.high, bound), interval.value, 1.0)
    return Interval(interval.value, float(low), float(high), interval.speaks_of)
