"""Metrics at equal appearance: runs are compared where training has lowered their appearance scores to the same value.

A run's appearance score against its step is fitted by falling isotonic regression over all of its evaluations. A flat
stretch of the fit becomes one point in its middle (centered isotonic regression; Oron and Flournoy, 2017), so that
every score within range has one step. Other metrics are interpolated at that step, between the two evaluations around
it; they may rise and fall. All of this is done again in every resample of the subjects.

Axes: R resamples, K evaluations, I intervals between them, U videos, N subjects, V metrics, G appearance scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vmc.metrics.columns import Measure
from vmc.metrics.scores import KEYS, MEASURES, names_of
from vmc.metrics.statistics import Array, subject_sums, subject_weights
from vmc.utils.errors import VmcError

APPEARANCE = "appearance"


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The evaluations of one run that have an appearance score, in the order of their steps."""

    motion: str
    seed: int
    steps_K: NDArray[np.int64]
    videos: pd.DataFrame  # with columns KEYS: a row for each video that one of the evaluations has
    metrics: tuple[str, ...]
    values_KUV: Array  # NaN where an evaluation lacks a video, or a video a value
    measures: Sequence[Measure] = MEASURES

    @classmethod
    def of(
        cls,
        evaluations: Mapping[int, pd.DataFrame],
        *,
        name: str = "the run",
        motion: str = "",
        seed: int = 0,
        measures: Sequence[Measure] = MEASURES,
    ) -> "Trajectory":
        """Collect the evaluations of a run.

        Args:
            evaluations: by step the values of all videos, as `vmc.metrics.scores.values_of_run` gives them.
            name: what the run is called in an error.
            motion, seed: the run's motion and training seed.
            measures: declarations of its metrics.

        Raises:
            VmcError: no evaluation has an appearance score.
        """
        tables = {
            step: table.set_index(KEYS)
            for step, table in sorted(evaluations.items())
            if APPEARANCE in table and table[APPEARANCE].notna().any()
        }
        if not tables:
            raise VmcError(f"{name} has no evaluation with an appearance score; evaluate it before matching")
        metrics = list(dict.fromkeys(name for table in tables.values() for name in names_of(table)))
        index = pd.MultiIndex.from_tuples(sorted(set().union(*(table.index for table in tables.values()))), names=KEYS)
        values = [table.reindex(index=index, columns=metrics).to_numpy(np.float64) for table in tables.values()]
        return cls(
            motion=motion,
            seed=seed,
            steps_K=np.array(list(tables)),
            videos=index.to_frame(index=False),
            metrics=tuple(metrics),
            values_KUV=np.stack(values),
            measures=measures,
        )

    @property
    def place(self) -> tuple[str, int]:
        """Motion and training seed."""
        return self.motion, self.seed

    @property
    def keys(self) -> list[tuple[object, ...]]:
        """Subject, prompt and seed of each video."""
        return list(self.videos.itertuples(index=False, name=None))

    def only(self, keys: set[tuple[object, ...]]) -> "Trajectory":
        """Keep the videos of these keys alone."""
        kept_U = np.array([key in keys for key in self.keys], dtype=bool)
        values_KUV = self.values_KUV[:, kept_U]
        left_K = ~np.isnan(self.scores_KU[:, kept_U]).all(1)  # evaluations with such a video
        videos = self.videos[kept_U].reset_index(drop=True)
        return replace(self, steps_K=self.steps_K[left_K], videos=videos, values_KUV=values_KUV[left_K])

    @property
    def scores_KU(self) -> Array:
        """Appearance scores of the videos."""
        return self.values_KUV[:, :, self.metrics.index(APPEARANCE)]

    @cached_property
    def appearance_K(self) -> Array:
        """The appearance score of each evaluation."""
        return np.nanmean(self.scores_KU, axis=1)

    @cached_property
    def fit(self) -> "Fit":
        """The falling fit of its appearance scores, each weighted by its number of videos."""
        weights_K = (~np.isnan(self.scores_KU)).sum(1)
        return fit_falling(self.appearance_K[None], steps_K=self.steps_K, weights_K=weights_K)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Scores that fall from evaluation to evaluation, and the step of each: in a flat stretch the middle one."""

    scores_RK: Array
    centers_RK: Array

    @property
    def first_R(self) -> Array:
        """The first and highest score."""
        return self.scores_RK[:, 0]

    @property
    def last_R(self) -> Array:
        """The last and lowest score."""
        return self.scores_RK[:, -1]

    def steps_at(self, scores_RG: Array) -> Array:
        """steps_RG at which the fit has fallen to the scores; the nearest end for scores out of its range."""
        last = self.scores_RK.shape[1] - 1
        above_RG = (self.scores_RK[:, None, :] > scores_RG[:, :, None]).sum(-1)
        before_RG, after_RG = np.clip(above_RG - 1, 0, last), np.clip(above_RG, 0, last)
        from_RG, to_RG = (np.take_along_axis(self.scores_RK, place, axis=1) for place in (before_RG, after_RG))
        start_RG, end_RG = (np.take_along_axis(self.centers_RK, place, axis=1) for place in (before_RG, after_RG))
        with np.errstate(invalid="ignore", divide="ignore"):
            share_RG = np.where(before_RG == after_RG, 1.0, (from_RG - scores_RG) / (from_RG - to_RG))
        return start_RG + share_RG * (end_RG - start_RG)


def fit_falling(scores_RK: Array, *, steps_K: NDArray[Any], weights_K: NDArray[Any]) -> Fit:
    """Weighted isotonic regression of falling scores, many at once.

    `scipy.optimize.isotonic_regression` fits one row at a time, which is slow for thousands. For few evaluations the
    closed form is fast: the minimum over all beginnings of the maximum over all ends of the mean in between
    (Robertson, Wright and Dykstra, 1988, "Order Restricted Statistical Inference", section 1.4).
    """
    scores_KR, count = np.ascontiguousarray(scores_RK.T), scores_RK.shape[1]
    fitted_KR = np.full_like(scores_KR, np.inf)
    for begin in range(count):
        sum_R, means = np.zeros(len(scores_RK)), [scores_KR[begin]]  # no rounding where there is nothing to pool
        for end in range(begin, count):
            sum_R = sum_R + weights_K[end] * scores_KR[end]
            if end > begin:
                means.append(sum_R / weights_K[begin : end + 1].sum())
        largest_R = means[-1]
        for end in reversed(range(begin, count)):
            largest_R = np.maximum(largest_R, means[end - begin])
            fitted_KR[end] = np.minimum(fitted_KR[end], largest_R)
    alike_KKR = (fitted_KR[:, None] == fitted_KR[None]) * weights_K[:, None]
    with np.errstate(invalid="ignore"):  # a resample may hold no video with a score
        centers_KR = np.tensordot(steps_K, alike_KKR, axes=(0, 1)) / alike_KKR.sum(1)
    return Fit(scores_RK=fitted_KR.T, centers_RK=centers_KR.T)


def place_between(steps_RG: Array, steps_K: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """The interval between two evaluations in which each step lies, and how far along it, from 0 to 1."""
    inner = steps_K[1:-1]
    intervals_RG = (inner < steps_RG[..., None]).sum(-1)
    begin_RG, end_RG = steps_K[intervals_RG], steps_K[intervals_RG + 1]
    return intervals_RG, (steps_RG - begin_RG) / (end_RG - begin_RG)


@dataclass(frozen=True, kw_only=True)
class ResampledTrajectory:
    """A run's evaluations in every resample of the subjects; row 0 is the run as measured."""

    steps_K: NDArray[np.int64]
    fit: Fit
    ends_RI2V: Array  # metrics of the two evaluations around an interval, over videos with a value in both

    def read(self, scores_RG: Array) -> Array:
        """values_RGV where appearance has fallen to the scores; those at the nearest end for scores out of range."""
        intervals_RG, share_RG = place_between(self.fit.steps_at(scores_RG), self.steps_K)
        rows_R1 = np.arange(len(scores_RG))[:, None]
        before_RGV, after_RGV = (self.ends_RI2V[rows_R1, intervals_RG, end] for end in (0, 1))
        return before_RGV + share_RG[..., None] * (after_RGV - before_RGV)


