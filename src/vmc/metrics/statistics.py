"""Intervals that say what they speak of, one trained model or the method, and whether two arms differ.

Axes: R resamples, N subjects, Q runs, C motions (or runs of the only motion), V metrics.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from vmc.metrics.columns import Column, Measure, measures_of
from vmc.metrics.declared import COLUMNS, MEASURES
from vmc.metrics.resampling import RESAMPLES, TAIL, Array, Resampled, Run, resample
from vmc.metrics.scores import names_of, values_of_run
from vmc.utils.errors import VmcError

ONE_MODEL = "this model only"
ALIKE = 1e-9  # values that differ by less differ by rounding alone

Place = TypeVar("Place")


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % interval, NaN where there is too little to tell, and what the interval speaks of."""

    value: float
    low: float
    high: float
    speaks_of: str

    def to_json(self) -> dict[str, float | None]:
        """The form in `summary.json`."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(number) else number for name, number in ends.items()}


@dataclass(frozen=True)
class Difference:
    """An arm's metric less the reference's, with its 95 % interval (not corrected for the number of comparisons), its
    two-sided p, which is below 0.05 where the interval leaves zero out, and p after Holm's correction over the family.
    """

    value: float
    low: float
    high: float
    p: float
    p_corrected: float
    speaks_of: str


def intervals_of_run(scores: pd.DataFrame, *, columns: Sequence[Column] = COLUMNS) -> dict[str, Interval]:
    """Every measured metric of one evaluation of one run, from the table of `scores.csv`; see `values_of_run`."""
    return intervals_of_values(values_of_run(scores, columns=columns), measures=measures_of(columns))


def intervals_of_values(
    values: pd.DataFrame, *, measures: Sequence[Measure] = MEASURES, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Every metric of one run: see `intervals_of`."""
    return intervals_of_runs([Run(motion="", seed=0, values=values, measures=measures)], resamples=resamples)


