"""Arms against each other at equal appearance: differences of their metrics, with tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vmc.metrics.columns import united
from vmc.metrics.matching import Trajectory, lowest_common, resample_trajectories
from vmc.metrics.resampling import Array, Resampled, shares_of
from vmc.metrics.statistics import Difference, Interval, holm, intervals_of, paired_differences
from vmc.reporting.catalog import METHOD
from vmc.reporting.matched import RESAMPLES, Result, mean_over_motions

NO_RANGE, ONE_EVALUATION = "no common range of appearance", "a single evaluation"
OTHER_RUNS, OTHER_VIDEOS = "no common motion and seed", "no common videos"
"""Why two arms, or two of their runs, are not compared."""
POINTS = 20
"""Appearance scores at which curves are read for their mean over a range."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An arm against another at equal appearance, over the motions, training seeds and videos that both have.

    Runs are compared in pairs of one motion and seed, each at the threshold where both reach it, else at the higher of
    their two lowest appearance scores; what is said of the arms is the mean over motions of the mean over seeds.
    """

    arm: str
    reference: str
    status: str = ""  # why they are not compared
    left_out: Sequence[tuple[str, str]] = ()  # pairs of runs that are not, and why
    at: float = math.nan  # appearance, a mean as everything else
    at_threshold: int = 0  # pairs of runs that are compared at the threshold
    pairs: int = 0
    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of both arms there, by metric
    differences: Mapping[str, Difference] = field(default_factory=dict)
    means: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # over their common range, by metric
    mean_intervals: Mapping[str, Interval] = field(default_factory=dict)  # of the arm's
    mean_differences: Mapping[str, Difference] = field(default_factory=dict)
    range: tuple[float, float] = (math.nan, math.nan)  # of appearance
    motions: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)  # values by motion


def compare(one: Result, other: Result, *, metrics: Sequence[str], threshold: float | None) -> Comparison:
    """Compare an arm with another; where the crossing lies is found again in every resample of the subjects."""
    if not one.matched or not other.matched:
        return Comparison(arm=one.arm, reference=other.arm)
    pairs, left_out = _pair_runs(one, other)
    if not pairs:
        return Comparison(arm=one.arm, reference=other.arm, status=left_out[0][1], left_out=left_out)
    metrics = [name for name in metrics if all(name in run.metrics for pair in pairs for run in pair)]
    lows, highs, there, over = _read(pairs, metrics, threshold=threshold)
    motions = [run.motion for run, _ in pairs]
    low, high = (
        mean_over_motions([(motion, float(end_R[0])) for motion, end_R in zip(motions, ends, strict=True)])
        for ends in (lows, highs)
    )
    return Comparison(
        arm=one.arm,
        reference=other.arm,
        left_out=left_out,
        at=low,
        at_threshold=sum(bool(low_R[0] == threshold) for low_R in lows),
        pairs=len(pairs),
        values=_by_metric(metrics, *(arm.value_V for arm in there)),
        differences=_differences(*there),
        means=_by_metric(metrics, *(arm.value_V for arm in over)),
        mean_intervals=intervals_of(over[0]),
        mean_differences=_differences(*over),
        range=(low, high),
        motions={
            motion: _by_metric(metrics, *(arm.draws_QRV[[m == motion for m in motions], 0].mean(0) for arm in there))
            for motion in dict.fromkeys(motions)
        },
    )


def _read(
    pairs: Sequence[tuple[Trajectory, Trajectory]], metrics: Sequence[str], *, threshold: float | None
) -> tuple[list[Array], list[Array], list[Resampled], list[Resampled]]:
    """In every resample: both ends of each pair's range, both arms at the lower one, and their means over the range."""
    every = [run for pair in pairs for run in pair]
    subjects = sorted({subject for run in every for subject in run.videos["subject"]})
    arms = [
        resample_trajectories(arm, metrics=metrics, subjects=subjects, resamples=RESAMPLES)
        for arm in zip(*pairs, strict=True)
    ]
    lows = [lowest_common(a.fit, b.fit, threshold=threshold) for a, b in zip(*arms, strict=True)]
    highs = [np.minimum(a.fit.first_R, b.fit.first_R) for a, b in zip(*arms, strict=True)]
    share_G, ends = (np.arange(POINTS) + 0.5) / POINTS, zip(lows, highs, strict=True)
    grids = [low_R[:, None] + share_G * np.maximum(high_R - low_R, 0.0)[:, None] for low_R, high_R in ends]
    there, over = (
        [
            Resampled(
                places=[run.place for run, _ in pairs],
                metrics=metrics,
                draws_QRV=np.stack([run.read(each_RG).mean(1) for run, each_RG in zip(arm, scores, strict=True)]),
                subjects_V=np.full(len(metrics), len(subjects)),
                shares=shares_of(united(*(run.measures for run in every))),
            )
            for arm in arms
        ]
        for scores in ([low_R[:, None] for low_R in lows], grids)
    )
    return lows, highs, there, over


