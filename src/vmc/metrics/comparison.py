"""Whether two arms differ: paired differences with Holm's correction over a family of comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from scipy.special import stdtr

from vmc.metrics.statistics import (
    RESAMPLES,
    Run,
    clusters,
    deviation,
    no_hit_bound,
    resample,
    shares_of,
    speaks_of,
    student_reach,
)
from vmc.metrics.values import KEYS
from vmc.utils.errors import VmcError

Place = TypeVar("Place")


@dataclass(frozen=True)
class Difference:
    """An arm's metric less the reference's.

    Args:
        value: the difference.
        low: lower end of its 95 % interval, not corrected for the number of comparisons.
        high: its upper end.
        p: two-sided, uncorrected; below 0.05 where the interval leaves zero out.
        p_corrected: after Holm's correction over the family.
        speaks_of: what was resampled.
    """

    value: float
    low: float
    high: float
    p: float
    p_corrected: float
    speaks_of: str


def differences(
    arms: Mapping[str, Sequence[Run]], *, reference: str, metrics: Sequence[str], resamples: int = RESAMPLES
) -> dict[tuple[str, str], Difference]:
    """Every arm against the reference in every metric, by (arm, metric); together they are Holm's family.

    Arms that never reached the matched appearance do not belong in here.

    Raises:
        VmcError: as `paired_difference`, or there is no such reference.
    """
    if reference not in arms:
        raise VmcError(f"there are no runs of the reference '{reference}'; arms with runs are {', '.join(arms)}")
    found = {
        (arm, metric): paired_difference(runs, arms[reference], metric=metric, names=(arm, reference), draws=resamples)
        for arm, runs in arms.items()
        if arm != reference
        for metric in metrics
    }
    corrected = holm({place: difference.p for place, difference in found.items()})
    return {place: replace(difference, p_corrected=corrected[place]) for place, difference in found.items()}


def paired_difference(
    one: Sequence[Run],
    other: Sequence[Run],
    *,
    metric: str,
    names: tuple[str, str] = ("one", "the other"),
    draws: int = RESAMPLES,
) -> Difference:
    """`one` less `other` over the motions and training seeds that both have.

    Hierarchical bootstrap over motions, training seeds and subjects, both arms by the same draws: that pairs them. The
    p-value compares the difference with its bootstrap error by Student's t, of one degree of freedom less than there
    are motions (training seeds, if there is one motion). Counting the resamples beyond zero would not do: of four
    motions all four lie on the same side once in eight times by chance, and then no resample is beyond zero.

    Args:
        one: runs of an arm.
        other: runs of the arm that it is compared with.
        metric: name of a measure.
        names: of the arms, for messages.
        draws: the number of resamples.

    Raises:
        VmcError: fewer than two runs in common, a run twice, different videos, or a metric that was not measured.
    """
    first, second = _by_place(one, name=names[0]), _by_place(other, name=names[1])
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        raise VmcError(
            f"{names[0]} and {names[1]} have {len(common)} runs of the same motion and training seed in common;"
            " one run per arm cannot tell: train at least two seeds or motions of each"
        )
    for place in common:
        _check_alike(first[place], second[place], metric=metric, names=names)
    runs, others = [first[place] for place in common], [second[place] for place in common]
    here = resample(runs, metrics=[metric], resamples=draws)
    there = resample(others, metrics=[metric], resamples=draws)
    value = float(here.value_V[0] - there.value_V[0])
    count = clusters(runs)
    error = deviation(here.draws_RV[:, 0] - there.draws_RV[:, 0], clusters=count)
    reach = student_reach(error, clusters=count)
    is_share = metric in shares_of(runs[0].measures)
    if error == 0 and is_share:
        reach = no_hit_bound(int(here.subjects_V[0]))
    low, high = value - reach, value + reach
    if is_share:
        low, high = max(low, -1.0), min(high, 1.0)
    p = _p_value(value, error=error, clusters=count)
    return Difference(value, low, high, p, p, speaks_of(runs))


def holm(p_values: Mapping[Place, float]) -> dict[Place, float]:
    """p-values corrected for their number (Holm, 1979): the smallest of n times n, the next times n - 1, and so on.

    None is smaller than the one before it, none larger than 1.
    """
    corrected: dict[Place, float] = {}
    largest = 0.0
    ordered = sorted(p_values.items(), key=lambda pair: pair[1])
    for place, (name, p) in enumerate(ordered):
        largest = max(largest, min(1.0, p * (len(ordered) - place)))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def _p_value(value: float, *, error: float, clusters: int) -> float:
    if error > 0:
        return float(2 * stdtr(clusters - 1, -abs(value) / error))
    # No motion or seed differs from another by a hair: what is left is that all have the same sign.
    return 1.0 if value == 0 else math.ldexp(1.0, 1 - clusters)


def _by_place(runs: Sequence[Run], *, name: str) -> dict[tuple[str, int], Run]:
    places = {(run.motion, run.seed): run for run in runs}
    if len(places) < len(runs):
        raise VmcError(f"{name} has several runs of the same motion and training seed; give each run once")
    return places


def _check_alike(one: Run, other: Run, *, metric: str, names: tuple[str, str]) -> None:
    where = f"motion {one.motion}, training seed {one.seed}"
    for run, name in zip((one, other), names, strict=True):
        if metric not in run.values.columns:
            raise VmcError(f"{name}, {where}, has no {metric}; evaluate it with that metric or leave the metric out")
    videos, others = ({tuple(row) for row in run.values[KEYS].to_numpy().tolist()} for run in (one, other))
    if videos != others:
        raise VmcError(
            f"{names[0]} and {names[1]}, {where}, have {len(videos - others)} and {len(others - videos)} videos that"
            " the other has not; evaluate both on the same prompts and seeds"
        )
