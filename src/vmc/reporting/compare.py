"""Metrics of each run, arm and control at the appearance threshold (the matched appearance), and arms compared in pairs
at a score that both have reached (equal appearance).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.matching import Trajectory, lowest_common, place_between, resample_trajectories
from vmc.metrics.scores import KEYS, MEASURES, names_of
from vmc.metrics.statistics import (
    ONE_MODEL,
    Array,
    Difference,
    Interval,
    Resampled,
    Run,
    holm,
    intervals_of,
    intervals_of_runs,
    paired_differences,
    resample,
    shares_of,
)
from vmc.reporting.catalog import APPEARANCE, CEILING, METHOD, NOT_REACHED, THESE_CLIPS, arm_name, arm_order
from vmc.reporting.loaded import Control, FoundRun, Scored
from vmc.utils.errors import VmcError

RESAMPLES = 4_000  # of evaluations, several to a run
NOT_RUN = "not run"
NOT_EVALUATED = "not evaluated: run `python -m vmc.evaluate` on it"
NOT_MEASURED = "not measured"


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


@dataclass(frozen=True, kw_only=True)
class MatchedRun:
    """A run at the point where it is compared."""

    run: FoundRun
    crossing: Crossing  # where its appearance has fallen to the threshold; without a threshold its last evaluation
    behind: bool  # whether there is a threshold that it did not reach
    values: pd.DataFrame  # of every video there
    of: int  # videos of the whole test set
    shown: int  # step of the evaluation next to it, whose videos are shown

    @property
    def scored(self) -> Scored:
        """The evaluation that is shown."""
        return self.run.evaluations[self.shown]

    @property
    def as_run(self) -> Run:
        """Its values, in the form that statistics take."""
        return Run(motion=self.run.motion, seed=self.run.seed, values=self.values, measures=self.scored.measures)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The metrics of an arm, or of a control, over its motions and training seeds."""

    arm: str  # or the kind of control
    status: str = ""  # what stands in place of numbers where no run counts
    runs: Sequence[Run] = ()  # values of those that count
    intervals: Mapping[str, Interval] = field(default_factory=dict)  # of every metric that all of them have
    videos: int = 0  # of the run with the fewest
    of: int = 0  # videos of a whole test set
    step: float = math.nan  # mean over motions of the mean over seeds
    reached: bool | None = None  # whether every run has reached the threshold; None where there is none
    matched: Sequence[MatchedRun] = ()  # runs of an arm that count
    left_out: Sequence[tuple[FoundRun, str]] = ()  # runs of an arm that do not, with the reason

    @property
    def name(self) -> str:
        """What it is called outside the paper's tables."""
        return arm_name(self.arm)

    @property
    def marked_name(self) -> str:
        """Its name, with a mark where it has not reached the threshold."""
        return f"{self.name} {NOT_REACHED}" if self.reached is False else self.name


def match_run(run: FoundRun, *, threshold: float | None) -> MatchedRun:
    """Match a run to the threshold, without one to its last evaluation; a VmcError where that is not possible."""
    crossing = find_crossing(run.trajectory, threshold=threshold, name=str(run.path))
    beside = {step: run.evaluations[step] for step in (crossing.before, crossing.after)}
    return MatchedRun(
        run=run,
        crossing=crossing,
        behind=threshold is not None and not crossing.reached,
        values=interpolate_values({step: one.values for step, one in beside.items()}, crossing),
        of=max(scored.of for scored in beside.values()),
        shown=crossing.before if crossing.weight < 0.5 and crossing.before else crossing.after,
    )


