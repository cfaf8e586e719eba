"""Tables of arms that are compared at equal appearance: with the method, motion by motion, and as the paper finds it.

`findings.csv` holds what the paper finds in Section 4.2 and in the order of Table 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from vmc.metrics.columns import Measure
from vmc.metrics.scores import MEASURES
from vmc.metrics.statistics import Difference
from vmc.reporting.catalog import APPEARANCE, arm_name, read_rows
from vmc.reporting.compare import NOT_RUN, Comparison, Result, compare, correct
from vmc.reporting.tables import (
    DIFFERENCE,
    INTERVAL,
    LEVEL,
    NOTHING,
    fields_of,
    format_difference,
    format_interval,
    format_number,
    format_value,
    to_csv,
)
from vmc.utils.tables import TextTable


def comparisons_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """Make the table of arms against the method at equal appearance, and over the range that both have; and its CSV."""
    rows, records = [], list[dict[str, Any]]()
    for one in comparisons:
        if not one.values:
            rows.append([arm_name(one.arm), one.status or NOTHING, *[NOTHING] * 8])
            records.append(_record(one, one.status))
        for m in (m for m in measures if m.name in one.values):
            (value, other), (_, other_mean) = one.values[m.name], one.means[m.name]
            low, high = (format_number(end, APPEARANCE.digits) for end in one.range)
            there = [low, format_value(value, m), format_value(other, m), format_difference(one.differences[m.name], m)]
            mean, apart = (
                format_interval(one.mean_intervals[m.name], m),
                format_difference(one.mean_differences[m.name], m),
            )
            rows.append(
                [arm_name(one.arm), m.title, *there, f"{low} to {high}", mean, format_value(other_mean, m), apart]
            )
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
    """Make a line of the CSV; where arms are not compared, the reason takes the place of the metric."""
    (value, other), (_, other_mean) = (of.get(metric, (None, None)) for of in (one.values, one.means))
    return {
        **{"arm": one.arm, "reference": one.reference, "metric": metric, "pairs": one.pairs},
        **{"at_threshold": one.at_threshold, "at": one.at, "value": value, "reference_value": other},
        **fields_of("value", DIFFERENCE, one.differences.get(metric)),
        **{"range_low": one.range[0], "range_high": one.range[1]},
        **fields_of("mean", INTERVAL, one.mean_intervals.get(metric)),
        "reference_mean": other_mean,
        **fields_of("mean", DIFFERENCE, one.mean_differences.get(metric)),
    }


def compared_motions_table(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> tuple[TextTable, str]:
    """Make the table of the same comparisons by motion; and its CSV."""
    rows, records = [], []
    for one in comparisons:
        for motion, m in ((motion, m) for motion, values in one.motions.items() for m in measures if m.name in values):
            value, other = one.motions[motion][m.name]
            cells = [format_value(value, m), format_value(other, m), format_value(value - other, m, signed=True)]
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


# --- what the paper finds --------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """The claim that one arm has more of a metric than another at equal appearance."""

    more: str
    less: str
    metric: str


class Finding(NamedTuple):
    """A sentence of the paper, and the claims that it makes, all of which have to hold.

    How much more is not tested: of "half as much" it is asked whether it is less.
    """

    table: str  # of whose claims there is one family of tests
    text: str
    claims: Sequence[Claim]


FINDINGS = [
    Finding(table, text, [Claim(row["more"], row["less"], row["metric"]) for row in claims])
    for (table, text), claims in groupby(read_rows("findings.csv"), key=itemgetter("table", "finding"))
]
"""Section 4.2's seven, then Table 1's order."""
SHOWS, CONTRADICTS, CANNOT_TELL = "shows it", "contradicts it", "cannot tell"


@dataclass(frozen=True, kw_only=True)
class JudgedFinding:
    """A finding with its verdict, and the comparison behind each of its claims."""

    finding: Finding
    comparisons: Sequence[Comparison]  # of the arm that has more with the other, by claim

    @property
    def differences(self) -> list[Difference | None]:
        """The difference of each claim; None where its arms were not compared."""
        pairs = zip(self.finding.claims, self.comparisons, strict=True)
        return [one.differences.get(claim.metric) for claim, one in pairs]

    @property
    def verdict(self) -> str:
        """Whether the runs show it."""
        return judge(self.differences)


def judge(differences: Sequence[Difference | None]) -> str:
    """Judge a finding by the corrected tests of its claims.

    It is shown where every claim is significant in the right direction, contradicted where one of them is significant
    in the wrong one.
    """
    signs = [math.copysign(1, d.value) if d is not None and d.p_corrected < LEVEL else 0 for d in differences]
    if -1 in signs:
        return CONTRADICTS
    return SHOWS if signs and all(sign == 1 for sign in signs) else CANNOT_TELL


def judge_findings(results: Mapping[str, Result], *, threshold: float | None) -> list[JudgedFinding]:
    """Judge every finding; Holm's correction is over the claims of a table."""
    judged = list[JudgedFinding]()
    for _, of_table in groupby(FINDINGS, key=attrgetter("table")):
        findings = list(of_table)
        claims = [claim for finding in findings for claim in finding.claims]
        compared = iter(correct([_compare(claim, results, threshold=threshold) for claim in claims]))
        judged += [JudgedFinding(finding=one, comparisons=list(islice(compared, len(one.claims)))) for one in findings]
    return judged


def _compare(claim: Claim, results: Mapping[str, Result], *, threshold: float | None) -> Comparison:
    for arm in (claim.more, claim.less):
        if arm not in results or not results[arm].matched:
            status = f"{arm_name(arm)}: {results[arm].status if arm in results else NOT_RUN}"
            return Comparison(arm=claim.more, reference=claim.less, status=status)
    return compare(results[claim.more], results[claim.less], metrics=[claim.metric], threshold=threshold)


def findings_table(judged: Sequence[JudgedFinding]) -> tuple[TextTable, str]:
    """Make the table of findings, a row for each claim, the verdict beside a finding's first; and its CSV."""
    rows, records, rules = list[list[str]](), [], set[int]()
    measures = {measure.name: measure for measure in MEASURES}
    for one in judged:
        rules.add(len(rows))
        for claim, comparison, difference in zip(one.finding.claims, one.comparisons, one.differences, strict=True):
            measure, first = measures[claim.metric], claim is one.finding.claims[0]
            said = f"{measure.plain}: {arm_name(claim.more)} above {arm_name(claim.less)}"
            cell = comparison.status or format_difference(difference, measure)
            at, pairs = format_number(comparison.at, APPEARANCE.digits), str(comparison.pairs or NOTHING)
            rows.append([one.finding.text * first, one.verdict * first, said, cell, at, pairs])
            record: dict[str, Any] = {"finding": one.finding.text, "table": one.finding.table, "verdict": one.verdict}
            record |= {"metric": claim.metric, "more": claim.more, "less": claim.less, "status": comparison.status}
            record |= {"compared_at": comparison.at, "pairs": comparison.pairs}
            records.append(record | fields_of("value", DIFFERENCE, difference))
    text = TextTable(
        name="findings",
        title="What the paper finds, and whether these runs show it",
        header=["The paper finds", "These runs", "Claim", "Difference", "Compared at", "Pairs of runs"],
        rows=rows,
        rules=frozenset(rules),
        left=frozenset({0, 1, 2}),
        notes=[
            f"A finding is shown where all of its claims have p < {LEVEL} in its direction, contradicted where one has"
            " in the other; p is corrected by Holm's method for the claims of Section 4.2, and for those of Table 1."
            " How much more is not tested.",
        ],
    )
    return text, to_csv(records)
