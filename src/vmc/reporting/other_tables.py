"""Tables that the paper does not have: every metric, every run, motion by motion, known gestures, prompt suites."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from vmc.metrics.columns import Measure, united
from vmc.metrics.scores import KEYS, SUITE, values_of_run
from vmc.metrics.statistics import Interval, Run, intervals_of, intervals_of_runs, intervals_of_values
from vmc.reporting.formatting import NOTHING, format_interval, format_number, format_value, interval_fields, to_csv
from vmc.reporting.loaded_runs import DAMAGED, FoundRun, Scored
from vmc.reporting.results import Result, all_measures, resample_matched
from vmc.reporting.table_arms import (
    APPEARANCE,
    CONTROLS,
    METHOD,
    NOT_REACHED,
    TABLE2,
    arm_name,
    arm_order,
    read_rows,
)
from vmc.reporting.tables import value_cells
from vmc.utils.errors import VmcError
from vmc.utils.tables import TextTable

log = logging.getLogger(__name__)


def metrics_table(results: Mapping[str, Result], controls: Sequence[Result]) -> tuple[TextTable, str]:
    """Make the table of arms and controls with every metric that one of them has; and its CSV."""
    every = [*results.values(), *controls]
    measures = all_measures(every)
    have = [measure for measure in measures if any(measure.name in one.intervals for one in every)]
    rows, records, differ = [], [], False
    for one in every:
        record = {"arm": one.arm, "status": one.status, "runs": len(one.runs), "reached": one.reached, "step": one.step}
        records.append(record | interval_fields(measures, one.intervals))
        if one.runs or one.arm not in CONTROLS:
            scopes = [one.intervals[measure.name].speaks_of for measure in have if measure.name in one.intervals]
            differ = differ or len(set(scopes)) > 1
            most = max(scopes, key=scopes.count, default=NOTHING)
            numbers = [str(len(one.runs) or NOTHING), format_number(one.step, 0), *value_cells(one, have)]
            rows.append([one.marked_name, *numbers, most])
    behind = f"{NOT_REACHED} did not reach the threshold within its steps and stands at its last evaluation."
    scope = "Intervals speak of: where metrics of a row differ, the scope of most of them; metrics.csv has each's."
    text = TextTable(
        name="metrics",
        title="Every metric at the matched appearance",
        header=["Arm", "Runs", "Step", *(measure.title for measure in have), "Intervals speak of"],
        rows=rows,
        left=frozenset({0, 3 + len(have)}),
        notes=[behind] * any(one.reached is False for one in every) + [scope] * differ,
    )
    return text, to_csv(records)


def runs_table(
    runs: Iterable[FoundRun], results: Mapping[str, Result], lost: Sequence[tuple[Path, str]]
) -> tuple[TextTable, str]:
    """Make the table of runs: how each ended and where it is compared; then folders that cannot be read."""
    # The step at which a run stands in the tables, NaN where it does not count; and what is to be said of it.
    stands: dict[FoundRun, tuple[float, str]] = {}
    for one in results.values():
        stands |= {m.run: (m.crossing.step, "did not reach the threshold" * m.behind) for m in one.matched}
        stands |= {run: (math.nan, reason if run.finished else "left out") for run, reason in one.left_out}
    rows, records = [], list[dict[str, Any]]()
    for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place, str(run.path))):
        step, remark = stands.get(run, (math.nan, "for Figure 7" if run.trains else "the untuned model"))
        step, remark = (math.nan, run.damaged) if run.damaged else (step, remark)
        evaluated = ", ".join(map(str, run.evaluations)) or NOTHING
        state = DAMAGED if run.damaged else run.progress
        rows.append([run.arm, run.motion, str(run.seed), state, evaluated, format_number(step, 0), remark or NOTHING])
        records.append(
            {
                **{"arm": run.arm, "motion": run.motion, "seed": run.seed, "status": run.state.get("status", "")},
                **{"reason": run.state.get("reason") or "", "step": None if run.damaged else run.step},
                **{"steps": str(run.config["steps"]), "evaluated": " ".join(map(str, run.evaluations))},
                **{"stands_at_step": step, "remark": remark, "folder": run.path},
            }
        )
    for folder, reason in lost:
        rows.append([NOTHING] * 3 + [DAMAGED] + [NOTHING] * 2 + [reason])
        known = {"status": DAMAGED, "reason": reason, "folder": folder}
        records.append(dict.fromkeys(records[0] if records else known, "") | known)
    header = ["Arm", "Motion", "Seed", "State", "Evaluated at", "Stands at step", "Remark"]
    return TextTable(name="runs", title="Runs", header=header, rows=rows, left=frozenset({0, 1, 3, 6})), to_csv(records)


# --- motion by motion ------------------------------------------------------------------------------------------------

ACCURACY = "motion_accuracy"
MOTION_NOTES = (
    "Intervals are of 95 %; those of several training seeds speak of other seeds and subjects, of one motion.",
    "The base model knows: the share of a relative's videos that it draws right. A relative is a gesture that"
    " it has seen and that shares path or hand with the motion, which it has not seen.",
)


class MotionNote(NamedTuple):
    """What should be known of a motion beside an arm's numbers."""

    relatives: tuple[str, ...] = ()  # classes of known gestures that share path or hand with it
    looked_at: str = ""  # what was chosen on it, in words; empty where nothing was


