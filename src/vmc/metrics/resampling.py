"""Metrics with the subjects drawn anew, and what the truth may be in their light.

Axes: R resamples, N subjects, Q runs, C motions (or runs of the only motion), V metrics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import MEASURES
from vmc.utils.randomness import derive_seed

RESAMPLES = 10_000
TAIL = 0.025  # of a 95 % interval, on each side

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The values of one trained model: one motion, one training seed; and what its measures are."""

    motion: str
    seed: int
    values: pd.DataFrame
    measures: Sequence[Measure] = MEASURES


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Metrics of runs, as they are and with the subjects drawn anew; the runs of two arms are in the same order."""

    places: Sequence[tuple[str, int]]  # motion and training seed of each run
    metrics: Sequence[str]
    draws_QRV: Array  # row 0 of the resamples is the runs as they are
    subjects_V: NDArray[np.int64]  # subjects that have a value
    shares: frozenset[str]  # metrics that lie between 0 and 1
    difference: bool = False  # whether these are differences of two arms

    @cached_property
    def clusters_CRV(self) -> Array:
        """Of each motion the mean over its training seeds; of a single motion the runs themselves."""
        motions = sorted({motion for motion, _ in self.places})
        if len(motions) < 2:
            return self.draws_QRV
        of = np.array([motions.index(motion) for motion, _ in self.places])
        return np.stack([self.draws_QRV[of == place].mean(0) for place in range(len(motions))])

    @property
    def value_V(self) -> Array:
        """The mean over motions of the mean over a motion's training seeds."""
        return self.clusters_CRV[:, 0].mean(0)

    @property
    def draws_RV(self) -> Array:
        """The same in every resample of the subjects."""
        return self.clusters_CRV[:, 1:].mean(0)

    def covariances(self) -> tuple[Array, Array, Array]:
        """between_VV and shared_VV, which add up to the covariance of the values, and own_VV.

        Motions and subjects are crossed: every motion is drawn with the same people. The first is that between the
        motions, which holds whatever is drawn anew for each of them (its training seeds, its videos, where its
        appearance crosses a score); the second what the motions have in common as the subjects are drawn anew (Cameron,
        Gelbach and Miller, 2011, "Robust inference with multiway clustering"). Motions, seeds and subjects all drawn
        in one bootstrap would count the noise of the videos up to three times (Owen, 2007, "The pigeonhole bootstrap").
        The third is what each motion has for itself as the subjects are drawn anew, which the first holds too. A single
        run has the second alone.
        """
        drawn_CRV, count = self._finite_CRV, len(self.clusters_CRV)
        total_VV = _covariance(drawn_CRV.mean(0))
        if count == 1:
            return np.zeros_like(total_VV), total_VV, np.zeros_like(total_VV)
        between_VV = _covariance(self.clusters_CRV[:, 0]) / (count - 1)
        own_VV = np.sum([_covariance(each_RV) for each_RV in drawn_CRV], axis=0) / count**2
        shared_VV = total_VV - own_VV
        return between_VV, shared_VV * np.sqrt(np.outer(*[np.diag(shared_VV) > 0] * 2)), own_VV  # none below zero

    @property
    def _finite_CRV(self) -> Array:
        drawn_CRV = self.clusters_CRV[:, 1:]
        return drawn_CRV[:, np.isfinite(drawn_CRV).all((0, 2))]

    def plausible(self) -> tuple[Array, Array, int]:
        """What the truth may be: common_RV, to each of which comes error_V times Student's t of so many degrees.

        The bootstrap's own shape stands for the subjects, as a percentile interval has it, since where appearance
        crosses a score is anything but symmetric; it is widened for few subjects as Hesterberg (2015, "What teachers
        should know about the bootstrap") has it, such that with normal data it is Student's t. Between motions, of
        which there are few, it is Student's t itself, unless that is tighter than what subjects alone tell: a handful
        of motions may agree by chance.
        """
        parts = self.covariances()
        between_V, shared_V, own_V = (np.maximum(np.diag(part), 0.0) for part in parts)
        drawn_RV, freedom = self._finite_CRV.mean(0), max(len(self.clusters_CRV) - 1, 1)
        spread_V, subjects_V = drawn_RV.var(0), np.maximum(self.subjects_V, 2)
        chance_V = stdtrit(freedom, TAIL) ** 2 * between_V < ndtri(TAIL) ** 2 * own_V
        share_V = np.divide(shared_V, spread_V, out=np.zeros_like(spread_V), where=spread_V > 0)
        narrow_V = np.where(chance_V, 1.0, np.sqrt(share_V))
        widen_V = stdtrit(subjects_V - 1, TAIL) / ndtri(TAIL) * np.sqrt(subjects_V / (subjects_V - 1))
        common_RV = self.value_V + (drawn_RV - self.value_V) * narrow_V * widen_V
        return common_RV - self.bias_V, np.where(chance_V, 0.0, np.sqrt(between_V)), freedom

    @property
    def bias_V(self) -> Array:
        """Of differences: how far the bootstrap says that the values lie beside the truth.

        The noise of a curve that bends at the crossing does not average out over runs. Values that are no differences
        have none: there the subjects' shape says it.
        """
        return self._finite_CRV.mean((0, 1)) - self.value_V if self.difference else np.zeros(len(self.metrics))

    def ends(self) -> tuple[Array, Array]:
        """low_V and high_V of the 95 % intervals."""
        common_RV, error_V, freedom = self.plausible()
        count = len(common_RV)
        if not count or self.subjects_V.max(initial=0) < 2:
            return (np.full(len(self.metrics), math.nan),) * 2
        places_R = np.random.default_rng(derive_seed(count, "bootstrap", "motions")).permutation(count)
        noise_R = stdtrit(freedom, (places_R + 0.5) / count)
        low_V, high_V = np.quantile(common_RV + noise_R[:, None] * error_V, [TAIL, 1 - TAIL], axis=0)
        return low_V, high_V

    def band(self) -> tuple[Array, Array]:
        """low_V and high_V that hold all values at once in 95 % of cases, such as those along a curve.

        The largest of all deviations in their errors decides (sup-t bands; Montiel Olea and Plagborg-Moller, 2019,
        "Simultaneous confidence bands"), over the subjects drawn anew, and motions by Student's t.
        """
        drawn_RV, count = self._finite_CRV.mean(0), len(self.clusters_CRV)
        between_VV, shared_VV, own_VV = self.covariances()
        least_VV = np.maximum(np.diag(between_VV), np.diag(own_VV)) - np.diag(between_VV)  # as `plausible` has it
        spread_V = drawn_RV.var(0)
        share_V = np.divide(np.diag(shared_VV), spread_V, out=np.zeros_like(spread_V), where=spread_V > 0)
        apart_RV = (drawn_RV - drawn_RV.mean(0)) * np.sqrt(share_V)
        rng = np.random.default_rng(derive_seed(len(drawn_RV), "bootstrap", "band"))
        if count > 1:
            scale_R = np.sqrt((count - 1) / rng.chisquare(count - 1, len(drawn_RV)))
            apart_CV = self.clusters_CRV[:, 0] - self.value_V
            noise_RV = rng.standard_normal((len(drawn_RV), count)) @ apart_CV / math.sqrt(count * (count - 1))
            apart_RV = apart_RV + scale_R[:, None] * noise_RV
        error_V = np.sqrt(np.diag(between_VV + shared_VV) + least_VV)
        largest_R = np.max(np.abs(apart_RV) / np.where(error_V > 0, error_V, np.inf), axis=1)
        reach_V = np.quantile(largest_R, 1 - 2 * TAIL) * error_V
        return self.value_V - reach_V, self.value_V + reach_V

    def p_values(self) -> Array:
        """p_V, two-sided, of differences: twice the share of what the truth may be beyond zero."""
        common_RV, error_V, freedom = self.plausible()
        below_V = stdtr(freedom, -common_RV / np.maximum(error_V, np.finfo(float).tiny)).mean(0)
        return np.clip(2 * np.minimum(below_V, 1 - below_V), 1 / len(common_RV), 1.0)


