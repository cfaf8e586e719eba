"""Metrics of each run, arm and control at the appearance threshold (the matched appearance)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.equal_appearance import (
    Crossing,
    find_crossing,
    interpolate_values,
    resample_trajectories,
)
from vmc.metrics.scores import MEASURES, names_of
from vmc.metrics.statistics import (
    ONE_MODEL,
    Array,
    Interval,
    Resampled,
    Run,
    intervals_of,
    intervals_of_runs,
    resample,
)
from vmc.reporting.loaded_runs import Control, FoundRun, Scored
from vmc.reporting.table_arms import APPEARANCE, CEILING, NOT_REACHED, THESE_CLIPS, arm_name, arm_order
from vmc.utils.errors import VmcError

RESAMPLES = 4_000  # of evaluations, several to a run
NOT_RUN = "not run"
NOT_EVALUATED = "not evaluated: run `python -m vmc.evaluate` on it"
NOT_MEASURED = "not measured"


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
    """Resample the subjects of an arm's runs; where each crosses the threshold is found again in every resample.

    A run's fit is that of its crossing, over all of its videos, also those that the evaluations beside it lack.
    """
    runs = [one.as_run for one in matched]
    metrics = [name for name in names_of(runs[0].values) if all(name in names_of(run.values) for run in runs)]
    tables = [one.run.trajectory.videos if one.crossing.reached else one.values for one in matched]
    subjects = sorted({subject for table in tables for subject in table["subject"]})
    drawn = resample(runs, metrics=metrics, resamples=RESAMPLES, subjects=subjects)
    draws_QRV = list[Array]()
    for one, draws_RV in zip(matched, drawn.draws_QRV, strict=True):
        if one.crossing.reached:
            run = one.run.trajectory
            (crossed,) = resample_trajectories([run], metrics=metrics, subjects=subjects, resamples=RESAMPLES)
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
