"""Where each run, each arm and each control stands: its values at the matched appearance, with intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import MEASURES
from vmc.metrics.matching import Crossing, find_crossing, interpolate_values
from vmc.metrics.statistics import ONE_MODEL, Interval, Run, intervals_of_runs
from vmc.reporting.catalog import CEILING, THESE_CLIPS, arm_name
from vmc.reporting.loaded import Control, FoundRun, Scored
from vmc.utils.errors import VmcError

NOT_RUN = "not run"
NOT_EVALUATED = "not evaluated: run `python -m vmc.evaluate` on it"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class MatchedRun:
    """One run where it is compared."""

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
        """Its values, for statistics."""
        return Run(motion=self.run.motion, seed=self.run.seed, values=self.values, measures=self.scored.measures)


@dataclass(frozen=True, kw_only=True)
class Result:
    """An arm, or a control, over its motions and training seeds."""

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


def match_run(run: FoundRun, *, threshold: float | None) -> MatchedRun:
    """A finished run at the matched appearance, or at its last evaluation where there is no threshold.

    Raises:
        VmcError: why it cannot be matched.
    """
    if not run.evaluations:
        raise VmcError(f"it is {NOT_EVALUATED}")
    appearances = {step: scored.appearance for step, scored in run.evaluations.items()}
    if threshold is None:
        last = max(appearances)
        crossing = Crossing(reached=False, before=last, after=last, weight=1.0, appearance=appearances[last])
    else:
        crossing = find_crossing(appearances, threshold=threshold, name=str(run.path))
    beside = {step: run.evaluations[step] for step in (crossing.before, crossing.after)}
    return MatchedRun(
        run=run,
        crossing=crossing,
        behind=threshold is not None and not crossing.reached,
        values=interpolate_values({step: one.values for step, one in beside.items()}, crossing, common_only=True),
        of=max(scored.of for scored in beside.values()),
        shown=crossing.before if crossing.weight < 0.5 and crossing.before else crossing.after,
    )


def arm_result(arm: str, runs: Iterable[FoundRun], *, threshold: float | None) -> Result:
    """An arm at the matched appearance; runs that are unfinished or cannot be matched are left out, with the reason."""
    matched, left_out = list[MatchedRun](), list[tuple[FoundRun, str]]()
    for run in sorted(runs, key=lambda run: run.place):
        if not run.finished or not run.evaluations:
            left_out.append((run, NOT_EVALUATED if run.finished else run.progress))
            continue
        try:
            matched.append(match_run(run, threshold=threshold))
        except VmcError as error:
            left_out.append((run, f"cannot be matched: {error}"))
    if not matched:
        several = f"{len(left_out)} runs, none of them complete"
        status = left_out[0][1].partition(": ")[0] if len(left_out) == 1 else several
        return Result(arm=arm, status=status, left_out=left_out)
    counting = [one.as_run for one in matched]
    return Result(
        arm=arm,
        runs=counting,
        intervals=intervals_of_runs(counting),
        videos=min(len(one.values) for one in matched),
        of=max(one.of for one in matched),
        step=mean_over_motions([(one.run.motion, one.crossing.step) for one in matched]),
        reached=None if threshold is None else not any(one.behind for one in matched),
        matched=matched,
        left_out=left_out,
    )


def arm_results(runs: Sequence[FoundRun], *, threshold: float | None) -> dict[str, Result]:
    """Every arm by name. A run that stops at the threshold counts before one of its place that nothing stops.

    The latter are made for Fig. 7 (`sweeps/tradeoff.yaml`); they serve where there is no other.
    """
    trained = [run for run in runs if run.trains]
    stopping = {(run.arm, *run.place) for run in runs if run.threshold is not None}
    chosen = [run for run in trained if run.threshold is not None or (run.arm, *run.place) not in stopping]
    arms = dict.fromkeys(run.arm for run in chosen)
    return {arm: arm_result(arm, [run for run in chosen if run.arm == arm], threshold=threshold) for arm in arms}


def control_result(kind: str, controls: Sequence[Control]) -> Result:
    """All controls of a kind."""
    chosen = [control for control in controls if control.kind == kind]
    if not chosen:
        return Result(arm=kind, status=NOT_MEASURED)
    runs = [control.as_run for control in chosen]
    intervals = intervals_of_runs(runs)
    if kind == CEILING:  # clips are no model's
        of_clips = {name: replace(one, speaks_of=THESE_CLIPS) for name, one in intervals.items()}
        intervals = {name: of_clips[name] if one.speaks_of == ONE_MODEL else one for name, one in intervals.items()}
    videos, of = min(len(run.values) for run in runs), max(control.scored.of for control in chosen)
    return Result(arm=kind, runs=runs, intervals=intervals, videos=videos, of=of)


def all_measures(results: Iterable[Result]) -> tuple[Measure, ...]:
    """Those that every reader knows, and whatever else was measured."""
    return united(MEASURES, *(run.measures for result in results for run in result.runs))


def mean_over_motions(numbers: Sequence[tuple[str, float]]) -> float:
    """The mean over motions of the mean over each motion's runs."""
    groups: dict[str, list[float]] = {}
    for motion, number in numbers:
        groups.setdefault(motion, []).append(number)
    means = [sum(group) / len(group) for group in groups.values()]
    return sum(means) / len(means)