def resample_trajectories(
    trajectories: Sequence[Trajectory], *, metrics: Sequence[str], subjects: Sequence[str], resamples: int
) -> list[ResampledTrajectory]:
    """Resample the subjects, the same for all runs, and fit each run's appearance in every resample.

    Every trajectory needs two evaluations or more. Draws depend on the number of subjects alone, so that arms which are
    compared have the same ones.
    """
    weights_RN = subject_weights(len(subjects), resamples)
    found = []
    for one in trajectories:
        rows_U = np.searchsorted(np.array(subjects, dtype=object), one.videos["subject"].to_numpy(dtype=object))
        values_KUV = one.values_KUV[:, :, [one.metrics.index(name) for name in metrics]]
        score_RK = _means(weights_RN, one.scores_KU, ~np.isnan(one.scores_KU), rows_U)
        both_IUV = ~np.isnan(values_KUV[:-1]) & ~np.isnan(values_KUV[1:])
        ends = [_means(weights_RN, values_KUV[part], both_IUV, rows_U) for part in (slice(None, -1), slice(1, None))]
        fit = fit_falling(score_RK, steps_K=one.steps_K, weights_K=(~np.isnan(one.scores_KU)).sum(1))
        found.append(ResampledTrajectory(steps_K=one.steps_K, fit=fit, ends_RI2V=np.stack(ends, axis=2)))
    return found


