"""Motion by motion: what an arm reaches, what the base model knows of the motion's relatives, what was looked at.

`motions.csv` names the relatives, known gestures that share path or hand with the target (their classes, a semicolon
between two), and the motions that settings were chosen on.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vmc.metrics.statistics import intervals_of_runs
from vmc.reporting.catalog import APPEARANCE, TABLE2, arm_order
from vmc.reporting.loaded import FoundRun
from vmc.reporting.matched import Result, all_measures
from vmc.reporting.tables import NOTHING, interval_fields, rounded, to_csv, with_interval
from vmc.utils.tables import TextTable

FILE = Path(__file__).with_name("motions.csv")
ACCURACY = "motion_accuracy"
NOTES = (
    "Intervals are of 95 %; those of several training seeds speak of other seeds and subjects, of one motion.",
    "The base model knows: the share of a relative's videos that it draws right. A relative is a gesture that"
    " it has seen and that shares path or hand with the motion, which it has not seen.",
)


class MotionNote(NamedTuple):
    """What is to be known of a motion beside an arm's numbers."""

    relatives: tuple[str, ...] = ()  # classes of known gestures that share path or hand with it
    looked_at: str = ""  # what was chosen on it, in words; empty where nothing was


@cache
def motion_notes(stack: str) -> dict[str, MotionNote]:
    """Those of a stack's motions, by name."""
    with FILE.open(newline="", encoding="utf-8") as stream:
        return {
            row["motion"]: MotionNote(tuple(filter(None, row["relatives"].split(";"))), row["looked_at"])
            for row in csv.DictReader(stream)
            if row["stack"] == stack
        }


def base_knowledge(runs: Sequence[FoundRun]) -> dict[str, float]:
    """The share of each known gesture's videos that the base model draws right, by class; empty if nobody measured it.

    `python -m vmc.evaluate run=DIR step=0 ask=known` measures it for all runs of one base model.
    """
    known = next((run.known[0] for run in runs if run.known.get(0)), {})
    return {gesture: scored.value(ACCURACY) for gesture, scored in known.items()}


def known_relatives(note: MotionNote, knowledge: Mapping[str, float]) -> str:
    """`Swiping Up 100 %, Swiping Left 90 %`; "none" where it has none, a dash where it was not measured."""
    if not note.relatives:
        return "none"
    known = [f"{name} {100 * knowledge[name]:.0f} %" for name in note.relatives if name in knowledge]
    return ", ".join(known) or NOTHING


def motions_table(results: Mapping[str, Result], runs: Sequence[FoundRun]) -> list[tuple[TextTable, str]]:
    """A row an arm and motion at the matched appearance, and its CSV; nothing where no arm has several motions."""
    order = sorted(results, key=arm_order)
    names = list(dict.fromkeys(run.motion for arm in order for run in results[arm].runs))
    if len(names) < 2:
        return []
    notes, knowledge = motion_notes(str(runs[0].config.get("stack_name"))), base_knowledge(runs)
    measures = [one for one in all_measures(results.values()) if TABLE2.name in one.tables or one == APPEARANCE]
    rows, records = [], []
    for motion in names:
        note = notes.get(motion, MotionNote())
        about = [known_relatives(note, knowledge) if motion in notes else NOTHING, "yes" if note.looked_at else "no"]
        for arm in order:
            if not (chosen := [run for run in results[arm].runs if run.motion == motion]):
                continue
            intervals = intervals_of_runs(chosen)
            steps = [one.crossing.step for one in results[arm].matched if one.run.motion == motion]
            step = sum(steps) / len(steps)
            cells = [with_interval(intervals.get(one.name), one) for one in measures]
            rows.append([motion, results[arm].name, str(len(chosen)), *cells, rounded(step, 0), *about])
            record = {"motion": motion, "arm": arm, "runs": len(chosen), "step": step}
            about_fields = {"relatives_known": about[0], "looked_at_before": note.looked_at}
            records.append(record | interval_fields(measures, intervals) | about_fields)
    titles = [measure.title for measure in measures]
    header = ["Motion", "Arm", "Runs", *titles, "Step", "The base model knows", "Looked at before"]
    words = {name: notes[name].looked_at for name in names if name in notes}
    text = TextTable(
        name="motions",
        title="Motion by motion",
        header=header,
        rows=rows,
        rules=frozenset(place for place in range(1, len(rows)) if rows[place][0] != rows[place - 1][0]),
        notes=[*NOTES, *(f"{name}, looked at before: {said}." for name, said in words.items() if said)],
        left=frozenset({0, 1, len(header) - 2, len(header) - 1}),
    )
    return [(text, to_csv(records))]
