"""Tables for machines: numbers with six digits, shares between 0 and 1, empty cells where there is nothing."""

import csv
import io
from collections.abc import Mapping, Sequence

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import Interval
from vmc.runs.reporting.catalogue import APPEARANCE
from vmc.runs.reporting.numbers import plain
from vmc.runs.reporting.rows import ResultTable, Row

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
