"""The paper's tables with what was measured, each as texts that people read and as a CSV for machines."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import LEVEL, Difference
from vmc.reporting.comparisons import Comparison, compare_arms
from vmc.reporting.formatting import (
    DIFFERENCE,
    INTERVAL,
    NOTHING,
    fields_of,
    format_difference,
    format_interval,
    format_number,
    format_value,
    to_csv,
)
from vmc.reporting.results import NOT_MEASURED, NOT_RUN, Result, all_measures
from vmc.reporting.table_arms import (
    APPEARANCE,
    CEILING,
    CONTROLS,
    NOT_REACHED,
    Layout,
    Line,
    PaperValue,
    paper_values,
)
from vmc.utils.tables import TextTable

SECOND_HAND, PART_OF_SET = "†", "§"
MEANINGS = {NOT_REACHED: "threshold not reached, at the last evaluation", PART_OF_SET: "a part of the test set"}
"""Of the marks, in the few words that a terminal has room for."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: its result, its comparison with the method, and by metric the paper's values."""

    line: Line
    result: Result
    comparison: Comparison | None = None
    paper: Mapping[str, PaperValue]

    @property
    def differences(self) -> Mapping[str, Difference]:
        """The differences from the method, by metric."""
        return self.comparison.differences if self.comparison else {}


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of the paper with what was measured."""

    layout: Layout
    measures: Sequence[Measure]  # its columns
    threshold: float | None  # the appearance at which arms are compared
    rows: Sequence[Row]  # every arm that it lists, those without a run too, then the controls

    @property
    def arms(self) -> list[Row]:
        """A row of each arm and control: the method stands in every part of Table 2."""
        return list({row.line.arm: row for row in self.rows}.values())


def result_table(
    layout: Layout, results: Mapping[str, Result], controls: Sequence[Result], *, threshold: float | None
) -> ResultTable:
    """Fill a table with the results that there are."""
    measures = [measure for measure in all_measures([*results.values(), *controls]) if layout.name in measure.tables]
    metrics = [measure.name for measure in measures]
    arms = [line.arm for line in layout.lines]
    found = compare_arms(results, arms=arms, metrics=metrics, threshold=threshold)
    lines = [(line, results.get(line.arm) or Result(arm=line.arm, status=NOT_RUN)) for line in layout.lines]
    lines += [(Line("", one.arm, one.name), one) for one in controls if one.arm in layout.controls]
    values, rows = paper_values(), []
    for line, result in lines:
        paper = {name: values[key] for name in metrics if (key := (layout.name, line.arm, name)) in values}
        rows.append(Row(line=line, result=result, comparison=found.get(line.arm), paper=paper))
    return ResultTable(layout=layout, measures=measures, threshold=threshold, rows=rows)


def paper_table(table: ResultTable) -> tuple[TextTable, str]:
    """Make the table with its notes, and its CSV: a row for each arm, in every part that it is in."""
    measures, parts = table.measures, table.layout.parts
    header = ["Part"] * bool(parts) + ["Arm", "Runs"]
    for measure in measures:
        header += [measure.title, "from the method"]
    header += ["Compared at", APPEARANCE.title, "Step"]
    header += [f"Paper: {measure.title[0].lower()}{measure.title[1:]}" for measure in measures]
    groups = [(row.line.part, row.line.arm in CONTROLS) for row in table.rows]
    rules = frozenset(place for place, group in enumerate(groups) if group not in groups[:place])
    titles = [f"{part}. {parts[part]}" * (place in rules) if part else "" for place, (part, _) in enumerate(groups)]
    text = TextTable(
        name=table.layout.name,
        title=table.layout.title,
        header=header,
        rows=[[title] * bool(parts) + _cells(row, measures) for title, row in zip(titles, table.rows, strict=True)],
        rules=rules,
        notes=list(_notes(table)),
        left=frozenset({0, 1} if parts else {0}),
    )
    return text, to_csv([_record(row, measures) for row in table.rows])


def _cells(row: Row, measures: Sequence[Measure]) -> list[str]:
    """Return the cells of a row without its part."""
    result, paper = row.result, [row.paper.get(measure.name) for measure in measures]
    total = len(result.runs) + len(result.left_out)
    runs = f"{len(result.runs)} of {total}" if result.left_out else str(total or NOTHING)
    status = row.comparison.status if row.comparison else ""
    tests = [status or format_difference(row.differences.get(measure.name), measure) for measure in measures]
    at = format_number(row.comparison.at, APPEARANCE.digits) if row.comparison else NOTHING
    numbers = [text for both in zip(value_cells(result, measures), tests, strict=True) for text in both]
    shares = [(one.text + SECOND_HAND * (one.standing == "second-hand") if one else "") or NOTHING for one in paper]
    label = " ".join([row.line.label, *_marks(result)])
    return [label, runs, *numbers, at, _appearance(result), format_number(result.step, 0), *shares]


def _record(row: Row, measures: Sequence[Measure]) -> dict[str, Any]:
    result, appearance = row.result, row.result.intervals.get(APPEARANCE.name)
    record: dict[str, Any] = {
        "part": row.line.part,
        "arm": row.line.arm,
        "label": row.line.label,
        "status": result.status,
        "runs": len(result.runs),
        "left_out": "; ".join(_left_out(result)),
        "videos": result.videos,
        "reached": result.reached,
        "step": result.step,
        "appearance": appearance.value if appearance else None,
    }
    one = row.comparison
    compared = (one.at, one.status or f"{one.pairs} pairs of runs", one.at_threshold) if one else (None,) * 3
    record |= dict(zip(("compared_at", "compared", "compared_at_threshold"), compared, strict=True))
    for name in (measure.name for measure in measures):
        paper = row.paper.get(name)
        record |= fields_of(name, INTERVAL, result.intervals.get(name))
        record |= fields_of(name, DIFFERENCE, row.differences.get(name))
        record |= {f"{name}_paper": paper and paper.value, f"{name}_paper_standing": paper and paper.standing}
    return record


def compact_table(table: ResultTable) -> TextTable:
    """Make a table for the terminal: arms with their metrics alone, without those that have no run."""
    results = [row.result for row in table.arms if row.result.status not in (NOT_RUN, NOT_MEASURED)]
    rows = [
        [" ".join([one.name, *_marks(one)]), *value_cells(one, table.measures), _appearance(one)] for one in results
    ]
    said = "; ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in "".join(map(_marks, results)))
    title = f"{table.layout.title} ({said})" if said else table.layout.title
    header = ["", *(measure.title for measure in table.measures), APPEARANCE.title]
    return TextTable(name=table.layout.name, title=title, header=header, rows=rows)


def value_cells(result: Result, measures: Sequence[Measure]) -> list[str]:
    """Format a result's metrics; its status takes the place of the first where no run counts."""
    cells = [format_interval(result.intervals.get(measure.name), measure) for measure in measures]
    return [result.status, *cells[1:]] if result.status and cells else cells