@cache
def motion_notes(stack: str) -> dict[str, MotionNote]:
    """Read the notes on a stack's motions from `motions.csv`, by name."""
    return {
        row["motion"]: MotionNote(tuple(filter(None, row["relatives"].split(";"))), row["looked_at"])
        for row in read_rows("motions.csv")
        if row["stack"] == stack
    }


def base_knowledge(runs: Sequence[FoundRun]) -> dict[str, float]:
    """Return the share of each known gesture's videos that the base model draws right, by class; empty if not measured.

    `python -m vmc.evaluate run=DIR step=0 ask=known` measures it for all runs of one base model.
    """
    known = next((run.known[0] for run in runs if run.known.get(0)), {})
    return {gesture: scored.value(ACCURACY) for gesture, scored in known.items()}


def known_relatives(note: MotionNote, knowledge: Mapping[str, float]) -> str:
    """Format `Swiping Up 100 %, Swiping Left 90 %`; "none" where it has none, a dash where it was not measured."""
    known = [f"{name} {100 * knowledge[name]:.0f} %" for name in note.relatives if name in knowledge]
    return ", ".join(known) or (NOTHING if note.relatives else "none")


def motions_table(results: Mapping[str, Result], runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """Make the table of arms by motion at the matched appearance, and its CSV; nothing where there is one motion."""
    names = list(dict.fromkeys(run.motion for result in results.values() for run in result.runs))
    if len(names) < 2:
        return []
    notes, knowledge = motion_notes(str(runs[0].config.get("stack_name"))), base_knowledge(runs)
    measures = [one for one in all_measures(results.values()) if TABLE2.name in one.tables or one == APPEARANCE]
    rows, records, rules = list[list[str]](), list[dict[str, Any]](), set[int]()
    for motion in names:
        rules.add(len(rows))
        note = notes.get(motion, MotionNote())
        relatives = known_relatives(note, knowledge) if motion in notes else NOTHING
        for arm, result in results.items():
            if not (chosen := [one for one in result.matched if one.run.motion == motion]):
                continue
            intervals = intervals_of(resample_matched(chosen))
            step = sum(one.crossing.step for one in chosen) / len(chosen)
            cells = [
                *(format_interval(intervals.get(one.name), one) for one in measures),
                format_number(step, 0),
                relatives,
            ]
            rows.append([motion, result.name, str(len(chosen)), *cells, "yes" if note.looked_at else "no"])
            record = {"motion": motion, "arm": arm, "runs": len(chosen), "step": step}
            record |= interval_fields(measures, intervals)
            records.append(record | {"relatives_known": relatives, "looked_at_before": note.looked_at})
    titles = [measure.title for measure in measures]
    header = ["Motion", "Arm", "Runs", *titles, "Step", "The base model knows", "Looked at before"]
    looked_at = {name: notes[name].looked_at for name in names if name in notes}
    text = TextTable(
        name="motions",
        title="Motion by motion",
        header=header,
        rows=rows,
        rules=frozenset(rules - {0}),
        notes=[*MOTION_NOTES, *(f"{name}, looked at before: {said}." for name, said in looked_at.items() if said)],
        left=frozenset({0, 1, len(header) - 2, len(header) - 1}),
    )
    return [(text, to_csv(records))]


# --- known gestures after another motion was learned: what regularization is for (paper, Eq. 3) ----------------------

KNOWN = Measure("known_accuracy", "Known gestures, %", how="share", digits=1)
LOST = Measure("forgotten", "Less than the base model, points", digits=1, better="lower")
FROM_METHOD = Measure("known_from_method", "From the method, points", digits=1)
FORGETTING = (KNOWN, LOST, FROM_METHOD)
FORGETTING_NOTES = (
    "Videos of gestures that the base model knows, asked for in natural language: the share that the classifier puts in"
    " their class, by each run's newest weights that were asked. Intervals are of 95 %.",
    "Less than the base model: of the same prompts and seeds, in percentage points; below zero, more.",
    "From the method: video by video, over the motions and training seeds that an arm and the method both have; * marks"
    " an interval that leaves zero out, as one in twenty does by chance. A single run in common has no interval.",
)


def forgetting_table(runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """Make the table of arms that were asked for known gestures after training, and its CSV; nothing where none was."""
    untuned = (_known_values(run.known[0]) for run in runs if 0 in run.known)
    base = next((values for values in untuned if values is not None), None)
    arms: dict[str, list[tuple[int, Run]]] = {}  # the step of each run that was asked, and its values
    for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place)):
        if run.trains and (step := max(run.known, default=0)):
            if (values := _known_values(run.known[step])) is None:
                continue
            if base is not None and len(lost := _apart(base, values, LOST)) == len(values):
                values = values.merge(lost, on=KEYS)
            asked = Run(motion=run.motion, seed=run.seed, values=values, measures=FORGETTING)
            arms.setdefault(run.arm, []).append((step, asked))
    if not arms:
        return []
    rows, records = [], list[dict[str, Any]]()
    if base is not None:
        known = intervals_of_runs([Run(motion="", seed=0, values=base, measures=FORGETTING)])
        rows.append(["Untuned model", NOTHING, "0", format_interval(known[KNOWN.name], KNOWN), NOTHING, NOTHING])
        records.append({"arm": "base", "runs": 0, "step": 0} | interval_fields(FORGETTING, known))
    method, notes = {(one.motion, one.seed): one.values for _, one in arms.get(METHOD, [])}, list(FORGETTING_NOTES)
    for arm, found in arms.items():
        asked_runs = [one for _, one in found]
        intervals, places = intervals_of_runs(asked_runs), [(one.motion, one.seed) for one in asked_runs]
        if arm != METHOD and (apart := _from_method(asked_runs, method)) is not None:
            intervals[FROM_METHOD.name] = apart
        mean_step = sum(step for step, _ in found) / len(found)
        cells = [format_interval(intervals.get(one.name), one) for one in (KNOWN, LOST)]
        from_method = _marked(intervals.get(FROM_METHOD.name))
        rows.append([arm_name(arm), str(len(found)), format_number(mean_step, 0), *cells, from_method])
        records.append({"arm": arm, "runs": len(found), "step": mean_step} | interval_fields(FORGETTING, intervals))
        if method and (mine := set(places)) != method.keys():
            notes.append(
                f"{arm_name(arm)} and the method have {len(mine & method.keys())} motions and training seeds in common,"
                f" of {len(mine)} and {len(method)}; only these are compared."
            )
    text = TextTable(
        name="forgetting",
        title="Forgetting: known gestures after another motion was learned",
        header=["Arm", "Runs", "Step", *(one.title for one in FORGETTING)],
        rows=rows,
        notes=notes,
    )
    return [(text, to_csv(records))]


