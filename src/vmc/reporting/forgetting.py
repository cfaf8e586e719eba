"""Known gestures after another motion was learned: what regularization is for (paper, Eq. 3)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vmc.metrics.columns import Measure
from vmc.metrics.resampling import Run
from vmc.metrics.scores import KEYS
from vmc.metrics.statistics import Interval, intervals_of_runs
from vmc.reporting.catalog import METHOD, arm_name, arm_order
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.tables import NOTHING, interval_fields, rounded, shown, to_csv, with_interval
from vmc.utils.tables import TextTable

KNOWN = Measure("known_accuracy", "Known gestures, %", how="share", digits=1)
LOST = Measure("forgotten", "Less than the base model, points", digits=1, better="lower")
FROM_METHOD = Measure("known_from_method", "From the method, points", digits=1)
MEASURES = (KNOWN, LOST, FROM_METHOD)
NOTES = (
    "Videos of gestures that the base model knows, asked for in natural language: the share that the classifier puts in"
    " their class, by each run's newest weights that were asked. Intervals are of 95 %.",
    "Less than the base model: of the same prompts and seeds, in percentage points; below zero, more.",
    "From the method: video by video, over the motions and training seeds that an arm and the method both have; * marks"
    " an interval that leaves zero out, as one in twenty does by chance. A single run in common has no interval.",
)


def forgetting_table(runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """A row an arm of which known gestures were asked after training, and its CSV; nothing where there is none."""
    base = next((_values(run.known[0]) for run in runs if 0 in run.known), None)
    arms: dict[str, list[tuple[FoundRun, int, Run]]] = {}
    for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place)):
        if run.trains and (step := max(run.known, default=0)):
            values = _less(_values(run.known[step]), base)
            one = Run(motion=run.motion, seed=run.seed, values=values, measures=MEASURES)
            arms.setdefault(run.arm, []).append((run, step, one))
    if not arms:
        return []
    rows, records = [], list[dict[str, Any]]()
    if base is not None:
        known = intervals_of_runs([Run(motion="", seed=0, values=base, measures=MEASURES)])
        rows.append(["Untuned model", NOTHING, "0", with_interval(known[KNOWN.name], KNOWN), NOTHING, NOTHING])
        records.append({"arm": "base", "runs": 0, "step": 0} | interval_fields(MEASURES, known))
    method = {run.place: values for run, _, values in arms.get(METHOD, [])}
    for arm, found in arms.items():
        intervals = intervals_of_runs([values for *_, values in found])
        if arm != METHOD and (pairs := [_from(one, method[run.place]) for run, _, one in found if run.place in method]):
            intervals |= {FROM_METHOD.name: _of_several(pairs)}
        mean_step = sum(step for _, step, _ in found) / len(found)
        cells = [with_interval(intervals.get(one.name), one) for one in (KNOWN, LOST)]
        apart = _marked(intervals.get(FROM_METHOD.name))
        rows.append([arm_name(arm), str(len(found)), rounded(mean_step, 0), *cells, apart])
        records.append({"arm": arm, "runs": len(found), "step": mean_step} | interval_fields(MEASURES, intervals))
    text = TextTable(
        name="forgetting",
        title="Forgetting: known gestures after another motion was learned",
        header=["Arm", "Runs", "Step", *(one.title for one in MEASURES)],
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
    lost = 100 * (both[f"{KNOWN.name}_base"] - both[KNOWN.name])
    return values if len(both) < len(values) else both[values.columns].assign(**{LOST.name: lost})


def _from(one: Run, method: Run) -> Run:
    """How many points more of each video are right than of the method's of the same motion and training seed."""
    both = one.values.merge(method.values, on=KEYS, suffixes=("", "_method"))
    apart = 100 * (both[KNOWN.name] - both[f"{KNOWN.name}_method"])
    return replace(one, values=both[KEYS].assign(**{FROM_METHOD.name: apart}))


def _of_several(pairs: Sequence[Run]) -> Interval:
    """The mean with its interval; of a single pair, which cannot tell, without."""
    found = intervals_of_runs(pairs)[FROM_METHOD.name]
    return found if len(pairs) > 1 else Interval(found.value, math.nan, math.nan, found.speaks_of)


def _marked(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    if math.isnan(interval.low):
        return shown(interval.value, FROM_METHOD, signed=True)
    return with_interval(interval, FROM_METHOD) + "*" * (interval.low > 0 or interval.high < 0)


def _of_other_seeds(arms: Mapping[str, Sequence[tuple[FoundRun, int, Run]]]) -> list[str]:
    """A sentence on each arm that has not the method's motions and training seeds."""
    places = {arm: {run.place for run, *_ in found} for arm, found in arms.items()}
    return [
        f"{arm_name(arm)} and the method have {len(mine & places[METHOD])} motions and training seeds in common, of"
        f" {len(mine)} and {len(places[METHOD])}; only these are compared."
        for arm, mine in places.items()
        if METHOD in places and mine != places[METHOD]
    ]