def _marks(result: Result) -> str:
    return NOT_REACHED * (result.reached is False) + PART_OF_SET * (result.videos < result.of)


def _appearance(result: Result) -> str:
    interval = result.intervals.get(APPEARANCE.name)
    return NOTHING if interval is None else format_value(interval.value, APPEARANCE)


def _left_out(result: Result) -> list[str]:
    return [f"{run.label}: {reason}" for run, reason in result.left_out]


# --- what is said below them -----------------------------------------------------------------------------------------


def _notes(table: ResultTable) -> Iterator[str]:
    results = [row.result for row in table.arms]
    if table.threshold is None:
        yield (
            "No run has a stop.appearance: each row stands at its runs' last evaluation, at differing appearance, and"
            " is compared with the method at the higher of the lowest appearance scores of both."
        )
    else:
        yield (
            "Every metric is interpolated linearly to where a falling fit of appearance over all evaluations meets"
            f" stop.appearance = {format_number(table.threshold, 4)}; each row says at which appearance it stands."
            " Intervals hold how sure that crossing is."
        )
    yield from _about_intervals(results, table.measures)
    yield from _about_differences(table)
    yield from _about_marks(table)
    for result in results:
        if result.arm == CEILING and result.videos:
            several = " of the motion with the fewest" if len(result.runs) > 1 else ""
            yield f"{result.name}: {result.videos} clips{several}."
    for result in results:
        if result.left_out:
            yield f"{result.name}, left out: {'; '.join(_left_out(result))}."
    yield table.layout.paper
    for row in table.arms:
        for value in row.paper.values():
            if value.says:
                yield f"The paper's text on {row.result.name}: {value.says}."