def _from_method(runs: Sequence[Run], method: Mapping[tuple[str, int], pd.DataFrame]) -> Interval | None:
    """Compare runs with the method's of the same motion and training seed; None where there are none."""
    pairs = [
        replace(one, values=_apart(one.values, method[one.motion, one.seed], FROM_METHOD))
        for one in runs
        if (one.motion, one.seed) in method
    ]
    if not pairs:
        return None
    apart = intervals_of_runs(pairs)[FROM_METHOD.name]
    # A single pair cannot tell how sure it is.
    return apart if len(pairs) > 1 else replace(apart, low=math.nan, high=math.nan)


def _known_values(known: Mapping[str, Scored]) -> pd.DataFrame | None:
    """Return a row for each video of all gestures; None, and a line in the log, where scores are damaged."""
    try:
        parts = [scored.values[[*KEYS, ACCURACY]] for scored in known.values()]
    except VmcError as error:
        log.warning("%s; the table of known gestures goes without them", error)
        return None
    return pd.concat(parts, ignore_index=True).rename(columns={ACCURACY: KNOWN.name})


def _apart(one: pd.DataFrame, other: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return how many points more are right in the one than in the other, for each video of both."""
    both = one.merge(other, on=KEYS, suffixes=("", "_other"))
    return both[KEYS].assign(**{measure.name: 100 * (both[KNOWN.name] - both[f"{KNOWN.name}_other"])})


def _marked(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    if math.isnan(interval.low):
        return format_value(interval.value, FROM_METHOD, signed=True)
    return format_interval(interval, FROM_METHOD) + "*" * (interval.low > 0 or interval.high < 0)


# --- prompt suites: what each run's videos show where several things are asked of the motion -------------------------

SUITE_PLACE = ("arm", "motion", "seed", "step", "suite", "videos")
SUITE_NOTE = (
    "Intervals are of 95 %, over the subjects of a suite, and speak of the one model. Share of people, Both people,"
    " Share of two gestures, Both gestures, Span and Tempo are measured in their own suites alone."
)


def _suites(scored: Scored) -> list[tuple[str, pd.DataFrame]]:
    """Return the values of each suite; a VmcError where the scores are damaged."""
    if SUITE not in scored.scores.columns:
        return []
    suites = scored.scores.groupby(SUITE, sort=False)
    return [(str(suite), values_of_run(part, columns=scored.columns)) for suite, part in suites]


def suites_table(runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """Make the table of prompt suites, a row for each of an evaluation, and its CSV; nothing where no run has any."""
    found = list[tuple[list[str], Scored, dict[str, Interval]]]()
    for run in sorted(runs, key=lambda run: (arm_order(run.arm), run.place, str(run.path))):
        for scored in (*run.evaluations.values(), *run.suites):
            # The summary says whether there are any, so that the tables of all other evaluations stay unread.
            if not scored.summary.get("suites"):
                continue
            try:
                suites = _suites(scored)
            except VmcError as error:
                log.warning("%s is left out of the table of suites: %s", scored.folder, error)
                continue
            for suite, part in suites:
                intervals = intervals_of_values(part, measures=scored.measures)
                step = scored.summary["step"]
                place = [run.arm, run.motion, *map(str, (run.seed, step, suite, len(part)))]
                found.append((place, scored, intervals))
    if not found:
        return []
    every = united(*(scored.measures for _, scored, _ in found))
    measures = [one for one in every if any(one.name in intervals for *_, intervals in found)]
    text = TextTable(
        name="suites",
        title="Prompt suites",
        header=[*map(str.capitalize, SUITE_PLACE), *(measure.title for measure in measures)],
        rows=[[*of, *(format_interval(intervals.get(m.name), m) for m in measures)] for of, _, intervals in found],
        left=frozenset({0, 1, 4}),
        notes=[SUITE_NOTE],
    )
    records = [
        dict(zip(SUITE_PLACE, of, strict=True)) | interval_fields(measures, intervals) for of, _, intervals in found
    ]
    return [(text, to_csv(records))]