def _covariance(values_RV: Array) -> Array:
    apart_RV = values_RV - values_RV.mean(0)
    return apart_RV.T @ apart_RV / max(len(apart_RV), 1)


def resample(runs: Sequence[Run], *, metrics: Sequence[str], resamples: int) -> Resampled:
    """Draw the subjects anew, all videos of a subject together and the same subjects in every run.

    They are the same people in every run, some of them easy to draw for every model; drawn anew within every run, their
    part of the error would seem to shrink with the number of runs.
    """
    runs = sorted(runs, key=lambda run: (run.motion, run.seed))
    subjects = sorted({subject for run in runs for subject in run.values["subject"]})
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

    The draws depend on the number of subjects alone: that two arms of the same subjects are drawn alike pairs them.
    """
    rng = np.random.default_rng(derive_seed(count, "bootstrap", "subjects"))
    drawn_RN = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn_RN])


def subject_sums(values: NDArray[Any], rows: NDArray[np.int64], count: int) -> Array:
    """Sums over each subject's videos; `rows` says whose each video is."""
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, rows, values)
    return sums


def shares_of(measures: Sequence[Measure]) -> frozenset[str]:
    """Names of the measures that count videos; they lie between 0 and 1."""
    return frozenset(measure.name for measure in measures if measure.percent)
