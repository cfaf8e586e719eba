"""Which runs stand in the tables and which are drawn as curves.

A run that stops at the threshold is made for the tables, one that nothing stops for Fig. 7 (`sweeps/tradeoff.yaml`). A
folder may hold both kinds; in the tables, the second serves where the first is missing.
"""

from collections.abc import Sequence

from vmc.errors import VmcError
from vmc.runs.reporting.found import FoundRun


def check_once(runs: Sequence[FoundRun]) -> None:
    """Refuse two runs of one kind; damaged ones are only listed.

    Raises:
        VmcError: two runs of one arm, motion and seed that both stop, or both do not.
    """
    seen: dict[tuple[object, ...], FoundRun] = {}
    for run in (run for run in runs if not run.damaged):
        other = seen.setdefault((run.arm, *run.place, run.threshold is None), run)
        if other is not run:
            raise VmcError(
                f"{other.path} and {run.path} are both arm {run.arm} of {run.label}; give a folder that holds one of"
                " them"
            )


def for_tables(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """Of each arm, motion and seed the run that stops, or the one there is."""
    stopping = {(run.arm, *run.place) for run in runs if run.threshold is not None}
    trained = [run for run in runs if run.trains]
    return [run for run in trained if run.threshold is not None or (run.arm, *run.place) not in stopping]


def for_curves(runs: Sequence[FoundRun]) -> dict[str, list[FoundRun]]:
    """Runs that are drawn together: those that nothing stops (`tradeoff`) apart from those that stop (`stopping`)."""
    evaluated = [run for run in runs if run.trains and run.evaluations]
    unstopped = [run for run in evaluated if run.threshold is None]
    stopping = [run for run in evaluated if run.threshold is not None]
    if unstopped and stopping:
        return {"tradeoff": unstopped, "stopping": stopping}
    return {"tradeoff": evaluated} if evaluated else {}
