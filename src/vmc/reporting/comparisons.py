"""Arms compared in pairs at an appearance score that both have reached (equal appearance), and the tables of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vmc.metrics.columns import Measure, united
from vmc.metrics.equal_appearance import Trajectory, lowest_common, resample_trajectories
from vmc.metrics.statistics import (
    LEVEL,
    Array,
    Difference,
    Interval,
    Resampled,
    holm,
    intervals_of,
    paired_differences,
    shares_of,
)
from vmc.reporting.formatting import (
    DIFFERENCE,
    INTERVAL,
    NOTHING,
    fields_of,
    format_difference,
    format_interval,
    format_number,
    format_value,
    to_csv,
)
from vmc.reporting.results import RESAMPLES, Result, mean_over_motions
from vmc.reporting.table_arms import APPEARANCE, METHOD, arm_name
from vmc.utils.tables import TextTable

NO_RANGE, ONE_EVALUATION = "no common range of appearance", "a single evaluation"
OTHER_RUNS, OTHER_VIDEOS = "no common motion and seed", "no common videos"
POINTS = 20  # appearance scores at which curves are read for their mean over a range


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
    """Read in every resample the ends of each pair's range, both arms at the lower end, and their means over it."""
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
    """Pair runs of one motion and seed, on the videos that both have; list those without a pair, with the reason."""
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
    """Return both arms' values by metric."""
    return dict(zip(metrics, zip(one_V.tolist(), other_V.tolist(), strict=True), strict=True))


def _differences(one: Resampled, other: Resampled) -> dict[str, Difference]:
    """Compute the differences of two arms, tested where there are several runs."""
    if len(one.places) > 1:
        return paired_differences(one, other)
    nan, apart_V = math.nan, (one.value_V - other.value_V).tolist()
    return {name: Difference(apart, nan, nan, nan, nan, "") for name, apart in zip(one.metrics, apart_V, strict=True)}


def compare_arms(
    results: Mapping[str, Result], *, arms: Sequence[str], metrics: Sequence[str], threshold: float | None
) -> dict[str, Comparison]:
    """Compare each arm with the method; Holm's correction is over all tests of the differences, and of the means."""
    if METHOD not in results:
        return {}
    compared = [arm for arm in dict.fromkeys(arms) if arm in results and arm != METHOD]
    found = [compare(results[arm], results[METHOD], metrics=metrics, threshold=threshold) for arm in compared]
    return {one.arm: one for one in correct(found)}


def correct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p-values of comparisons for their number (Holm), those of differences and of means separately."""
    corrected = list(comparisons)
    for kind in ("differences", "mean_differences"):
        families: list[Mapping[str, Difference]] = [getattr(one, kind) for one in corrected]
        p_values = {(place, name): d.p for place, own in enumerate(families) for name, d in own.items()}
        found = holm({key: p for key, p in p_values.items() if not math.isnan(p)})
        for place, own in enumerate(families):
            new = {name: replace(d, p_corrected=found.get((place, name), math.nan)) for name, d in own.items()}
            changed: dict[str, Any] = {kind: new}
            corrected[place] = replace(corrected[place], **changed)
    return corrected


def comparisons_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """Make the table of arms against the method at equal appearance, and over the range that both have; and its CSV."""
    rows, records = [], list[dict[str, Any]]()
    for one in comparisons:
        if not one.values:
            rows.append([arm_name(one.arm), one.status or NOTHING, *[NOTHING] * 8])
            records.append(_record(one, one.status))
        for m in (m for m in measures if m.name in one.values):
            (value, other), (_, other_mean) = one.values[m.name], one.means[m.name]
            low, high = (format_number(end, APPEARANCE.digits) for end in one.range)
            there = [low, format_value(value, m), format_value(other, m), format_difference(one.differences[m.name], m)]
            mean, apart = (
                format_interval(one.mean_intervals[m.name], m),
                format_difference(one.mean_differences[m.name], m),
            )
            rows.append(
                [arm_name(one.arm), m.title, *there, f"{low} to {high}", mean, format_value(other_mean, m), apart]
            )
            records.append(_record(one, m.name))
    header = ["Arm", "Metric", "At", "Arm there", "Method there", "Difference", "Range", "Arm, mean", "Method, mean"]
    notes = [
        "At: the appearance at which both are compared, a mean over pairs of runs. Range: the appearance scores that"
        " both have passed; a mean over it is the area below the frontier over its width.",
        "Differences have intervals of 95 %; p is corrected by Holm's method for all comparisons of a kind, * marks"
        f" p < {LEVEL}.",
    ]
    text = TextTable(
        name="comparisons",
        title="Arms and the method at equal appearance",
        header=[*header, "Difference"],
        rows=rows,
        left=frozenset({0, 1}),
        notes=notes if rows else [],
    )
    return text, to_csv(records)


def _record(one: Comparison, metric: str) -> dict[str, Any]:
    """Make a line of the CSV; where arms are not compared, the reason takes the place of the metric."""
    (value, other), (_, other_mean) = (of.get(metric, (None, None)) for of in (one.values, one.means))
    return {
        **{"arm": one.arm, "reference": one.reference, "metric": metric, "pairs": one.pairs},
        **{"at_threshold": one.at_threshold, "at": one.at, "value": value, "reference_value": other},
        **fields_of("value", DIFFERENCE, one.differences.get(metric)),
        **{"range_low": one.range[0], "range_high": one.range[1]},
        **fields_of("mean", INTERVAL, one.mean_intervals.get(metric)),
        "reference_mean": other_mean,
        **fields_of("mean", DIFFERENCE, one.mean_differences.get(metric)),
    }


def compared_motions_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """Make the table of the same comparisons by motion; and its CSV."""
    rows, records = [], []
    for one in comparisons:
        for motion, m in ((motion, m) for motion, values in one.motions.items() for m in measures if m.name in values):
            value, other = one.motions[motion][m.name]
            cells = [format_value(value, m), format_value(other, m), format_value(value - other, m, signed=True)]
            rows.append([arm_name(one.arm), motion.replace("_", " "), m.title, *cells])
            record = {"arm": one.arm, "motion": motion, "metric": m.name, "value": value, "reference_value": other}
            records.append(record)
    text = TextTable(
        name="compared_motions",
        title="Arms and the method at equal appearance, by motion",
        header=["Arm", "Motion", "Metric", "Arm there", "Method there", "Difference"],
        rows=rows,
        left=frozenset({0, 1, 2}),
    )
    return text, to_csv(records)
