"""A table of results in words and numbers that people read."""

import math
from collections.abc import Iterator, Sequence

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import Difference, Interval
from vmc.reporting.catalogue import APPEARANCE, CEILING, CONTROLS, METHOD, NOT_REACHED, arm_name
from vmc.reporting.compare import NOT_MEASURED, ResultTable, Row
from vmc.reporting.matched import NOT_RUN
from vmc.utils.tables import TextTable

NOTHING = "—"


def shown(number: float, measure: Measure, *, signed: bool = False) -> str:
    """A metric's value, in its own digits: `70.6` for a share of 0.706, `0.2818` for a cosine."""
    return rounded(number * 100 if measure.percent else number, measure.digits, signed=signed)


def rounded(number: float, digits: int, *, signed: bool = False) -> str:
    """A number with so many digits and a true minus; never -0.0."""
    if math.isnan(number):
        return NOTHING
    text = f"{number:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    elif signed and number > 0:
        text = f"+{text}"
    return text.replace("-", "−")


def with_interval(interval: Interval, measure: Measure) -> str:
    """`70.6 (65.1 to 75.9)`; the value alone where nothing tells how sure it is."""
    value = shown(interval.value, measure)
    if math.isnan(interval.low) or math.isnan(interval.high):
        return value
    return f"{value} ({shown(interval.low, measure)} to {shown(interval.high, measure)})"


def with_test(value: float, tested: Difference | None, measure: Measure, *, marked: bool) -> str:
    """`−3.7 (−5.1 to −2.3), p = 0.012*`; the value alone where it was not tested."""
    text = shown(value, measure, signed=True)
    if tested is None:
        return text
    ends = " to ".join(shown(end, measure) for end in (tested.low, tested.high))
    return f"{text} ({ends}), {p_value(tested.p_corrected)}{'*' if marked else ''}"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def plain(number: float | None) -> str:
    """For a machine: six digits after the point, empty where there is none."""
    return "" if number is None or math.isnan(number) else f"{number:.6f}"


SECOND_HAND, PART_OF_SET = "†", "§"
MEANINGS = {NOT_REACHED: "threshold not reached, at the last evaluation", PART_OF_SET: "a part of the test set"}
"""Of the marks, in the few words that a terminal has room for."""


def text_table(table: ResultTable) -> TextTable:
    """The table with all its notes."""
    measures, parts = table.measures, table.layout.parts
    header = ["Part"] * bool(parts) + ["Arm", "Runs"]
    for measure in measures:
        header += [measure.title, "from the method"]
    header += [
        APPEARANCE.title,
        "Step",
        *(f"Paper: {measure.title[0].lower()}{measure.title[1:]}" for measure in measures),
    ]
    rows, rules = [], set[int]()
    for place, row in enumerate(table.rows):
        begins = place == 0 or row.listed.part != table.rows[place - 1].listed.part
        control = row.listed.arm in CONTROLS
        if begins or (control and table.rows[place - 1].listed.arm not in CONTROLS):
            rules.add(place)
        part = f"{row.listed.part}. {parts[row.listed.part]}" if begins and row.listed.part else ""
        rows.append([part] * bool(parts) + _cells(row, measures))
    return TextTable(
        name=table.layout.name,
        title=table.layout.title,
        header=header,
        rows=rows,
        rules=frozenset(rules),
        notes=list(_notes(table)),
        left=frozenset({0, 1} if parts else {0}),
    )


def compact(table: ResultTable) -> TextTable:
    """Arms with their metrics alone, for the terminal; arms without a run are left out."""
    measures = table.measures
    rows, marks = [], ""
    for row in _once(table.rows):
        if row.status in (NOT_RUN, NOT_MEASURED):
            continue
        values = [with_interval(row.intervals[m.name], m) if m.name in row.intervals else NOTHING for m in measures]
        if row.status:
            values = [row.status, *[NOTHING] * (len(measures) - 1)]
        marks += _marks(row)
        rows.append([_marked(_named(row), row), *values, _appearance(row)])
    header = ["", *(measure.title for measure in measures), APPEARANCE.title]
    said = [f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in marks]
    title = f"{table.layout.title} ({'; '.join(said)})" if said else table.layout.title
    return TextTable(name=table.layout.name, title=title, header=header, rows=rows)


def _cells(row: Row, measures: Sequence[Measure]) -> list[str]:
    """All but the part."""
    cells = [_label(row), _runs(row)]
    for place, measure in enumerate(measures):
        if row.status:
            cells += [row.status if place == 0 else NOTHING, NOTHING]
            continue
        interval = row.intervals.get(measure.name)
        cells.append(with_interval(interval, measure) if interval else NOTHING)
        cells.append(_difference(row, measure))
    step = NOTHING if row.listed.arm in CONTROLS else rounded(row.step, 0)
    return [*cells, _appearance(row), step, *(_paper(row, measure) for measure in measures)]


