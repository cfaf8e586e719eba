"""Known gestures after another motion was learned: what regularization is for (paper, Eq. 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vmc.metrics.columns import Measure
from vmc.metrics.scores import KEYS
from vmc.metrics.statistics import Run, holm, intervals_of_runs, paired_difference
from vmc.reporting.catalog import METHOD, arm_name, arm_order
from vmc.reporting.compare import runs_in_common
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.tables import DIFFERENCE, INTERVAL, NOTHING, rounded, spread_fields, to_csv, with_interval, with_test
from vmc.utils.tables import TextTable

KNOWN = Measure("known_accuracy", "Known gestures, %", how="share", digits=1)
LOST = Measure("forgotten", "Less than the base model, points", digits=1, better="lower")
NOTES = (
    "Videos of gestures that the base model knows, asked for in natural language: the share that the classifier puts in"
    " their class, by each run's newest weights that were asked. Intervals are of 95 %.",
    "Less than the base model: of the same prompts and seeds, in percentage points; below zero, more.",
)


def forgetting_table(runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """A row an arm of which known gestures were asked after training, and its CSV; nothing where there is none."""
    base = next((_values(run.known[0]) for run in runs if 0 in run.known), None)
    arms: dict[str, list[tuple[FoundRun, int, Run]]] = {}
    for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place)):
        if run.trains and (step := max(run.known, default=0)):
            values = _less(_values(run.known[step]), base)
            one = Run(motion=run.motion, seed=run.seed, values=values, measures=(KNOWN,))
            arms.setdefault(run.arm, []).append((run, step, one))
    if not arms:
        return []
    tested = _against_method({arm: [one for *_, one in found] for arm, found in arms.items()})
    rows, records = [], list[dict[str, Any]]()
    if base is not None:
        interval = intervals_of_runs([Run(motion="", seed=0, values=base, measures=(KNOWN,))])[KNOWN.name]
        rows.append(["Untuned model", NOTHING, "0", with_interval(interval, KNOWN), NOTHING, NOTHING])
        records.append({"arm": "base", "runs": 0, "step": 0} | _fields({KNOWN.name: interval}, None))
    for arm, found in arms.items():
        intervals = intervals_of_runs([one for *_, one in found])
        step = sum(step for _, step, _ in found) / len(found)
        cells = [with_interval(intervals.get(one.name), one) for one in (KNOWN, LOST)]
        difference = tested.get(arm)
        rows.append([arm_name(arm), str(len(found)), rounded(step, 0), *cells, with_test(difference, KNOWN)])
        records.append({"arm": arm, "runs": len(found), "step": step} | _fields(intervals, difference))
    header = ["Arm", "Runs", "Step", KNOWN.title, LOST.title, "Known gestures, from the method"]
    text = TextTable(
        name="forgetting",
        title="Forgetting: known gestures after another motion was learned",
        header=header,
        rows=rows,
        left=frozenset({0}),
        notes=[*NOTES, *_of_other_seeds(arms)],
    )
    return [(text, to_csv(records))]


def _values(known: Mapping[str, Scored]) -> pd.DataFrame:
    """A row a video of all gestures."""
    parts = [scored.values[[*KEYS, "motion_accuracy"]] for scored in known.values()]
    return pd.concat(parts, ignore_index=True).rename(columns={"motion_accuracy": KNOWN.name})


def _less(values: pd.DataFrame, base: pd.DataFrame | None) -> pd.DataFrame:
    """With how many points less of each video are right than of the base model's, where that was asked the same."""
    if base is None:
        return values
    both = values.merge(base, on=KEYS, suffixes=("", "_base"))
    if len(both) < len(values):
        return values
    both[LOST.name] = 100 * (both[f"{KNOWN.name}_base"] - both[KNOWN.name])
    return both[[*values.columns, LOST.name]]


def _against_method(arms: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Each arm less the method over what both have, with Holm's correction; arms with a single run in common are left
    out.
    """
    found = {}
    for arm in arms:
        if arm != METHOD and METHOD in arms:
            runs, others = runs_in_common(arms[arm], arms[METHOD])
            if len(runs) > 1:
                found[arm] = paired_difference(runs, others, metric=KNOWN.name)
    corrected = holm({arm: one.p for arm, one in found.items()})
    return {arm: replace(one, p_corrected=corrected[arm]) for arm, one in found.items()}


def _of_other_seeds(arms: Mapping[str, Sequence[tuple[FoundRun, int, Run]]]) -> list[str]:
    """A sentence on each arm that has not the method's motions and training seeds."""
    places = {arm: {run.place for run, *_ in found} for arm, found in arms.items()}
    return [
        f"{arm_name(arm)} and the method have {len(mine & places[METHOD])} motions and training seeds in common, of"
        f" {len(mine)} and {len(places[METHOD])}; only these are compared."
        for arm, mine in places.items()
        if METHOD in places and mine != places[METHOD]
    ]


def _fields(intervals: Mapping[str, Any], difference: Any) -> dict[str, Any]:
    found = {}
    for measure in (KNOWN, LOST):
        found |= spread_fields(measure.name, INTERVAL, intervals.get(measure.name))
    return found | spread_fields(KNOWN.name, DIFFERENCE, difference)
