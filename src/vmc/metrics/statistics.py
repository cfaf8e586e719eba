"""Intervals that say what they speak of, one trained model or the method, and whether two arms differ.

Axes: R resamples, N subjects, Q runs, V metrics.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit

from vmc.metrics.columns import Column, Measure, measures_of, united
from vmc.metrics.declared import COLUMNS, MEASURES
from vmc.metrics.scores import names_of, values_of_run
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

RESAMPLES = 10_000
TAIL = 0.025  # of a 95 % interval, on each side
ONE_MODEL = "this model only"

Array = NDArray[np.float64]
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


@dataclass(frozen=True, kw_only=True)
class Run:
    """The values of one trained model: one motion, one training seed; and what its measures are."""

    motion: str
    seed: int
    values: pd.DataFrame
    measures: Sequence[Measure] = MEASURES


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Metrics, their bootstrap distribution, and how many subjects have a value."""

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
    return intervals_of_runs([Run(motion="", seed=0, values=values, measures=measures)], resamples=resamples)


def intervals_of_runs(runs: Sequence[Run], *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Every metric that all runs have: the mean over motions of the mean over a motion's training seeds.

    Hierarchical bootstrap over motions, training seeds and subjects (`resample`). With three or five motions its
    percentiles are far too narrow (four values never resample beyond their range), so the interval is the value plus
    and minus Student's t times the bootstrap's deviation, with one degree of freedom less than there are motions
    (training seeds, if there is one motion). One run alone speaks of itself only (`intervals_of_values`).
    """
    if not runs:
        raise VmcError("there are no runs to take an interval of; give at least one")
    held = [set(names_of(run.values)) for run in runs]
    metrics = [metric for metric in names_of(runs[0].values) if all(metric in names for names in held)]
    shares = shares_of(united(*(run.measures for run in runs)))
    drawn = resample(runs, metrics=metrics, resamples=resamples)
    found = {}
    for place, metric in enumerate(metrics):
        value, draws_R, subjects = float(drawn.value_V[place]), drawn.draws_RV[:, place], int(drawn.subjects_V[place])
        label = speaks_of(runs)
        if len(runs) == 1:
            low, high = _percentiles(draws_R, clusters=subjects)
        else:
            _, reach = _student(draws_R, clusters=clusters(runs))
            low, high = value - reach, value + reach
            if metric in shares and value in (0.0, 1.0):  # the runs cannot tell how much runs differ
                label = "these runs only: other subjects (every video alike)"
        if metric in shares:  # within 0..1 and never tighter at either end than without a single hit or miss
            bound = no_hit_bound(subjects)
            # A single subject has no bootstrap: np.fmin and fmax pass over its NaN.
            low = float(np.clip(np.fmin(low, 1 - bound), 0.0, value))
            high = float(np.clip(np.fmax(high, bound), value, 1.0))
        found[metric] = Interval(value, low, high, label)
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
    value_V, draws_RV = np.zeros(len(metrics)), np.zeros((resamples, len(metrics)))
    present_NV = np.zeros((count, len(metrics)), dtype=bool)
    for run, share, share_R in zip(runs, shares_Q, shares_RQ.T, strict=True):
        # Sum and number of each subject's values in the run.
        rows = np.searchsorted(np.array(subjects, dtype=object), run.values["subject"].to_numpy(dtype=object))
        numbers = run.values[list(metrics)].to_numpy(dtype=np.float64)
        sums_NV, counts_NV = np.zeros((2, count, len(metrics)))
        np.add.at(sums_NV, rows, np.nan_to_num(numbers))
        np.add.at(counts_NV, rows, ~np.isnan(numbers))
        present_NV |= counts_NV > 0
        with np.errstate(invalid="ignore"):  # a resample may hold no video with a value: 0 / 0
            value_V += share * sums_NV.sum(0) / counts_NV.sum(0)
            means_RV = (weights_RN @ sums_NV) / (weights_RN @ counts_NV)
        draws_RV += np.where(share_R[:, None] > 0, share_R[:, None] * means_RV, 0.0)
    return Resampled(value_V=value_V, draws_RV=draws_RV, subjects_V=present_NV.sum(0))


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


def paired_difference(runs: Sequence[Run], others: Sequence[Run], *, metric: str, draws: int = RESAMPLES) -> Difference:
    """The metric of `runs` less that of `others`, which are of the same motions, training seeds and videos.

    Hierarchical bootstrap over motions, training seeds and subjects, both arms by the same draws: that pairs them. The
    p-value compares the difference with its bootstrap error by Student's t, of one degree of freedom less than there
    are motions (training seeds, if there is one motion). Counting the resamples beyond zero would not do: of four
    motions all four lie on the same side once in eight times by chance, and then no resample is beyond zero.

    Raises:
        VmcError: fewer than two runs, or runs that are not of the same motions and training seeds.
    """
    first, second = ([(run.motion, run.seed) for run in arm] for arm in (runs, others))
    if len(set(first)) < 2 or sorted(first) != sorted(second):
        raise VmcError(
            f"the arms have runs of {first} and of {second}; one run per arm cannot tell: train at least two seeds or"
            " motions of each, and give the same ones of both"
        )
    here, there = (resample(arm, metrics=[metric], resamples=draws) for arm in (runs, others))
    value, count = float(here.value_V[0] - there.value_V[0]), clusters(runs)
    error, reach = _student(here.draws_RV[:, 0] - there.draws_RV[:, 0], clusters=count)
    # No motion or seed differs from another by a hair: what is left is that all have the same sign.
    alike = 1.0 if value == 0 else 0.5 ** (count - 1)
    p = float(2 * stdtr(count - 1, -abs(value) / error)) if error > 0 else alike
    if metric not in shares_of(runs[0].measures):
        return Difference(value, value - reach, value + reach, p, p, speaks_of(runs))
    if error == 0:
        reach = no_hit_bound(int(here.subjects_V[0]))
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0), p, p, speaks_of(runs))


def holm(p_values: Mapping[Place, float]) -> dict[Place, float]:
    """p-values corrected for their number (Holm, 1979): the smallest of n times n, the next times n - 1, and so on.

    None is smaller than the one before it, none larger than 1.
    """
    corrected, largest = dict(p_values), 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = corrected[name] = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
    return corrected


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


def shares_of(measures: Sequence[Measure]) -> frozenset[str]:
    """Names of the measures that count videos; they lie between 0 and 1."""
    return frozenset(measure.name for measure in measures if measure.percent)


def _student(draws_R: Array, *, clusters: int) -> tuple[float, float]:
    """The bootstrap's standard error, freed of its bias of (n - 1) / n in the variance for n clusters, and half the
    width of Student's 95 % interval.
    """
    error = float(np.nanstd(draws_R)) * math.sqrt(clusters / (clusters - 1))
    return error, float(stdtrit(clusters - 1, 1 - TAIL)) * error


def _percentiles(draws_R: Array, *, clusters: int) -> tuple[float, float]:
    if clusters < 2:
        return math.nan, math.nan
    level = float(ndtr(stdtrit(clusters - 1, TAIL) * math.sqrt(clusters / (clusters - 1))))
    low, high = np.nanquantile(draws_R, [level, 1 - level])
    return float(low), float(high)