def _label(row: Row) -> str:
    return _marked(row.listed.label, row)


def _marked(name: str, row: Row) -> str:
    return " ".join([name, *_marks(row)])


def _marks(row: Row) -> str:
    return NOT_REACHED * (row.reached is False) + PART_OF_SET * (row.videos < row.of)


def _named(row: Row) -> str:
    """What a row is called outside the table."""
    return CONTROLS.get(row.listed.arm) or arm_name(row.listed.arm)


def _runs(row: Row) -> str:
    total = row.runs + len(row.left_out)
    return NOTHING if not total else str(row.runs) if not row.left_out else f"{row.runs} of {total}"


def _difference(row: Row, measure: Measure) -> str:
    if measure.name not in row.differences:
        return NOTHING
    tested: Difference | None = row.tested.get(measure.name)
    return with_test(row.differences[measure.name], tested, measure, marked=measure.name in row.significant)


def _appearance(row: Row) -> str:
    interval = row.intervals.get(APPEARANCE.name)
    return NOTHING if interval is None else shown(interval.value, APPEARANCE)


def _paper(row: Row, measure: Measure) -> str:
    value = row.paper.get(measure.name)
    if value is None or not value.text:
        return NOTHING
    return value.text + SECOND_HAND * (value.standing == "second-hand")


def _notes(table: ResultTable) -> Iterator[str]:
    if table.threshold is None:
        yield (
            "No run has a stop.appearance: each row stands at its runs' last evaluation, at differing appearance,"
            " and arms are not compared."
        )
    else:
        yield (
            "Every metric is interpolated linearly in the appearance score to stop.appearance ="
            f" {rounded(table.threshold, 4)}; each row says at which appearance it stands."
        )
    yield from _about_intervals(table)
    yield from _about_differences(table)
    yield from _about_marks(table)
    for row in table.rows:
        if row.listed.arm == CEILING and row.videos:
            yield f"{_named(row)}: {row.videos} clips{' of the motion with the fewest' if row.runs > 1 else ''}."
    for row in _once(table.rows):
        if row.left_out:
            yield f"{_named(row)}, left out: {'; '.join(row.left_out)}."
    yield table.layout.paper
    for row in _once(table.rows):
        for value in row.paper.values():
            if value.says:
                yield f"The paper's text on {_named(row)}: {value.says}."


def _about_intervals(table: ResultTable) -> Iterator[str]:
    """What intervals speak of; rows by what they have in common."""
    said: dict[str, list[str]] = {}
    for row in _once(table.rows):
        known = {
            measure: row.intervals[measure.name].speaks_of
            for measure in table.measures
            if measure.name in row.intervals
        }
        for label in dict.fromkeys(known.values()):
            of = [measure.short for measure, other in known.items() if other == label]
            suffix = "" if len(of) == len(known) else f" ({', '.join(of)})"
            said.setdefault(label, []).append(_named(row) + suffix)
    if len(said) == 1:
        yield f"Intervals are of 95 % and speak of {next(iter(said))}."
    elif said:
        each = "; ".join(f"of {label}: {', '.join(names)}" for label, names in said.items())
        yield f"Intervals are of 95 % and speak {each}."


def _about_differences(table: ResultTable) -> Iterator[str]:
    compared = [row for row in table.rows if row.differences]
    if table.comparisons:
        yield (
            "Differences are paired: over the motions, training seeds and subjects that an arm and the method both"
            " have. Their intervals are not corrected; p is, by Holm's method, for the"
            f" {table.comparisons} comparisons of this table; * marks p < 0.05."
        )
    untested = [_named(row) for row in _once(compared) if row.differences.keys() - row.tested.keys()]
    if untested:
        yield (
            "Not tested, because a single motion and training seed in common with the method cannot tell:"
            f" {', '.join(untested)}."
        )


def _about_marks(table: ResultTable) -> Iterator[str]:
    if behind := [_named(row) for row in _once(table.rows) if row.reached is False]:
        yield (
            f"{NOT_REACHED} did not reach the threshold within its steps, stands at its last evaluation and is kept"
            f" out of the comparisons: {', '.join(behind)}."
        )
        if arm_name(METHOD) in behind:
            yield "With the method itself above the threshold, no arm is compared."
    if small := [f"{_named(row)} ({row.videos} of {row.of})" for row in _once(table.rows) if row.videos < row.of]:
        yield (
            f"{PART_OF_SET} rests on a part of the test set, as no more was evaluated there: {', '.join(small)};"
            " python -m vmc.evaluate run=DIR step=N completes an evaluation."
        )
    marked = [value for row in table.rows for value in row.paper.values() if value.text]
    if any(value.standing == "second-hand" for value in marked):
        yield f"{SECOND_HAND} second-hand: from a digest of the paper, not read in the paper itself."


def _once(rows: Sequence[Row]) -> list[Row]:
    """Each arm once: the method stands in every part of Table 2."""
    return list({row.listed.arm: row for row in rows}.values())
