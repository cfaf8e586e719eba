"""The lines of a table as data: arms and controls with values, intervals, differences and the paper's own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmc.metrics.columns import Measure
from vmc.metrics.comparison import Difference
from vmc.metrics.statistics import Interval
from vmc.runs.reporting.against import Against, against
from vmc.runs.reporting.catalogue import CONTROLS, METHOD, Layout, Listed
from vmc.runs.reporting.paper import PaperValue, paper_values
from vmc.runs.reporting.standing import NOT_RUN, ArmResult, ControlResult, all_measures

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
    found: Against,
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
