"""What the paper finds in Section 4.2 and in the order of Table 1 (`findings.csv`), and whether the runs show it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from vmc.metrics.scores import MEASURES
from vmc.metrics.statistics import LEVEL, Difference
from vmc.reporting.comparisons import Comparison, compare, correct
from vmc.reporting.formatting import DIFFERENCE, NOTHING, fields_of, format_difference, format_number, to_csv
from vmc.reporting.results import NOT_RUN, Result
from vmc.reporting.table_arms import APPEARANCE, arm_name, read_rows
from vmc.utils.tables import TextTable

SHOWS, CONTRADICTS, CANNOT_TELL = "shows it", "contradicts it", "cannot tell"


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