def _about_intervals(results: Sequence[Result], measures: Sequence[Measure]) -> Iterator[str]:
    """Say what the intervals speak of, results with the same scope together."""
    said: dict[str, list[str]] = {}
    for result in results:
        known = {m.short: result.intervals[m.name].speaks_of for m in measures if m.name in result.intervals}
        for label in dict.fromkeys(known.values()):
            of = [short for short, other in known.items() if other == label]
            suffix = "" if len(of) == len(known) else f" ({', '.join(of)})"
            said.setdefault(label, []).append(result.name + suffix)
    if len(said) == 1:
        yield f"Intervals are of 95 % and speak of {next(iter(said))}."
    elif said:
        each = "; ".join(f"of {label}: {', '.join(names)}" for label, names in said.items())
        yield f"Intervals are of 95 % and speak {each}."


def _about_differences(table: ResultTable) -> Iterator[str]:
    compared = {row.result.name: row.comparison for row in table.arms if row.comparison}
    tested = {
        name: [not math.isnan(d.p) for d in one.differences.values() if not math.isnan(d.value)]
        for name, one in compared.items()
    }
    if any(one.pairs for one in compared.values()):
        yield (
            "From the method: at equal appearance, runs of one motion and training seed in pairs, each pair at the"
            " threshold where both reach it, else at the higher of the lowest scores of both, on the videos that both"
            " have. Compared at: the mean of these scores."
        )
    higher = {name: one for name, one in compared.items() if one.at_threshold < one.pairs}
    above = [f"{name} ({one.pairs - one.at_threshold} of {one.pairs} pairs)" for name, one in higher.items()]
    if above and table.threshold is not None:
        yield f"Compared above the threshold, as one of the two does not reach it: {', '.join(above)}."
    if count := sum(map(sum, tested.values())):
        yield (
            f"Intervals of differences are not corrected; p is, by Holm's method, for the {count} comparisons of this"
            f" table; * marks p < {LEVEL}."
        )
    if untested := [name for name, each in tested.items() if each and not all(each)]:
        yield (
            "Not tested, because a single motion and training seed in common with the method cannot tell:"
            f" {', '.join(untested)}."
        )
    for name, one in ((name, one) for name, one in compared.items() if one.left_out):
        each = "; ".join(f"{label}: {reason}" for label, reason in one.left_out)
        yield f"{name}, not compared with the method: {each}."


def _about_marks(table: ResultTable) -> Iterator[str]:
    results = [row.result for row in table.arms]
    if behind := [result.name for result in results if result.reached is False]:
        yield (
            f"{NOT_REACHED} did not reach the threshold within its steps and stands at its last evaluation:"
            f" {', '.join(behind)}."
        )
    if small := [f"{one.name} ({one.videos} of {one.of})" for one in results if one.videos < one.of]:
        yield (
            f"{PART_OF_SET} rests on a part of the test set, as no more was evaluated there: {', '.join(small)};"
            " python -m vmc.evaluate run=DIR step=N completes an evaluation."
        )
    if any(value.text and value.standing == "second-hand" for row in table.rows for value in row.paper.values()):
        yield f"{SECOND_HAND} second-hand: from a digest of the paper, not read in the paper itself."
