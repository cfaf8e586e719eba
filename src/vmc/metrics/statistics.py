"""Statistics of metrics: bootstrap over the subjects of a test set, confidence intervals, and tests of differences.

Intervals are of one trained model, or of means over motions and seeds.
Axes: R resamples, N subjects, Q runs, C motions (or runs of the only motion), V metrics.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from vmc.metrics.columns import Column, Measure, measures_of, united
from vmc.metrics.scores import COLUMNS, MEASURES, names_of, values_of_run
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

LEVEL = 0.05  # corrected p-value below which a difference is marked
RESAMPLES = 10_000
TAIL = 0.025  # of a 95 % interval, on each side
ALIKE = 1e-9  # smaller differences are due to rounding
ONE_MODEL = "this model only"

Array = NDArray[np.float64]
Place = TypeVar("Place")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The values of one trained model: one motion, one training seed."""

    motion: str
    seed: int
    values: pd.DataFrame
    measures: Sequence[Measure] = MEASURES


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Metrics of runs, as measured and with the subjects resampled. Two arms have their runs in the same order."""

    places: Sequence[tuple[str, int]]  # motion and training seed of each run
    metrics: Sequence[str]
    draws_QRV: Array  # resample 0 is the runs as measured
    subjects_V: NDArray[np.int64]  # subjects that have a value
    shares: frozenset[str]  # metrics that lie between 0 and 1
    difference: bool = False  # whether these are differences of two arms

    @cached_property
    def clusters_CRV(self) -> Array:
        """The means over training seeds of each motion, or the runs themselves where there is one motion only."""
        motions = sorted({motion for motion, _ in self.places})
        if len(motions) < 2:
            return self.draws_QRV
        of = np.array([motions.index(motion) for motion, _ in self.places])
        return np.stack([self.draws_QRV[of == place].mean(0) for place in range(len(motions))])

    @property
    def value_V(self) -> Array:
        """Means over motions of the means over training seeds."""
        return self.clusters_CRV[:, 0].mean(0)

    @property
    def draws_RV(self) -> Array:
        """`value_V` in each resample of the subjects."""
        return self.clusters_CRV[:, 1:].mean(0)

    def variances(self) -> tuple[Array, Array, Array]:
        """between_V and shared_V, which add up to the variance of the values, and own_V.

        Motions and subjects are crossed: every motion is tested on the same people. The first part is the variance
        between motions, which includes whatever differs between them (training seeds, videos, where appearance crosses
        a score); the second is what motions share as the subjects are resampled (Cameron, Gelbach and Miller, 2011,
        "Robust inference with multiway clustering"). One bootstrap of motions, seeds and subjects together would count
        the noise of the videos up to three times (Owen, 2007, "The pigeonhole bootstrap"). The third part is each
        motion's own as the subjects are resampled, which the first includes. A single run has the second alone.
        """
        drawn_CRV, count = self._finite_CRV, len(self.clusters_CRV)
        total_V = drawn_CRV.mean(0).var(0)
        if count == 1:
            return np.zeros_like(total_V), total_V, np.zeros_like(total_V)
        own_V = drawn_CRV.var(1).sum(0) / count**2
        return self.clusters_CRV[:, 0].var(0) / (count - 1), np.maximum(total_V - own_V, 0.0), own_V

    @property
    def _finite_CRV(self) -> Array:
        """The resamples in which every metric of every run has a value."""
        drawn_CRV = self.clusters_CRV[:, 1:]
        return drawn_CRV[:, np.isfinite(drawn_CRV).all((0, 2))]

    @property
    def _finite_RV(self) -> NDArray[np.bool_]:
        """Whether a metric of every run has a value."""
        return np.asarray(np.isfinite(self.clusters_CRV[:, 1:]).all(0))

    def _only(self, places: Sequence[int]) -> "Resampled":
        if len(places) == len(self.metrics):
            return self
        metrics, subjects_V = [self.metrics[place] for place in places], self.subjects_V[list(places)]
        return replace(self, metrics=metrics, draws_QRV=self.draws_QRV[..., list(places)], subjects_V=subjects_V)

    def _parts(self) -> Iterator[tuple[list[int], "Resampled"]]:
        """Places of metrics that have values in the same resamples, and these metrics alone.

        So what one metric lacks changes nothing of the others. A metric that every resample lacks is in none.
        """
        finite_RV, alike = self._finite_RV, dict[bytes, list[int]]()
        for place in np.flatnonzero(finite_RV.any(0)).tolist():
            alike.setdefault(finite_RV[:, place].tobytes(), []).append(place)
        for places in alike.values():
            yield places, self._only(places)

    def plausible(self) -> tuple[Array, Array, int]:
        """The distribution of the truth: common_RV plus error_V times Student's t, and its degrees of freedom.

        The error from subjects has the shape of the bootstrap, as in a percentile interval, because where appearance
        crosses a score is far from symmetric; it is widened for few subjects such that with normal data it is Student's
        t (Hesterberg, 2015, "What teachers should know about the bootstrap"). The error between the few motions is
        Student's t itself, unless that is smaller than the error from subjects alone: a handful of motions may agree by
        chance.
        """
        between_V, shared_V, own_V = self.variances()
        drawn_RV, freedom = self._finite_CRV.mean(0), max(len(self.clusters_CRV) - 1, 1)
        spread_V, subjects_V = drawn_RV.var(0), np.maximum(self.subjects_V, 2)
        chance_V = stdtrit(freedom, TAIL) ** 2 * between_V < ndtri(TAIL) ** 2 * own_V
        share_V = np.divide(shared_V, spread_V, out=np.zeros_like(spread_V), where=spread_V > 0)
        narrow_V = np.where(chance_V, 1.0, np.sqrt(share_V))
        widen_V = stdtrit(subjects_V - 1, TAIL) / ndtri(TAIL) * np.sqrt(subjects_V / (subjects_V - 1))
        common_RV = self.value_V + (drawn_RV - self.value_V) * narrow_V * widen_V
        # In differences, the noise of a curve that bends at the crossing does not average out over runs.
        bias_V = self._finite_CRV.mean((0, 1)) - self.value_V if self.difference else 0.0
        return common_RV - bias_V, np.where(chance_V, 0.0, np.sqrt(between_V)), freedom

    def ends(self) -> tuple[Array, Array]:
        """low_V and high_V of the 95 % intervals; NaN of a metric without a value in any resample."""
        low_V, high_V = np.full((2, len(self.metrics)), math.nan)
        for places, part in self._parts() if self.subjects_V.max(initial=0) > 1 else ():
            common_RV, error_V, freedom = part.plausible()
            count = len(common_RV)
            places_R = np.random.default_rng(derive_seed(count, "bootstrap", "motions")).permutation(count)
            noise_R = stdtrit(freedom, (places_R + 0.5) / count)
            ends = np.quantile(common_RV + noise_R[:, None] * error_V, [TAIL, 1 - TAIL], axis=0)
            low_V[places], high_V[places] = ends
        return low_V, high_V

    def band(self) -> tuple[Array, Array]:
        """low_V and high_V that contain all values at once in 95 % of cases, such as those along a curve; else NaN.

        The largest deviation relative to its error decides (sup-t bands; Montiel Olea and Plagborg-Moller, 2019,
        "Simultaneous confidence bands"), over resamples of the subjects, with Student's t for motions.
        """
        ends_2V, known = np.full((2, len(self.metrics)), math.nan), np.flatnonzero(self._finite_RV.any(0)).tolist()
        if known and len(known) < len(self.metrics):
            ends_2V[:, known] = self._only(known).band()
        drawn_RV, count = self._finite_CRV.mean(0), len(self.clusters_CRV)
        if not drawn_RV.size:
            return ends_2V[0], ends_2V[1]
        between_V, shared_V, own_V = self.variances()
        spread_V = drawn_RV.var(0)
        share_V = np.divide(shared_V, spread_V, out=np.zeros_like(spread_V), where=spread_V > 0)
        apart_RV = (drawn_RV - drawn_RV.mean(0)) * np.sqrt(share_V)
        rng = np.random.default_rng(derive_seed(len(drawn_RV), "bootstrap", "band"))
        if count > 1:
            scale_R = np.sqrt((count - 1) / rng.chisquare(count - 1, len(drawn_RV)))
            apart_CV = self.clusters_CRV[:, 0] - self.value_V
            noise_RV = rng.standard_normal((len(drawn_RV), count)) @ apart_CV / math.sqrt(count * (count - 1))
            apart_RV = apart_RV + scale_R[:, None] * noise_RV
        error_V = np.sqrt(np.maximum(between_V, own_V) + shared_V)
        largest_R = np.max(np.abs(apart_RV) / np.where(error_V > 0, error_V, np.inf), axis=1)
        reach_V = np.quantile(largest_R, 1 - 2 * TAIL) * error_V
        return self.value_V - reach_V, self.value_V + reach_V

    def p_values(self) -> Array:
        """p_V, two-sided, of differences: twice the share of the distribution of the truth that lies beyond zero.

        NaN of a metric without a value in any resample.
        """
        p_V = np.full(len(self.metrics), math.nan)
        for places, part in self._parts():
            common_RV, error_V, freedom = part.plausible()
            below_V = stdtr(freedom, -common_RV / np.maximum(error_V, np.finfo(float).tiny)).mean(0)
            p_V[places] = np.clip(2 * np.minimum(below_V, 1 - below_V), 1 / len(common_RV), 1.0)
        return p_V


def resample(
    runs: Sequence[Run], *, metrics: Sequence[str], resamples: int, subjects: Sequence[str] | None = None
) -> Resampled:
    """Resample the subjects, all videos of a subject together and the same subjects in every run.

    All runs are tested on the same people, some of whom are easy for every model: resampled within each run, their part
    of the error would seem to shrink with the number of runs. `subjects` are all that are drawn, in order; None takes
    those of the runs.
    """
    runs = sorted(runs, key=lambda run: (run.motion, run.seed))
    subjects = subjects or sorted({subject for run in runs for subject in run.values["subject"]})
    weights_RN, draws = subject_weights(len(subjects), resamples), list[Array]()
    present_NV = np.zeros((len(subjects), len(metrics)), dtype=bool)
    for run in runs:
        rows = np.searchsorted(np.array(subjects, dtype=object), run.values["subject"].to_numpy(dtype=object))
        numbers = run.values[list(metrics)].to_numpy(dtype=np.float64)
        sums_NV, counts_NV = (
            subject_sums(part, rows, len(subjects)) for part in (np.nan_to_num(numbers), ~np.isnan(numbers))
        )
        present_NV |= counts_NV > 0
        with np.errstate(invalid="ignore"):  # a resample may hold no video with a value: 0 / 0
            draws.append((weights_RN @ sums_NV) / (weights_RN @ counts_NV))
    return Resampled(
        places=[(run.motion, run.seed) for run in runs],
        metrics=metrics,
        draws_QRV=np.stack(draws),
        subjects_V=present_NV.sum(0),
        shares=shares_of(united(*(run.measures for run in runs))),
    )


def subject_weights(count: int, resamples: int) -> Array:
    """weights_RN: how often each subject counts, once in row 0 and then as often as it is drawn.

    The draws depend on the number of subjects alone, which pairs two arms with the same subjects.
    """
    rng = np.random.default_rng(derive_seed(count, "bootstrap", "subjects"))
    drawn_RN = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn_RN])


def subject_sums(values: NDArray[Any], rows: NDArray[np.int64], count: int) -> Array:
    """Sums over the videos of each subject; `rows` is the subject of each video."""
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, rows, values)
    return sums


def shares_of(measures: Sequence[Measure]) -> frozenset[str]:
    """Names of the measures that are shares of videos."""
    return frozenset(measure.name for measure in measures if measure.percent)


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % interval."""

    value: float
    low: float  # NaN, as `high`, where there are too few subjects for an interval
    high: float
    speaks_of: str  # what the interval generalizes to, as a clause

    def to_json(self) -> dict[str, float | None]:
        """The value and the ends of the interval, as `summary.json` holds them."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(number) else number for name, number in ends.items()}


@dataclass(frozen=True)
class Difference:
    """An arm's metric minus the reference's, with its 95 % interval, not corrected for the number of comparisons."""

    value: float
    low: float
    high: float
    p: float  # two-sided; below 0.05 where the interval excludes zero
    p_corrected: float  # p after Holm's correction over the family
    speaks_of: str  # what the interval generalizes to, as a clause


def intervals_of_run(scores: pd.DataFrame, *, columns: Sequence[Column] = COLUMNS) -> dict[str, Interval]:
    """Intervals of all metrics of one run's scores, as `read_scores` gives them."""
    return intervals_of_values(values_of_run(scores, columns=columns), measures=measures_of(columns))


