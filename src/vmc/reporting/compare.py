"""Arms against the method and the paper's own values: the lines of a table as data."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from vmc.metrics.columns import Measure
from vmc.metrics.scores import KEYS
from vmc.metrics.statistics import Difference, Interval, Run, holm, paired_difference, resample
from vmc.reporting.catalogue import CONTROLS, METHOD, Layout, Listed
from vmc.reporting.matched import NOT_RUN, ArmResult, ControlResult, all_measures

FILE = Path(__file__).with_name("paper.csv")


@dataclass(frozen=True, kw_only=True)
class PaperValue:
    """A number as the paper prints it, or what it says where the number is not known.

    Args:
        text: as printed; empty where it is not known.
        percent: whether it is in percent.
        standing: `paper`, `second-hand` or `unknown`.
        says: what the paper says of it besides.
    """

    text: str
    percent: bool
    standing: str
    says: str

    @property
    def value(self) -> float | None:
        """As a number, shares between 0 and 1."""
        if not self.text:
            return None
        return float(self.text) / 100 if self.percent else float(self.text)


@cache
def paper_values() -> dict[tuple[str, str, str], PaperValue]:
    """By table, arm and metric."""
    with FILE.open(newline="", encoding="utf-8") as stream:
        return {
            (row["table"], row["arm"], row["metric"]): PaperValue(
                text=row["value"], percent=row["unit"] == "%", standing=row["standing"], says=row["says"]
            )
            for row in csv.DictReader(stream)
        }


LEVEL = 0.05
"""Of a corrected p-value below which a difference is marked."""


@dataclass(frozen=True)
class Comparison:
    """Differences from the method in one table.

    Args:
        values: of every (arm, metric) that can be compared.
        tested: those of them that were tested, Holm's correction over all of them.
    """

    values: Mapping[tuple[str, str], float]
    tested: Mapping[tuple[str, str], Difference]

    def significant(self, arm: str, metric: str) -> bool:
        """Whether an arm differs from the method."""
        return (arm, metric) in self.tested and self.tested[arm, metric].p_corrected < LEVEL


def against(
    results: Mapping[str, ArmResult], *, reference: str, arms: Sequence[str], metrics: Sequence[str]
) -> Comparison:
    """Each arm less the reference, over the motions, training seeds and videos that both have.

    An arm that did not reach the threshold stands at another appearance and is not compared. A difference rests on one
    run alone where both have a single one in common; it is given, and not tested.
    """
    if reference not in results or not results[reference].reached:
        return Comparison({}, {})
    values, tested = dict[tuple[str, str], float](), dict[tuple[str, str], Difference]()
    for arm in dict.fromkeys(arms):
        if arm == reference or arm not in results or not results[arm].reached:
            continue
        runs, others = alike(results[arm].runs, results[reference].runs)
        for metric in metrics:
            if not runs or not all(metric in run.values.columns for run in [*runs, *others]):
                continue
            one, other = (_mean(found, metric) for found in (runs, others))
            values[arm, metric] = one - other
            if len(runs) > 1:
                tested[arm, metric] = paired_difference(runs, others, metric=metric)
    corrected = holm({place: difference.p for place, difference in tested.items()})
    return Comparison(values, {place: replace(found, p_corrected=corrected[place]) for place, found in tested.items()})


def alike(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[Run], list[Run]]:
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


def _mean(runs: Sequence[Run], metric: str) -> float:
    return float(resample(runs, metrics=[metric], resamples=1).value_V[0])


NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table.

    Args:
        listed: what it is called, and its part.
        status: in place of numbers where there are none.
        runs: that count, and `left_out`, that do not.
        videos: of the run with the fewest; `of`, of a whole test set.
        step: where it stands; NaN where that means nothing.
        reached: whether it stands at the threshold; None where that means nothing.
        intervals: of its metrics.
        differences: from the method, and `tested`, those that were.
        significant: metrics in which it differs.
        paper: the paper's values.
    """

    listed: Listed
    status: str = ""
    runs: int = 0
    left_out: Sequence[str] = ()
    videos: int = 0
    of: int = 0
    step: float = math.nan
    reached: bool | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    differences: Mapping[str, float] = field(default_factory=dict)
    tested: Mapping[str, Difference] = field(default_factory=dict)
    significant: frozenset[str] = frozenset()
    paper: Mapping[str, PaperValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of the paper with what was measured.

    Args:
        layout: which.
        measures: its columns.
        threshold: the appearance at which arms are compared; None where there is none.
        rows: arms, then controls.
        comparisons: how many differences were tested together.
    """

    layout: Layout
    measures: Sequence[Measure]
    threshold: float | None
    rows: Sequence[Row]
    comparisons: int


def result_table(
    layout: Layout,
    results: Mapping[str, ArmResult],
    controls: Sequence[ControlResult],
    *,
    threshold: float | None,
) -> ResultTable:
    """A table: every arm that it lists, those without a run too, then the controls."""
    measures = [measure for measure in all_measures(results, controls) if layout.name in measure.tables]
    metrics = [measure.name for measure in measures]
    arms = [line.arm for line in layout.lines]
    found = against(results, reference=METHOD, arms=arms, metrics=metrics)
    rows = [
        _arm_row(line, results.get(line.arm), found, metrics, paper=_paper(layout, line.arm, metrics))
        for line in layout.lines
    ]
    rows += [
        _control_row(control, paper=_paper(layout, control.kind, metrics))
        for control in controls
        if control.kind in layout.controls
    ]
    return ResultTable(layout=layout, measures=measures, threshold=threshold, rows=rows, comparisons=len(found.tested))


def _arm_row(
    line: Listed,
    result: ArmResult | None,
    found: Comparison,
    metrics: Sequence[str],
    *,
    paper: Mapping[str, PaperValue],
) -> Row:
    if result is None:
        return Row(listed=line, status=NOT_RUN, paper=paper)
    return Row(
        listed=line,
        status=result.status,
        runs=len(result.stands),
        left_out=[f"{run.label}: {reason}" for run, reason in result.left_out],
        videos=min((len(stand.values) for stand in result.stands), default=0),
        of=max((stand.of for stand in result.stands), default=0),
        step=result.step,
        reached=result.reached if result.matched and result.stands else None,
        intervals=result.intervals,
        differences={name: found.values[line.arm, name] for name in metrics if (line.arm, name) in found.values},
        tested={name: found.tested[line.arm, name] for name in metrics if (line.arm, name) in found.tested},
        significant=frozenset(name for name in metrics if found.significant(line.arm, name)),
        paper=paper,
    )


def _control_row(control: ControlResult, *, paper: Mapping[str, PaperValue]) -> Row:
    line = Listed(arm=control.kind, label=CONTROLS[control.kind])
    return Row(
        listed=line,
        status="" if control.controls else NOT_MEASURED,
        runs=len(control.controls),
        videos=control.videos,
        of=control.of,
        intervals=control.intervals,
        paper=paper,
    )


def _paper(layout: Layout, arm: str, metrics: Sequence[str]) -> dict[str, PaperValue]:
    values = paper_values()
    return {name: values[key] for name in metrics if (key := (layout.name, arm, name)) in values}