def arm_result(arm: str, runs: Iterable[FoundRun], *, threshold: float | None) -> Result:
    """Compute an arm's metrics at the matched appearance, without runs that are unfinished or cannot be matched."""
    matched, left_out = list[MatchedRun](), list[tuple[FoundRun, str]]()
    for run in sorted(runs, key=lambda run: run.place):
        try:
            if run.finished and run.evaluations:
                matched.append(match_run(run, threshold=threshold))
            else:
                left_out.append((run, NOT_EVALUATED if run.finished else run.progress))
        except VmcError as error:
            left_out.append((run, f"cannot be matched: {error}"))
    if not matched:
        several = f"{len(left_out)} runs, none of them complete"
        status = left_out[0][1].partition(": ")[0] if len(left_out) == 1 else several
        return Result(arm=arm, status=status, left_out=left_out)
    return Result(
        arm=arm,
        runs=[one.as_run for one in matched],
        intervals=intervals_of(resample_matched(matched)),
        videos=min(len(one.values) for one in matched),
        of=max(one.of for one in matched),
        step=mean_over_motions([(one.run.motion, one.crossing.step) for one in matched]),
        reached=None if threshold is None else not any(one.behind for one in matched),
        matched=matched,
        left_out=left_out,
    )


def resample_matched(matched: Sequence[MatchedRun]) -> Resampled:
    """Resample the subjects of an arm's runs; where each crosses the threshold is found again in every resample."""
    runs = [one.as_run for one in matched]
    metrics = [name for name in names_of(runs[0].values) if all(name in names_of(run.values) for run in runs)]
    drawn, draws_QRV = resample(runs, metrics=metrics, resamples=RESAMPLES), list[Array]()
    subjects = sorted({subject for run in runs for subject in run.values["subject"]})
    for one, draws_RV in zip(matched, drawn.draws_QRV, strict=True):
        if one.crossing.reached:
            kept = one.run.trajectory.only(subjects=subjects)
            (crossed,) = resample_trajectories([kept], metrics=metrics, subjects=subjects, resamples=RESAMPLES)
            draws_RV = crossed.read(np.full((RESAMPLES + 1, 1), one.crossing.appearance))[:, 0]
            draws_RV[:, [name == APPEARANCE.name for name in metrics]] = one.crossing.appearance
        draws_QRV.append(draws_RV)
    return replace(drawn, draws_QRV=np.stack(draws_QRV))


def arm_results(runs: Sequence[FoundRun], *, threshold: float | None) -> dict[str, Result]:
    """Compute every arm's metrics, the method first. A run that stops at the threshold goes before one that does not.

    The latter are made for Fig. 7 (`sweeps/tradeoff.yaml`); they serve where there is no other.
    """
    trained = [run for run in runs if run.trains]
    stopping = {(run.arm, *run.place) for run in runs if run.threshold is not None}
    chosen = [run for run in trained if run.threshold is not None or (run.arm, *run.place) not in stopping]
    arms = sorted({run.arm for run in chosen}, key=arm_order)
    return {arm: arm_result(arm, [run for run in chosen if run.arm == arm], threshold=threshold) for arm in arms}


def control_result(kind: str, controls: Sequence[Control]) -> Result:
    """Compute the metrics of all controls of a kind."""
    chosen = [control for control in controls if control.kind == kind]
    if not chosen:
        return Result(arm=kind, status=NOT_MEASURED)
    runs = [one.scored.as_run(one.motion, one.seed) for one in chosen]
    intervals = intervals_of_runs(runs)
    for name, interval in intervals.items():
        if kind == CEILING and interval.speaks_of == ONE_MODEL:  # clips are no model's
            intervals[name] = replace(interval, speaks_of=THESE_CLIPS)
    videos, of = min(len(run.values) for run in runs), max(one.scored.of for one in chosen)
    return Result(arm=kind, runs=runs, intervals=intervals, videos=videos, of=of)


def all_measures(results: Iterable[Result]) -> tuple[Measure, ...]:
    """Return all measures that the runs declare, and those that are built in."""
    return united(*(run.measures for result in results for run in result.runs), MEASURES)


def mean_over_motions(numbers: Sequence[tuple[str, float]]) -> float:
    """Return the mean over motions of the mean over each motion's runs."""
    groups = [[number for motion, number in numbers if motion == one] for one in dict.fromkeys(m for m, _ in numbers)]
    return sum(sum(group) / len(group) for group in groups) / len(groups)


# --- arms against each other -----------------------------------------------------------------------------------------

NO_RANGE, ONE_EVALUATION = "no common range of appearance", "a single evaluation"
OTHER_RUNS, OTHER_VIDEOS = "no common motion and seed", "no common videos"
"""Why two arms, or two of their runs, are not compared."""
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