def _means(weights_RN: Array, values: Array, counted: NDArray[np.bool_], rows_U: NDArray[np.int64]) -> Array:
    """Means over videos in every resample. Values, and whether they count, are of shape (part, U) or (part, U, V)."""
    parts = [np.moveaxis(part, 1, 0).reshape(len(rows_U), -1) for part in (np.where(counted, values, 0.0), counted)]
    sums, counts = (subject_sums(part, rows_U, weights_RN.shape[1]) for part in parts)
    if (counts == counts[:, :1]).all():  # the same videos in all parts
        counts = counts[:, :1]
    with np.errstate(invalid="ignore"):  # a resample may hold no video with a value: 0 / 0
        means = (weights_RN @ sums) / (weights_RN @ counts)
    return means.reshape(len(weights_RN), values.shape[0], *values.shape[2:])


def lowest_common(one: Fit, other: Fit, *, threshold: float | None) -> Array:
    """scores_R at which two runs are compared: the threshold where both reach it, else the higher of their lowest."""
    lowest_R = np.maximum(one.last_R, other.last_R)
    return lowest_R if threshold is None else np.maximum(lowest_R, threshold)


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where a run's appearance, fitted over all of its evaluations, has fallen to the threshold."""

    reached: bool  # whether it has; if not, both steps are the last evaluation's
    before: int  # step of the evaluation before it
    after: int  # step of the next one
    weight: float  # share of `after` in what is interpolated, 0..1; `before` has the rest
    appearance: float  # score of the run there: the threshold, or that of the last evaluation

    @property
    def step(self) -> float:
        """The step of the crossing."""
        return self.before + self.weight * (self.after - self.before)


def find_crossing(trajectory: Trajectory, *, threshold: float | None, name: str = "the run") -> Crossing:
    """Find where the fit has fallen to the threshold; the last evaluation where it has not, or there is none.

    A VmcError where none lies above the threshold before those at or below it, or the threshold is not finite.
    """
    if threshold is not None and not math.isfinite(threshold):
        raise VmcError(f"stop.appearance is {threshold}; it must be a number to match arms at")
    steps_K, fit = trajectory.steps_K, trajectory.fit
    if threshold is None or fit.last_R[0] > threshold:
        last, appearance = int(steps_K[-1]), float(trajectory.appearance_K[-1])
        return Crossing(reached=False, before=last, after=last, weight=1.0, appearance=appearance)
    first, step = float(fit.first_R[0]), int(steps_K[0])
    if first <= threshold:
        raise VmcError(
            f"the base model of {name} starts at an appearance of {first:.4f}, not above stop.appearance ="
            f" {threshold:.4f}; lower stop.appearance, or use prompts and metrics that belong to this base model"
            if step == 0
            else f"{name} has no evaluation above stop.appearance = {threshold:.4f} before step {step} ({first:.4f});"
            " evaluate it at step 0 too"
        )
    interval_RG, weight_RG = place_between(fit.steps_at(np.full((1, 1), threshold)), steps_K)
    before, after = (int(steps_K[interval_RG[0, 0] + end]) for end in (0, 1))
    return Crossing(reached=True, before=before, after=after, weight=float(weight_RG[0, 0]), appearance=threshold)


def interpolate_values(values: Mapping[int, pd.DataFrame], crossing: Crossing) -> pd.DataFrame:
    """Interpolate every video's values at the crossing, in the form of `vmc.metrics.scores.values_of_run`.

    Each video is interpolated between the two evaluations, so that their mean is the interpolated mean and intervals
    see how videos differ. A video that has a value in one of the two alone (invalid in the other) has none here, and
    one that only one of them has is left out. A VmcError where an evaluation is missing, or they have no common video.
    """
    if missing := sorted({crossing.before, crossing.after} - values.keys()):
        raise VmcError(f"there are no scores of step {missing[0]}, beside the crossing; evaluate the run at that step")
    before, after = (values[step].set_index(KEYS) for step in (crossing.before, crossing.after))
    old, new = before.align(after, join="inner")
    if old.empty:
        raise VmcError(
            f"the evaluations of steps {crossing.before} and {crossing.after} have {len(before)} and {len(after)}"
            " videos, 0 in common; evaluate both on the same prompts and seeds"
        )
    table = new if crossing.before == crossing.after else old + crossing.weight * (new - old)
    return table.dropna(axis="columns", how="all").reset_index().sort_values(KEYS, ignore_index=True)