def _pair_runs(one: Result, other: Result) -> tuple[list[tuple[Trajectory, Trajectory]], list[tuple[str, str]]]:
    """Runs of one motion and seed with the videos that both have; and those that are not compared, with the reason."""
    others = {match.run.place: match.run for match in other.matched}
    pairs, left_out = list[tuple[Trajectory, Trajectory]](), list[tuple[str, str]]()
    for run in (match.run for match in one.matched):
        if run.place not in others:
            left_out.append((run.label, OTHER_RUNS))
            continue
        both = run.trajectory, others[run.place].trajectory
        common = set(both[0].keys) & set(both[1].keys)
        first, second = (each.only(common) for each in both)
        if not common:
            left_out.append((run.label, OTHER_VIDEOS))
        elif min(len(first.steps_K), len(second.steps_K)) < 2:
            left_out.append((run.label, ONE_EVALUATION))
        elif max(first.fit.last_R[0], second.fit.last_R[0]) > min(first.fit.first_R[0], second.fit.first_R[0]):
            left_out.append((run.label, NO_RANGE))
        else:
            pairs.append((first, second))
    return pairs, left_out


def _by_metric(metrics: Sequence[str], one_V: Array, other_V: Array) -> dict[str, tuple[float, float]]:
    """Both arms' values by metric."""
    return dict(zip(metrics, zip(one_V.tolist(), other_V.tolist(), strict=True), strict=True))


def _differences(one: Resampled, other: Resampled) -> dict[str, Difference]:
    """Tested where there are several runs; with a single one the difference alone."""
    if len(one.places) > 1:
        return paired_differences(one, other)
    nan, apart_V = math.nan, (one.value_V - other.value_V).tolist()
    return {name: Difference(apart, nan, nan, nan, nan, "") for name, apart in zip(one.metrics, apart_V, strict=True)}


def compare_arms(
    results: Mapping[str, Result], *, arms: Sequence[str], metrics: Sequence[str], threshold: float | None
) -> dict[str, Comparison]:
    """Each arm against the method; Holm's correction is over all that are tested, and so over all means."""
    if METHOD not in results:
        return {}
    compared = [arm for arm in dict.fromkeys(arms) if arm in results and arm != METHOD]
    found = [compare(results[arm], results[METHOD], metrics=metrics, threshold=threshold) for arm in compared]
    return {one.arm: one for one in correct(found)}


def correct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values corrected for their number (Holm), differences and those of means apart."""
    corrected = list(comparisons)
    for kind in ("differences", "mean_differences"):
        families: list[Mapping[str, Difference]] = [getattr(one, kind) for one in corrected]
        p_values = {(place, name): d.p for place, own in enumerate(families) for name, d in own.items()}
        found = holm({key: p for key, p in p_values.items() if not math.isnan(p)})
        for place, own in enumerate(families):
            new = {name: replace(d, p_corrected=found.get((place, name), math.nan)) for name, d in own.items()}
            corrected[place] = replace(corrected[place], **{kind: new})
    return corrected
