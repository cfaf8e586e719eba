"""Arms against the method: differences at the matched appearance, tested where there are runs enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vmc.metrics.comparison import Difference, holm, paired_difference
from vmc.metrics.statistics import Run, resample
from vmc.metrics.values import KEYS
from vmc.runs.reporting.standing import ArmResult

LEVEL = 0.05
"""Of a corrected p-value below which a difference is marked."""


@dataclass(frozen=True)
class Against:
    """Differences from the method in one table.

    Args:
        values: of every (arm, metric) that can be compared.
        tested: those of them that were tested, Holm's correction over all of them.
    """

    values: Mapping[tuple[str, str], float]
    tested: Mapping[tuple[str, str], Difference]

    def significant(self, arm: str, metric: str) -> bool:
        """Whether an arm differs from the method."""
        return (arm, metric) in self.tested and self.tested[arm, metric].p_corrected < LEVEL


def against(
    results: Mapping[str, ArmResult], *, reference: str, arms: Sequence[str], metrics: Sequence[str]
) -> Against:
    """Each arm less the reference, over the motions, training seeds and videos that both have.

    An arm that did not reach the threshold stands at another appearance and is not compared. A difference rests on one
    run alone where both have a single one in common; it is given, and not tested.
    """
    if reference not in results or not results[reference].reached:
        return Against({}, {})
    values, tested = dict[tuple[str, str], float](), dict[tuple[str, str], Difference]()
    for arm in dict.fromkeys(arms):
        if arm == reference or arm not in results or not results[arm].reached:
            continue
        runs, others = alike(results[arm].runs, results[reference].runs)
        for metric in metrics:
            if not runs or not all(metric in run.values.columns for run in [*runs, *others]):
                continue
            one, other = (_mean(found, metric) for found in (runs, others))
            values[arm, metric] = one - other
            if len(runs) > 1:
                tested[arm, metric] = paired_difference(runs, others, metric=metric, names=(arm, reference))
    corrected = holm({place: difference.p for place, difference in tested.items()})
    return Against(values, {place: replace(found, p_corrected=corrected[place]) for place, found in tested.items()})


def alike(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of both that have a motion and seed in common, each with the videos that both have."""
    others = {(run.motion, run.seed): run for run in other}
    pairs = [(run, others[run.motion, run.seed]) for run in one if (run.motion, run.seed) in others]
    kept = [(_only(first, second), _only(second, first)) for first, second in pairs]
    kept = [(first, second) for first, second in kept if len(first.values)]
    return [first for first, _ in kept], [second for _, second in kept]


def _only(run: Run, other: Run) -> Run:
    """The videos of a run that the other has too."""
    known = set(map(tuple, other.values[KEYS].to_numpy().tolist()))
    inside = [tuple(row) in known for row in run.values[KEYS].to_numpy().tolist()]
    return replace(run, values=run.values[inside].reset_index(drop=True))


def _mean(runs: Sequence[Run], metric: str) -> float:
    return float(resample(runs, metrics=[metric], resamples=1).value_V[0])