def intervals_of_runs(runs: Sequence[Run], *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Every metric that all runs have: the mean over motions of the mean over a motion's training seeds."""
    if not runs:
        raise VmcError("there are no runs to take an interval of; give at least one")
    held = [set(names_of(run.values)) for run in runs]
    metrics = [metric for metric in names_of(runs[0].values) if all(metric in names for names in held)]
    return intervals_of(resample(runs, metrics=metrics, resamples=resamples))


def intervals_of(drawn: Resampled) -> dict[str, Interval]:
    """The 95 % interval of every metric.

    Of several runs it is the value plus and minus Student's t times the error (`Resampled.covariance`): three or five
    motions never resample beyond their range, which makes percentiles far too narrow. One run alone speaks of itself
    only, by percentiles over subjects, all videos of a subject drawn together. They are widened for few subjects as
    Hesterberg (2015, "What teachers should know about the bootstrap") has it, such that with normal data they are those
    of Student's t; with 100 subjects this hardly shows. A share's interval reaches at least as far as that of a run
    without a single hit (`no_hit_bound`).
    """
    found, (low_V, high_V) = {}, drawn.ends()
    for place, metric in enumerate(drawn.metrics):
        value, subjects, label = float(drawn.value_V[place]), int(drawn.subjects_V[place]), speaks_of(drawn.places)
        if len(drawn.places) == 1:
            low, high = _percentiles(drawn.draws_RV[:, place], clusters=subjects)
        else:
            low, high = float(low_V[place]), float(high_V[place])
            if metric in drawn.shares and value in (0.0, 1.0):  # the runs cannot tell how much runs differ
                label = "these runs only: other subjects (every video alike)"
        if metric in drawn.shares:  # within 0..1 and never tighter at either end than without a single hit or miss
            bound = no_hit_bound(subjects)
            # A single subject has no bootstrap: np.fmin and fmax pass over its NaN.
            low = float(np.clip(np.fmin(low, 1 - bound), 0.0, value))
            high = float(np.clip(np.fmax(high, bound), value, 1.0))
        found[metric] = Interval(value, low, high, label)
    return found


def paired_differences(one: Resampled, other: Resampled) -> dict[str, Difference]:
    """The metrics of one arm less those of another, which has the same motions, training seeds and videos.

    Both were resampled by the same draws: that pairs them. The p-value compares the difference with its error
    (`Resampled.covariance`) by Student's t. Counting the resamples beyond zero would not do: of four motions all four
    lie on the same side once in eight times by chance, and then no resample is beyond zero.

    Raises:
        VmcError: fewer than two runs, or runs that are not of the same motions and training seeds.
    """
    if len(set(one.places)) < 2 or list(one.places) != list(other.places):
        raise VmcError(
            f"the arms have runs of {list(one.places)} and of {list(other.places)}; one run per arm cannot tell: train"
            " at least two seeds or motions of each, and give the same ones of both"
        )
    apart = replace(one, draws_QRV=one.draws_QRV - other.draws_QRV, difference=True)
    found, (low_V, high_V), p_V = {}, apart.ends(), apart.p_values()
    for place, metric in enumerate(one.metrics):
        value, low, high, p = (float(part[place]) for part in (apart.value_V, low_V, high_V, p_V))
        if high - low < ALIKE:
            # No motion or seed differs from another by a hair: what is left is that all have the same sign.
            p = 1.0 if abs(value) < ALIKE else 0.5 ** (len(apart.clusters_CRV) - 1)
            reach = no_hit_bound(int(apart.subjects_V[place])) if metric in one.shares else 0.0
            low, high = value - reach, value + reach
        if metric in one.shares:
            low, high = max(low, -1.0), min(high, 1.0)
        found[metric] = Difference(value, low, high, p, p, speaks_of(one.places))
    return found


def holm(p_values: Mapping[Place, float]) -> dict[Place, float]:
    """p-values corrected for their number (Holm, 1979): the smallest of n times n, the next times n - 1, and so on.

    None is smaller than the one before it, none larger than 1.
    """
    corrected, largest = dict(p_values), 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = corrected[name] = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
    return corrected


def speaks_of(places: Sequence[tuple[str, int]]) -> str:
    """What an interval over runs of these motions and training seeds speaks of."""
    seeds = sorted(Counter(motion for motion, _ in places).values())
    if len(places) == 1:
        return ONE_MODEL
    if len(seeds) == 1:
        return f"this motion only: other training seeds and subjects (1 motion, {len(places)} training seeds)"
    if seeds[-1] == 1:
        return f"other motions and subjects ({len(seeds)} motions, a single training seed each)"
    each = f"{seeds[0]}" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
    return f"other motions, training seeds and subjects ({len(seeds)} motions, {each} training seeds each)"


def crossed_interval(hits_N: Array, *clusters_N: Sequence[object]) -> tuple[float, float]:
    """The 95 % interval of a share of answers that are clustered in several ways, such as by raters and by subjects.

    The variance between raters plus that between subjects, less that between answers, which both of them hold
    (Cameron, Gelbach and Miller, 2011, "Robust inference with multiway clustering"), and no less than either; Student's
    t of one degree of freedom less than the way with the fewest clusters has. A way with a single cluster tells
    nothing and is passed over. The bounds are those of other shares (`no_hit_bound`). Both ways drawn at once in a
    bootstrap (Owen, 2007) would count the answers' own noise three times, which is most of it in a choice of two.

    Args:
        hits_N: 0 or 1 for each answer.
        clusters_N: by each way, the cluster of each answer.
    """
    ways = [
        codes
        for codes, names in map(pd.factorize, (np.array(names, dtype=object) for names in clusters_N))
        if len(names) > 1
    ]
    if not ways:
        return math.nan, math.nan
    value, fewest = float(hits_N.mean()), min(int(codes.max()) + 1 for codes in ways)

    def variance(codes: NDArray[np.intp]) -> float:
        sums_G = np.bincount(codes, hits_N - value)
        return float((sums_G**2).sum()) / len(hits_N) ** 2 * len(sums_G) / (len(sums_G) - 1)

    each = [variance(codes) for codes in ways]
    answers = pd.factorize(pd.MultiIndex.from_arrays(ways))[0]
    total = max(*each, sum(each) - variance(answers)) if len(each) > 1 else each[0]
    reach, bound = float(stdtrit(fewest - 1, 1 - TAIL)) * math.sqrt(total), no_hit_bound(fewest)
    low, high = min(value - reach, 1 - bound), max(value + reach, bound)
    return float(np.clip(low, 0.0, value)), float(np.clip(high, value, 1.0))


def no_hit_bound(subjects: int) -> float:
    """The largest share that agrees with no hit among so many subjects (Clopper and Pearson, 95 %, two-sided).

    The plain bootstrap of 0 hits is [0, 0]. A subject's videos may stand or fall together, so it is the subjects that
    count: 0 of 100 subjects x 3 seeds gives 0.036.
    """
    return float(1 - TAIL ** (1 / subjects))


def _percentiles(draws_R: Array, *, clusters: int) -> tuple[float, float]:
    if clusters < 2:
        return math.nan, math.nan
    level = float(ndtr(stdtrit(clusters - 1, TAIL) * math.sqrt(clusters / (clusters - 1))))
    low, high = np.nanquantile(draws_R, [level, 1 - level])
    return float(low), float(high)
