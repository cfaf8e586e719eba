"""Brings the pages of Table 1, Table 2 and Figure 7 up to date with a report.

python experiments/pages.py [REPORT]        # outputs/report, what `make report` writes

It copies tables and figures into `experiments/*/results`, and writes the tables of the two READMEs, between the
comments that name them, from the copied CSV files. The sentences around them are not touched: read them again.
"""

import csv
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.reporting.formatting import format_number, format_p_value
from vmc.reporting.table_arms import arm_name

HERE = Path(__file__).parent
TABLES = {
    "table1_baselines": ("table1.md", "table1.csv", "table1.tex"),
    "table2_ablations": (
        *("table2.md", "table2.csv", "table2.tex", "metrics.md", "metrics.csv", "runs.md", "runs.csv"),
        *("findings.md", "findings.csv", "comparisons.md", "compared_motions.md", "motions.md", "motions.csv"),
        "forgetting.md",
    ),
}
FIGURES = {
    "figure7_tradeoff/figure7_tradeoff.png": "figure7_tradeoff_ablations.png",
    "figure7_tradeoff/frontier.png": "figure7_tradeoff_ablations_frontier.png",
    "figure7_tradeoff/frontier_baselines.png": "figure7_tradeoff_baselines_frontier.png",
}
UNTRAINED = ("floor", "language", "ceiling")
Row = Mapping[str, str]


def percent(text: str, *, signed: bool = False) -> str:
    """A share as percent with one digit."""
    return format_number(float(text) * 100, 1, signed=signed)


def with_interval(row: Row, name: str, *, signed: bool = False) -> str:
    """A value with its 95 % interval; a difference without one is of too few runs."""
    if not row[name]:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if not low or (float(low), float(high)) == (-1, 1):
        return f"{percent(row[name], signed=signed)} (too few runs for an interval)"
    return f"{percent(row[name], signed=signed)} ({percent(low)} to {percent(high)})"


def difference(row: Row, name: str) -> str:
    """A difference with its interval and corrected p."""
    p = row[f"{name[: -len('_difference')]}_p_corrected"]
    return with_interval(row, name, signed=True) + (f", {format_p_value(float(p))}" if p else "")


def appearance(row: Row) -> str:
    """The appearance score that an arm is read at, marked where a run did not reach the threshold."""
    reached = row["reached"] == "True" or row["arm"] in UNTRAINED
    return f"{float(row['appearance']):.3f}{'' if reached else ' ‡'}" if row["appearance"] else ""


def paper(row: Row, names: Sequence[str]) -> str:
    """The paper's values, marked where they are second-hand."""
    told = {name: row[f"{name}_paper"] for name in names}
    marks = {name: "†" * (row[f"{name}_paper_standing"] == "second-hand") for name in names}
    return ", ".join(percent(value) + marks[name] for name, value in told.items() if value)


def markdown(heads: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = "|".join("--:" if number else "---" for number in right)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, *rows)).replace("\n", f"\n|{rule}|\n", 1)


def result_table(rows: Sequence[Row]) -> str:
    """Table 1, or Table 2 where arms belong to parts and copies have a column; the method stands once."""
    parts = any(row["part"] for row in rows)
    lines = []
    for row in rows:
        name = "**the method**" if row["arm"] == "method" else arm_name(row["arm"])
        part = [row["part"] if row["arm"] != "method" else ""] if parts else []
        copies = [with_interval(row, "copy_score")] if parts else []
        accuracy, from_method = with_interval(row, "motion_accuracy"), difference(row, "motion_accuracy_difference")
        names = ("motion_accuracy", "copy_score") if parts else ("motion_accuracy",)
        line = [*part, name, row["runs"], accuracy, from_method, *copies, appearance(row), paper(row, names)]
        if line not in lines:
            lines.append(line)
    if parts:
        lines.sort(key=lambda line: "**" not in line[1])  # the method first
    heads = [*["Part"] * parts, "Arm", "Runs", "Accuracy", "From the method", *["Copies"] * parts, "Appearance"]
    heads.append("Paper: accuracy, copies" if parts else "Paper")
    return markdown(heads, [*[False] * parts, False, *[True] * (len(heads) - 1 - parts)], lines)


def findings_table(rows: Sequence[Row], table: str) -> str:
    """What the paper finds, and what these runs say of it."""
    lines, last = [], None
    for row in (row for row in rows if row["table"] == table):
        what = {"motion_accuracy": "accuracy", "copy_score": "copies"}[row["metric"]]
        claim = f"{what}: {arm_name(row['more'])} above {arm_name(row['less'])}"
        said = difference(row, "value_difference") if row["value_difference"] else row["status"]
        first = (row["finding"], row["verdict"]) if row["finding"] != last else ("", "")
        lines.append([*first, claim, said, row["pairs"]])
        last = row["finding"]
    heads = ("The paper finds", "These runs", "By", "Points, at equal appearance", "Pairs of runs")
    return markdown(heads, (False, False, False, True, True), lines)


def motions_table(rows: Sequence[Row]) -> str:
    """The method, and without regularization, motion by motion."""
    of = {(row["motion"], row["arm"]): row for row in rows}

    def accuracy(motion: str, arm: str) -> str:
        return with_interval(of[motion, arm], "motion_accuracy") if (motion, arm) in of else ""

    lines = [
        [motion.replace("_", " ").title(), row["runs"], accuracy(motion, arm), accuracy(motion, "reg_none")]
        for (motion, arm), row in of.items()
        if arm == "method"
    ]
    return markdown(("", "Runs", "The method", "No regularization"), (False, True, True, True), lines)


def read(folder: str, name: str) -> list[Row]:
    """The rows of a CSV file that has been copied."""
    with (HERE / folder / "results" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def blocks() -> dict[str, dict[str, str]]:
    """The tables of each README, by the name in the comment before it."""
    findings = read("table2_ablations", "findings")
    return {
        "table1_baselines": {
            "results": result_table(read("table1_baselines", "table1")),
            "findings": findings_table(findings, "table1"),
        },
        "table2_ablations": {
            "results": result_table(read("table2_ablations", "table2")),
            "findings": findings_table(findings, "table2"),
            "motions": motions_table(read("table2_ablations", "motions")),
        },
    }


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A README with its tables replaced."""
    for name, table in tables.items():
        before, after = f"<!-- {name}: python experiments/pages.py -->\n", "\n<!-- end -->"
        start = text.index(before) + len(before)
        text = text[:start] + table + text[text.index(after, start) :]
    return text


def main() -> None:
    """Copy, and write the READMEs."""
    report = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/report")
    for folder, files in TABLES.items():
        (HERE / folder / "results").mkdir(exist_ok=True)
        for file in files:
            shutil.copyfile(report / "tables" / file, HERE / folder / "results" / file)
    for target, source in FIGURES.items():
        shutil.copyfile(report / "figures" / source, HERE / target)
    for folder, tables in blocks().items():
        page = HERE / folder / "README.md"
        page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
