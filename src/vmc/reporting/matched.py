"""Where each run, and each arm, stands at the matched appearance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.declared import MEASURES
from vmc.metrics.matching import Crossing, find_crossing, interpolate_values
from vmc.metrics.statistics import ONE_MODEL, Interval, Run, intervals_of_runs
from vmc.reporting.catalogue import CEILING, THESE_CLIPS
from vmc.reporting.loaded import Control, FoundRun
from vmc.utils.errors import VmcError

NOT_RUN = "not run"
NOT_EVALUATED = "not evaluated: run `python -m vmc.evaluate` on it"


@dataclass(frozen=True, kw_only=True)
class MatchedRun:
    """One run where it is compared.

    Args:
        run: the run.
        crossing: where its appearance score has fallen to the threshold; without a threshold its last evaluation.
        values: of every video there.
        of: videos of the whole test set.
        shown: step of the evaluation next to it, whose videos are shown.
    """

    run: FoundRun
    crossing: Crossing
    values: pd.DataFrame
    of: int
    shown: int

    @property
    def as_run(self) -> Run:
        """Its values, for statistics."""
        measures = self.run.evaluations[self.shown].measures
        return Run(motion=self.run.motion, seed=self.run.seed, values=self.values, measures=measures)


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """An arm over its motions and training seeds.

    Args:
        arm: its name.
        stands: runs that count.
        left_out: runs that do not, with the reason.
        intervals: of every metric that all counting runs have.
        matched: whether there is a threshold.
    """

    arm: str
    stands: Sequence[MatchedRun]
    left_out: Sequence[tuple[FoundRun, str]]
    intervals: Mapping[str, Interval]
    matched: bool

    @property
    def runs(self) -> list[Run]:
        """The counting runs' values."""
        return [stand.as_run for stand in self.stands]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What was measured of them."""
        return united(*(run.measures for run in self.runs))

    @property
    def reached(self) -> bool:
        """Whether every counting run has reached the threshold."""
        return self.matched and bool(self.stands) and all(stand.crossing.reached for stand in self.stands)

    def behind(self, stand: MatchedRun) -> bool:
        """Whether one of its counting runs did not reach the threshold."""
        return self.matched and not stand.crossing.reached

    @property
    def step(self) -> float:
        """The step where it stands, mean over motions of the mean over seeds; NaN without a run."""
        return mean_over_motions([(stand.run.motion, stand.crossing.step) for stand in self.stands])

    @property
    def status(self) -> str:
        """What stands in place of numbers where no run counts; empty where one does."""
        if self.stands:
            return ""
        if not self.left_out:
            return NOT_RUN
        if len(self.left_out) == 1:
            return self.left_out[0][1].partition(": ")[0]
        return f"{len(self.left_out)} runs, none of them complete"


def stand(run: FoundRun, *, threshold: float | None) -> MatchedRun:
    """A finished run at the matched appearance, or at its last evaluation where there is no threshold.

    Raises:
        VmcError: why it cannot be matched.
    """
    if not run.evaluations:
        raise VmcError(f"it is {NOT_EVALUATED}")
    if threshold is None:
        last = max(run.evaluations)
        crossing = Crossing(
            reached=False, before=last, after=last, weight=1.0, appearance=run.evaluations[last].appearance
        )
    else:
        appearances = {step: scored.appearance for step, scored in run.evaluations.items()}
        crossing = find_crossing(appearances, threshold=threshold, name=str(run.path))
    beside = {step: run.evaluations[step] for step in (crossing.before, crossing.after)}
    values = interpolate_values({step: scored.values for step, scored in beside.items()}, crossing, common_only=True)
    nearer = crossing.before if crossing.weight < 0.5 and crossing.before else crossing.after
    of = max(scored.of for scored in beside.values())
    return MatchedRun(run=run, crossing=crossing, values=values, of=of, shown=nearer)


def arm_result(arm: str, runs: Sequence[FoundRun], *, threshold: float | None) -> ArmResult:
    """An arm at the matched appearance; runs that are unfinished or cannot be matched are left out, with the reason."""
    stands, left_out = list[MatchedRun](), list[tuple[FoundRun, str]]()
    for run in sorted(runs, key=lambda run: run.place):
        if not run.finished:
            left_out.append((run, run.progress))
            continue
        if not run.evaluations:
            left_out.append((run, NOT_EVALUATED))
            continue
        try:
            stands.append(stand(run, threshold=threshold))
        except VmcError as error:
            left_out.append((run, f"cannot be matched: {error}"))
    counting = [found.as_run for found in stands]
    intervals = intervals_of_runs(counting) if counting else {}
    return ArmResult(arm=arm, stands=stands, left_out=left_out, intervals=intervals, matched=threshold is not None)


def arm_results(runs: Sequence[FoundRun], *, threshold: float | None) -> dict[str, ArmResult]:
    """Every arm that has a run, by name."""
    arms = dict.fromkeys(run.arm for run in runs)
    return {arm: arm_result(arm, [run for run in runs if run.arm == arm], threshold=threshold) for arm in arms}


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """The floor, the ceiling or the untuned model asked in natural language, over motions and seeds."""

    kind: str
    controls: Sequence[Control]
    intervals: Mapping[str, Interval]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What was measured of them."""
        return united(*(control.scored.measures for control in self.controls))

    @property
    def of(self) -> int:
        """Videos of a whole test set."""
        return max((control.scored.of for control in self.controls), default=0)

    @property
    def videos(self) -> int:
        """Videos of the smallest of them."""
        return min((len(control.scored.values) for control in self.controls), default=0)


def control_result(kind: str, controls: Sequence[Control]) -> ControlResult:
    """All controls of a kind."""
    chosen = [control for control in controls if control.kind == kind]
    runs = [control.as_run for control in chosen]
    intervals = intervals_of_runs(runs) if runs else {}
    if kind == CEILING:
        intervals = {
            name: replace(one, speaks_of=THESE_CLIPS) if one.speaks_of == ONE_MODEL else one
            for name, one in intervals.items()
        }
    return ControlResult(kind=kind, controls=chosen, intervals=intervals)


def all_measures(results: Mapping[str, ArmResult], controls: Sequence[ControlResult]) -> tuple[Measure, ...]:
    """Those that every reader knows, and whatever else was measured."""
    return united(MEASURES, *(one.measures for one in results.values()), *(one.measures for one in controls))


def mean_over_motions(numbers: Sequence[tuple[str, float]]) -> float:
    """The mean over motions of the mean over each motion's runs; NaN of nothing."""
    if not numbers:
        return math.nan
    motions = dict.fromkeys(motion for motion, _ in numbers)
    means = [_mean([number for name, number in numbers if name == motion]) for motion in motions]
    return _mean(means)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
