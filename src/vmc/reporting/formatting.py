"""Numbers, intervals, differences and p-values as cells of a table, for people and in CSV."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from vmc.metrics.columns import Measure
from vmc.metrics.statistics import LEVEL, Difference, Interval
from vmc.utils.files import csv_text

NOTHING = "—"
INTERVAL = ("", "_low", "_high", "_speaks_of")
DIFFERENCE = ("_difference", "_difference_low", "_difference_high", "_p", "_p_corrected")
"""Ends of the columns that a metric has in a CSV."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of a formula


def format_value(number: float, measure: Measure, *, signed: bool = False) -> str:
    """Format a metric's value in its own digits: `70.6` for a share of 0.706, `0.2818` for a cosine."""
    return format_number(number * 100 if measure.percent else number, measure.digits, signed=signed)


def format_number(number: float, digits: int, *, signed: bool = False) -> str:
    """Format a number with so many digits and a true minus sign; never -0.0."""
    if math.isnan(number):
        return NOTHING
    text = f"{number:{'+' * signed}z.{digits}f}"
    return (text if float(text) else text.removeprefix("+")).replace("-", "−")


def format_interval(interval: Interval | None, measure: Measure) -> str:
    """Format `70.6 (65.1 to 75.9)`; the value alone where it has no interval."""
    if interval is None:
        return NOTHING
    value, low, high = (format_value(number, measure) for number in (interval.value, interval.low, interval.high))
    return value if NOTHING in (low, high) else f"{value} ({low} to {high})"


def format_difference(difference: Difference | None, measure: Measure) -> str:
    """Format `−3.7 (−5.1 to −2.3), p = 0.012*`; the value alone where it was not tested."""
    if difference is None:
        return NOTHING
    value = format_value(difference.value, measure, signed=True)
    if math.isnan(p := difference.p_corrected):
        return value
    low, high = (format_value(end, measure) for end in (difference.low, difference.high))
    return f"{value} ({low} to {high}), {format_p_value(p)}{'*' * (p < LEVEL)}"


def format_p_value(p: float) -> str:
    """Format `p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Write records of equal keys as CSV, with line feeds as line ends and six digits after the point.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; one that is a number does not.
    """
    cells = ({key: _cell(value) for key, value in record.items()} for record in records)
    return csv_text(list(records[0]) if records else [], cells)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    text = "" if value is None else str(value)
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def fields_of(name: str, ends: Sequence[str], one: Interval | Difference | None) -> dict[str, Any]:
    """Return the CSV fields of an interval or a difference: the metric's name with each of `ends` appended."""
    values = astuple(one) if one else [None] * len(ends)
    return {f"{name}{end}": value for end, value in zip(ends, values, strict=False)}


def interval_fields(measures: Iterable[Measure], intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Return the CSV fields of all intervals of a row."""
    each = (fields_of(one.name, INTERVAL, intervals.get(one.name)) for one in measures)
    return {name: value for fields in each for name, value in fields.items()}
