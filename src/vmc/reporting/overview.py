"""Tables for machines, and tables that the paper does not have: all metrics, and how each run ended."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import Interval
from vmc.reporting.catalogue import APPEARANCE, CONTROLS, NOT_REACHED, arm_name, arm_order
from vmc.reporting.compare import ResultTable, Row
from vmc.reporting.loaded import DAMAGED, FoundRun
from vmc.reporting.matched import ArmResult, ControlResult, all_measures
from vmc.reporting.tables import NOTHING, plain, rounded, with_interval
from vmc.utils.tables import TextTable

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a formula begins."""


def result_csv(table: ResultTable) -> str:
    """A row an arm, in every part that it stands in."""
    return to_csv([_record(row, table.measures) for row in table.rows])


def to_csv(records: Sequence[Mapping[str, str]]) -> str:
    """Records of equal keys as text, lines ending in a plain line feed.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay numbers.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _harmless(text) for key, text in record.items()} for record in records)
    return stream.getvalue()


def _harmless(text: str) -> str:
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def interval_columns(name: str, interval: Interval | None) -> dict[str, str]:
    """Value, both ends and what they speak of."""
    if interval is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high", f"{name}_speaks_of"), "")
    return {
        name: plain(interval.value),
        f"{name}_low": plain(interval.low),
        f"{name}_high": plain(interval.high),
        f"{name}_speaks_of": interval.speaks_of,
    }


def _record(row: Row, measures: Sequence[Measure]) -> dict[str, str]:
    appearance = row.intervals.get(APPEARANCE.name)
    record = {
        "part": row.listed.part,
        "arm": row.listed.arm,
        "label": row.listed.label,
        "status": row.status,
        "runs": str(row.runs),
        "left_out": "; ".join(row.left_out),
        "videos": str(row.videos),
        "reached": {True: "True", False: "False", None: ""}[row.reached],
        "step": plain(row.step),
        "appearance": plain(appearance.value if appearance else None),
    }
    for measure in measures:
        record |= _columns(row, measure.name)
    return record


def _columns(row: Row, name: str) -> dict[str, str]:
    tested, paper = row.tested.get(name), row.paper.get(name)
    return {
        **interval_columns(name, row.intervals.get(name)),
        f"{name}_difference": plain(row.differences.get(name)),
        f"{name}_difference_low": plain(tested.low if tested else None),
        f"{name}_difference_high": plain(tested.high if tested else None),
        f"{name}_p": plain(tested.p if tested else None),
        f"{name}_p_corrected": plain(tested.p_corrected if tested else None),
        f"{name}_paper": plain(paper.value if paper else None),
        f"{name}_paper_standing": paper.standing if paper else "",
    }


METRICS, RUNS = "metrics", "runs"


def metrics_table(results: Mapping[str, ArmResult], controls: Sequence[ControlResult]) -> TextTable:
    """Arms as rows, every metric that one of them has as a column."""
    known = [results[arm] for arm in sorted(results, key=arm_order)]
    measured = {name for one in known for name in one.intervals} | {name for one in controls for name in one.intervals}
    have = [measure for measure in all_measures(results, controls) if measure.name in measured]
    behind = [result.arm for result in known if any(result.behind(stand) for stand in result.stands)]
    lines = [
        (
            f"{arm_name(result.arm)} {NOT_REACHED}" if result.arm in behind else arm_name(result.arm),
            result.status,
            len(result.stands),
            result.step,
            result.intervals,
        )
        for result in known
    ]
    lines += [
        (CONTROLS[one.kind], "", len(one.controls), float("nan"), one.intervals) for one in controls if one.controls
    ]
    rows = []
    for name, status, runs, step, intervals in lines:
        cells = [with_interval(intervals[m.name], m) if m.name in intervals else NOTHING for m in have]
        if status and cells:
            cells[0] = status
        spoken = intervals[have[0].name].speaks_of if have and have[0].name in intervals else NOTHING
        rows.append([name, str(runs) if runs else NOTHING, rounded(step, 0), *cells, spoken])
    left = frozenset({0, 3 + len(have)})
    header = ["Arm", "Runs", "Step", *(measure.title for measure in have), "Intervals speak of"]
    notes = [f"{NOT_REACHED} did not reach the threshold within its steps and stands at its last evaluation."]
    return TextTable(
        name=METRICS,
        title="Every metric at the matched appearance",
        header=header,
        rows=rows,
        left=left,
        notes=notes if behind else [],
    )


def metrics_csv(results: Mapping[str, ArmResult], controls: Sequence[ControlResult]) -> str:
    """The same for machines."""
    records, measures = [], all_measures(results, controls)
    for arm in sorted(results, key=arm_order):
        result = results[arm]
        reached = str(result.reached) if result.matched and result.stands else ""
        records.append(
            {"arm": arm, "status": result.status, "runs": str(len(result.stands)), "reached": reached}
            | {"step": plain(result.step)}
            | {
                key: text
                for m in measures
                for key, text in interval_columns(m.name, result.intervals.get(m.name)).items()
            }
        )
    for one in controls:
        records.append(
            {"arm": one.kind, "status": "" if one.controls else "not measured", "runs": str(len(one.controls))}
            | {"reached": "", "step": ""}
            | {key: text for m in measures for key, text in interval_columns(m.name, one.intervals.get(m.name)).items()}
        )
    return to_csv(records)


def runs_table(
    runs: Sequence[FoundRun], results: Mapping[str, ArmResult], lost: Sequence[tuple[Path, str]] = ()
) -> TextTable:
    """Every run: how it ended, and where it stands; then folders of which nothing is known, with what is wrong."""
    rows = []
    for run in _ordered(runs):
        evaluated = ", ".join(str(number) for number in run.evaluations) or NOTHING
        step, remark = _standing(run, results)
        state = DAMAGED if run.damaged else run.progress
        cells = [run.arm, run.motion, str(run.seed), state, evaluated, rounded(step, 0), remark or NOTHING]
        rows.append(cells)
    rows += [[NOTHING] * 3 + [DAMAGED] + [NOTHING] * 2 + [reason] for _, reason in lost]
    header = ["Arm", "Motion", "Seed", "State", "Evaluated at", "Stands at step", "Remark"]
    return TextTable(name=RUNS, title="Runs", header=header, rows=rows, left=frozenset({0, 1, 3, 6}))


def runs_csv(runs: Sequence[FoundRun], results: Mapping[str, ArmResult], lost: Sequence[tuple[Path, str]] = ()) -> str:
    """The same for machines."""
    records = []
    for run in _ordered(runs):
        step, remark = _standing(run, results)
        records.append(
            {
                "arm": run.arm,
                "motion": run.motion,
                "seed": str(run.seed),
                "status": str(run.state.get("status", "")),
                "reason": str(run.state.get("reason") or ""),
                "step": "" if run.damaged else str(run.step),
                "steps": str(run.config["steps"]),
                "evaluated": " ".join(str(number) for number in run.evaluations),
                "stands_at_step": plain(step),
                "remark": remark,
                "folder": str(run.path),
            }
        )
    for folder, reason in lost:
        known = {"status": DAMAGED, "reason": reason, "folder": str(folder)}
        records.append(dict.fromkeys(records[0] if records else known, "") | known)
    return to_csv(records)


def _ordered(runs: Sequence[FoundRun]) -> list[FoundRun]:
    return sorted(runs, key=lambda run: (arm_order(run.arm), run.place, str(run.path)))


def _standing(run: FoundRun, results: Mapping[str, ArmResult]) -> tuple[float, str]:
    """The step at which a run stands in the tables, NaN where it does not count; and what is to be said of it."""
    if run.damaged:
        return math.nan, run.damaged
    if not run.trains:
        return math.nan, "the untuned model"
    result = results[run.arm]
    for stand in result.stands:
        if stand.run is run:
            return stand.crossing.step, "did not reach the threshold" if result.behind(stand) else ""
    reason = next((reason for other, reason in result.left_out if other is run), None)
    if reason is None:
        return math.nan, "for Figure 7"
    return math.nan, reason if run.finished else "left out"