def intervals_of_values(values: pd.DataFrame, *, measures: Sequence[Measure] = MEASURES) -> dict[str, Interval]:
    """Intervals of all metrics of one run's values, as `values_of_run` gives them."""
    return intervals_of_runs([Run(motion="", seed=0, values=values, measures=measures)])


def intervals_of_runs(runs: Sequence[Run], *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Intervals of all metrics that the runs have in common: means over motions of the means over training seeds."""
    if not runs:
        raise VmcError("there are no runs to take an interval of; give at least one")
    held = [set(names_of(run.values)) for run in runs]
    metrics = [metric for metric in names_of(runs[0].values) if all(metric in names for names in held)]
    return intervals_of(resample(runs, metrics=metrics, resamples=resamples))


def intervals_of(drawn: Resampled) -> dict[str, Interval]:
    """95 % intervals of all metrics.

    The interval of several runs is that of `Resampled.ends`: three or five motions never resample beyond their range,
    so percentiles would be far too narrow. The interval of a single run is about this model only: percentiles over
    resamples of the subjects, all videos of a subject together, widened for few subjects such that with normal data
    they are Student's t intervals (Hesterberg, 2015, "What teachers should know about the bootstrap"). The interval of
    a share is no narrower than that of a run without a single hit (`no_hit_bound`).
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
        if metric in drawn.shares:
            low, high = _share_ends(value, low, high, no_hit_bound(subjects))
        found[metric] = Interval(value, low, high, label)
    return found


def paired_differences(one: Resampled, other: Resampled) -> dict[str, Difference]:
    """The metrics of one arm minus those of another, which has the same motions, training seeds and videos.

    Both were resampled by the same draws, which pairs them. The p-value compares the difference with its error by
    Student's t (`Resampled.p_values`). Counting the resamples beyond zero is not enough: four motions all lie on the
    same side once in eight times by chance, and then no resample is beyond zero.

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
            # All motions and seeds differ by the same: what remains is a sign test.
            p = 1.0 if abs(value) < ALIKE else 0.5 ** (len(apart.clusters_CRV) - 1)
            reach = no_hit_bound(int(apart.subjects_V[place])) if metric in one.shares else 0.0
            low, high = value - reach, value + reach
        if metric in one.shares:
            low, high = max(low, -1.0), min(high, 1.0)
        found[metric] = Difference(value, low, high, p, p, speaks_of(one.places))
    return found


def holm(p_values: Mapping[Place, float]) -> dict[Place, float]:
    """Correct p-values for their number (Holm, 1979): the smallest of n times n, the next times n - 1, and so on.

    None becomes smaller than the one before it, or larger than 1.
    """
    corrected, largest = dict(p_values), 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = corrected[name] = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
    return corrected


def speaks_of(places: Sequence[tuple[str, int]]) -> str:
    """What an interval over runs of these motions and training seeds generalizes to."""
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

    The variance is that between raters plus that between subjects minus that between answers, which both contain
    (Cameron, Gelbach and Miller, 2011, "Robust inference with multiway clustering"), and no smaller than either.
    Student's t has one degree of freedom less than the smallest number of clusters. A way with a single cluster is
    ignored. A bootstrap that draws in both ways at once (Owen, 2007) would count the answers' own noise three times,
    which is most of the noise in a choice of two.

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
    return _share_ends(value, value - reach, value + reach, bound)


def no_hit_bound(subjects: int) -> float:
    """The largest share that agrees with no hit among so many subjects (Clopper and Pearson, 95 %, two-sided).

    The plain bootstrap of 0 hits gives [0, 0]. The videos of a subject may depend on each other, so subjects are
    counted: 0 of 100 subjects x 3 seeds gives 0.036.
    """
    return float(1 - TAIL ** (1 / subjects))


def _share_ends(value: float, low: float, high: float, bound: float) -> tuple[float, float]:
    """Keep a share's interval within 0..1, and at either end as wide as without a single hit or miss."""
    # A single subject has no bootstrap: np.fmin and fmax ignore its NaN.
    low, high = np.fmin(low, 1 - bound), np.fmax(high, bound)
    return float(np.clip(low, 0.0, value)), float(np.clip(high, value, 1.0))


def _percentiles(draws_R: Array, *, clusters: int) -> tuple[float, float]:
    if clusters < 2 or np.isnan(draws_R).all():
        return math.nan, math.nan
    level = float(ndtr(stdtrit(clusters - 1, TAIL) * math.sqrt(clusters / (clusters - 1))))
    low, high = np.nanquantile(draws_R, [level, 1 - level])
    return float(low), float(high)
