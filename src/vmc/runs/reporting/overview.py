"""Tables that the paper does not have: every metric of every arm, and every run with how it ended."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.runs.reporting.catalogue import CONTROLS, NOT_REACHED, arm_name, arm_order
from vmc.runs.reporting.found import DAMAGED, FoundRun
from vmc.runs.reporting.machine import interval_columns, to_csv
from vmc.runs.reporting.numbers import NOTHING, plain, rounded, with_interval
from vmc.runs.reporting.standing import ArmResult, ControlResult, all_measures
from vmc.runs.reporting.text_table import TextTable

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
