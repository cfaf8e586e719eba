"""Every arm at the same appearance: where its score crosses the threshold, and its other values there."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from vmc.metrics.scores import KEYS, names_of
from vmc.utils.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where an appearance score has fallen to the threshold, between the evaluations of two steps.

    Args:
        reached: whether it has; if not, both steps are the last evaluation's.
        before: step of the evaluation above the threshold; `after` is the next one, at or below it.
        weight: share of `after` in what is interpolated, 0..1; `before` has the rest.
        appearance: score of the arm there: the threshold, or that of the last evaluation.
    """

    reached: bool
    before: int
    after: int
    weight: float
    appearance: float

    @property
    def step(self) -> float:
        """The step of the crossing, were the score to fall evenly between the two."""
        return self.before + self.weight * (self.after - self.before)


def find_crossing(appearances: Mapping[int, float], *, threshold: float, name: str = "the run") -> Crossing:
    """The first time that the appearance score falls to the threshold.

    An evaluation without an appearance score (not one valid video) is passed over.

    Raises:
        VmcError: no evaluation, none above the threshold before the first at or below it, or no finite threshold.
    """
    if not math.isfinite(threshold):
        raise VmcError(f"stop.appearance is {threshold}; it must be a number to match arms at")
    scores = {step: score for step, score in sorted(appearances.items()) if math.isfinite(score)}
    if not scores:
        raise VmcError(f"{name} has no evaluation with an appearance score; evaluate it before matching")
    after = next((step for step, score in scores.items() if score <= threshold), None)
    if after is None:
        last = max(scores)
        return Crossing(reached=False, before=last, after=last, weight=1.0, appearance=scores[last])
    before = max((step for step in scores if step < after), default=None)
    if before is None and after == 0:
        raise VmcError(
            f"the base model of {name} starts at an appearance of {scores[0]:.4f}, not above stop.appearance ="
            f" {threshold:.4f}; lower stop.appearance, or use prompts and metrics that belong to this base model"
        )
    if before is None:
        raise VmcError(
            f"{name} has no evaluation above stop.appearance = {threshold:.4f} before step {after}"
            f" ({scores[after]:.4f}); evaluate it at step 0 too"
        )
    weight = (scores[before] - threshold) / (scores[before] - scores[after])
    return Crossing(reached=True, before=before, after=after, weight=weight, appearance=threshold)


def interpolate_values(
    values: Mapping[int, pd.DataFrame], crossing: Crossing, *, common_only: bool = False
) -> pd.DataFrame:
    """Every video's values at the crossing, in the form of `vmc.metrics.scores.values_of_run`.

    Each video is interpolated between the two evaluations, so that their mean is the interpolated mean and intervals
    see how videos differ. A video that has a value in one of the two alone (invalid in the other) has none here.

    With `common_only` the videos that both have are used, where one evaluation has more than the other.

    Raises:
        VmcError: an evaluation is missing, or the two are of different videos.
    """
    if missing := sorted({crossing.before, crossing.after} - values.keys()):
        raise VmcError(f"there are no scores of step {missing[0]}, beside the crossing; evaluate the run at that step")
    before, after = (values[step].set_index(KEYS) for step in (crossing.before, crossing.after))
    common = before.index.intersection(after.index)
    if common.empty or not (common_only or len(common) == len(before) == len(after)):
        raise VmcError(
            f"the evaluations of steps {crossing.before} and {crossing.after} have {len(before)} and {len(after)}"
            f" videos, {len(common)} in common; evaluate both on the same prompts and seeds"
        )
    metrics = [metric for metric in names_of(after) if metric in before.columns]
    old, new = before.loc[common, metrics], after.loc[common, metrics]
    table = new if crossing.before == crossing.after else old + crossing.weight * (new - old)
    return table.dropna(axis="columns", how="all").reset_index().sort_values(KEYS, ignore_index=True)
