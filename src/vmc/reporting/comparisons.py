"""Tables of arms against the method at equal appearance, over all motions and motion by motion, each with its CSV."""

from collections.abc import Sequence
from typing import Any

from vmc.metrics.columns import Measure
from vmc.reporting.catalog import APPEARANCE, arm_name
from vmc.reporting.compare import Comparison
from vmc.reporting.tables import (
    DIFFERENCE,
    INTERVAL,
    LEVEL,
    NOTHING,
    rounded,
    shown,
    spread_fields,
    to_csv,
    with_interval,
    with_test,
)
from vmc.utils.tables import TextTable


def comparisons_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """Arms against the method at equal appearance, and their means over the range that both have; and its CSV."""
    rows, records = [], list[dict[str, Any]]()
    for one in comparisons:
        name = arm_name(one.arm)
        if not one.values:
            rows.append([name, one.status or NOTHING, *[NOTHING] * 8])
            records.append(_record(one, one.status))
        for m in (m for m in measures if m.name in one.values):
            (value, other), (_, other_mean) = one.values[m.name], one.means[m.name]
            low, high = (rounded(end, APPEARANCE.digits) for end in one.range)
            there = [low, shown(value, m), shown(other, m), with_test(one.differences[m.name], m)]
            mean_text = with_interval(one.mean_intervals[m.name], m)
            over = [f"{low} to {high}", mean_text, shown(other_mean, m), with_test(one.mean_differences[m.name], m)]
            rows.append([name, m.title, *there, *over])
            records.append(_record(one, m.name))
    header = ["Arm", "Metric", "At", "Arm there", "Method there", "Difference", "Range", "Arm, mean", "Method, mean"]
    notes = [
        "At: the appearance at which both are compared, a mean over pairs of runs. Range: the appearance scores that"
        " both have passed; a mean over it is the area below the frontier over its width.",
        "Differences have intervals of 95 %; p is corrected by Holm's method for all comparisons of a kind, * marks"
        f" p < {LEVEL}.",
    ]
    text = TextTable(
        name="comparisons",
        title="Arms and the method at equal appearance",
        header=[*header, "Difference"],
        rows=rows,
        left=frozenset({0, 1}),
        notes=notes if rows else [],
    )
    return text, to_csv(records)


def _record(one: Comparison, metric: str) -> dict[str, Any]:
    """A line of the CSV; of arms that are not compared, why stands in the place of the metric."""
    values, means = (of.get(metric, (None, None)) for of in (one.values, one.means))
    record: dict[str, Any] = {"arm": one.arm, "reference": one.reference, "metric": metric, "pairs": one.pairs}
    return {
        **record | {"at_threshold": one.at_threshold, "at": one.at},
        **{"value": values[0], "reference_value": values[1]},
        **spread_fields("value", DIFFERENCE, one.differences.get(metric)),
        **{"range_low": one.range[0], "range_high": one.range[1]},
        **spread_fields("mean", INTERVAL, one.mean_intervals.get(metric)),
        "reference_mean": means[1],
        **spread_fields("mean", DIFFERENCE, one.mean_differences.get(metric)),
    }


def compared_motions_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """The same comparisons by motion; and its CSV."""
    rows, records = [], []
    for one in comparisons:
        for motion, m in ((motion, m) for motion, values in one.motions.items() for m in measures if m.name in values):
            value, other = one.motions[motion][m.name]
            cells = [shown(value, m), shown(other, m), shown(value - other, m, signed=True)]
            rows.append([arm_name(one.arm), motion.replace("_", " "), m.title, *cells])
            record = {"arm": one.arm, "motion": motion, "metric": m.name, "value": value, "reference_value": other}
            records.append(record)
    text = TextTable(
        name="compared_motions",
        title="Arms and the method at equal appearance, by motion",
        header=["Arm", "Motion", "Metric", "Arm there", "Method there", "Difference"],
        rows=rows,
        left=frozenset({0, 1, 2}),
    )
    return text, to_csv(records)
