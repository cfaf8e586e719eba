"""Arms against the method and against the paper's own values: the lines of a table as data."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from vmc.metrics.columns import Measure
from vmc.metrics.scores import KEYS
from vmc.metrics.statistics import Difference, Run, holm, paired_difference, resample
from vmc.reporting.catalog import METHOD, Layout, Line
from vmc.reporting.matched import NOT_RUN, Result, all_measures

FILE = Path(__file__).with_name("paper.csv")


@dataclass(frozen=True)
class PaperValue:
    """A number as the paper prints it, or what it says where the number is not known."""

    text: str  # as printed; empty where it is not known
    percent: bool
    standing: str  # `paper`, `second-hand` or `unknown`
    says: str  # what the paper says of it besides

    @property
    def value(self) -> float | None:
        """As a number, shares between 0 and 1."""
        return float(self.text) / (100 if self.percent else 1) if self.text else None


@cache
def paper_values() -> dict[tuple[str, str, str], PaperValue]:
    """By table, arm and metric."""
    with FILE.open(newline="", encoding="utf-8") as stream:
        return {
            (row["table"], row["arm"], row["metric"]): PaperValue(
                row["value"], row["unit"] == "%", row["standing"], row["says"]
            )
            for row in csv.DictReader(stream)
        }


def compare_arms(
    results: Mapping[str, Result], *, arms: Sequence[str], metrics: Sequence[str], reference: str = METHOD
) -> dict[tuple[str, str], Difference]:
    """Each arm less the reference, over the motions, training seeds and videos that both have, by arm and metric.

    An arm that did not reach the threshold stands at another appearance and is not compared. Where two arms have a
    single run in common their difference is given, and not tested: its interval and p are NaN. Holm's correction is
    over all that are tested.
    """
    found: dict[tuple[str, str], Difference] = {}
    compared = [arm for arm in dict.fromkeys([reference, *arms]) if arm in results and results[arm].reached]
    for arm in compared[1:] if reference in compared else ():
        runs, others = runs_in_common(results[arm].runs, results[reference].runs)
        for metric in metrics if runs else ():
            if not all(metric in run.values.columns for run in [*runs, *others]):
                continue
            if len(runs) > 1:
                found[arm, metric] = paired_difference(runs, others, metric=metric)
            else:
                one, other = (
                    float(resample(each, metrics=[metric], resamples=1).value_V[0]) for each in (runs, others)
                )
                found[arm, metric] = Difference(one - other, math.nan, math.nan, math.nan, math.nan, "")
    corrected = holm({place: one.p for place, one in found.items() if not math.isnan(one.p)})
    return {place: replace(one, p_corrected=corrected.get(place, math.nan)) for place, one in found.items()}


def runs_in_common(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of both that have a motion and seed in common, each with the videos that both have."""
    others = {(run.motion, run.seed): run for run in other}
    pairs = [(run, others[run.motion, run.seed]) for run in one if (run.motion, run.seed) in others]
    kept = [(_only(first, second), _only(second, first)) for first, second in pairs]
    kept = [(first, second) for first, second in kept if len(first.values)]
    return [first for first, _ in kept], [second for _, second in kept]


def _only(run: Run, other: Run) -> Run:
    """The videos of a run that the other has too."""
    known = set(map(tuple, other.values[KEYS].to_numpy().tolist()))
    inside = [tuple(row) in known for row in run.values[KEYS].to_numpy().tolist()]
    return replace(run, values=run.values[inside].reset_index(drop=True))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: its result, and by metric the differences from the method and the paper's values."""

    line: Line
    result: Result
    differences: Mapping[str, Difference] = field(default_factory=dict)
    paper: Mapping[str, PaperValue]


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
    found = compare_arms(results, arms=[line.arm for line in layout.lines], metrics=metrics)
    missing = {line.arm: Result(arm=line.arm, status=NOT_RUN) for line in layout.lines}
    lines = [(line, results.get(line.arm, missing[line.arm])) for line in layout.lines]
    lines += [(Line("", one.arm, one.name), one) for one in controls if one.arm in layout.controls]
    values = paper_values()
    rows = [
        Row(
            line=line,
            result=result,
            differences={name: found[line.arm, name] for name in metrics if (line.arm, name) in found},
            paper={name: values[key] for name in metrics if (key := (layout.name, line.arm, name)) in values},
        )
        for line, result in lines
    ]
    return ResultTable(layout=layout, measures=measures, threshold=threshold, rows=rows)
