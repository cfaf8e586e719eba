"""The whole report: what is read once, and what is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vmc.metrics.columns import Measure
from vmc.runs.reporting.catalogue import CEILING, FLOOR, LANGUAGE, LAYOUTS
from vmc.runs.reporting.checks import check_comparable, common_threshold
from vmc.runs.reporting.choosing import check_once, for_curves, for_tables
from vmc.runs.reporting.copies import Descriptor
from vmc.runs.reporting.drawing import DrawFigure, draw_figures
from vmc.runs.reporting.figures.timesteps import Sampler
from vmc.runs.reporting.found import Found, FoundRun
from vmc.runs.reporting.gallery.writing import write_gallery
from vmc.runs.reporting.machine import result_csv
from vmc.runs.reporting.output import report_folder
from vmc.runs.reporting.overview import metrics_csv, metrics_table, runs_csv, runs_table
from vmc.runs.reporting.page import page
from vmc.runs.reporting.rows import ResultTable, result_table
from vmc.runs.reporting.standing import ArmResult, ControlResult, all_measures, arm_results, control_result
from vmc.runs.reporting.text_table import TextTable, to_latex, to_markdown
from vmc.runs.reporting.wording import compact, text_table


@dataclass(kw_only=True)
class Report:
    """Results of runs that belong into one table.

    Args:
        found: the runs and controls.
        chosen_threshold: appearance score at which arms are compared; None takes the runs' own.
        samplers: of timesteps, by what they are called.
        descriptor: by which generated frames are compared with exemplars; None where it is not there.

    Raises:
        VmcError: runs that do not belong together.
    """

    found: Found
    chosen_threshold: float | None = None
    samplers: Mapping[str, Sampler] = field(default_factory=dict)
    descriptor: Descriptor | None = None
    threshold: float | None = field(init=False)

    def __post_init__(self) -> None:
        check_once(self.runs)
        check_comparable(self.runs, self.found.controls)
        self.threshold = common_threshold(self.runs, chosen=self.chosen_threshold)

    @property
    def runs(self) -> list[FoundRun]:
        """All of them."""
        return self.found.runs

    @cached_property
    def results(self) -> dict[str, ArmResult]:
        """Every arm that has a run which trains something."""
        return arm_results(for_tables(self.runs), threshold=self.threshold)

    @cached_property
    def curves(self) -> dict[str, list[FoundRun]]:
        """Runs that are drawn together, by what they are called."""
        return for_curves(self.runs)

    @cached_property
    def controls(self) -> list[ControlResult]:
        """Floor and ceiling, measured or not; the untuned model asked in natural language where it was."""
        known = {kind: control_result(kind, self.found.controls) for kind in (FLOOR, LANGUAGE, CEILING)}
        return [one for kind, one in known.items() if one.controls or kind != LANGUAGE]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Of all that was measured."""
        return all_measures(self.results, self.controls)

    @cached_property
    def tables(self) -> list[ResultTable]:
        """The paper's tables."""
        return [result_table(layout, self.results, self.controls, threshold=self.threshold) for layout in LAYOUTS]

    @cached_property
    def texts(self) -> list[TextTable]:
        """All tables for people."""
        return [
            *(text_table(table) for table in self.tables),
            metrics_table(self.results, self.controls),
            runs_table(self.runs, self.results, self.found.lost),
        ]

    @cached_property
    def csvs(self) -> dict[str, str]:
        """All tables for machines, by name."""
        paper = {table.layout.name: result_csv(table) for table in self.tables}
        return paper | {
            "metrics": metrics_csv(self.results, self.controls),
            "runs": runs_csv(self.runs, self.results, self.found.lost),
        }

    @property
    def damaged(self) -> list[str]:
        """Of each folder that is left out because a file in it does not read, which file that is."""
        return [f"left out, damaged: {folder}: {reason}" for folder, reason in self.found.damaged]

    @property
    def short(self) -> list[TextTable]:
        """The paper's tables as far as there are arms for them, for the terminal."""
        return [table for table in map(compact, self.tables) if table.rows]


def write_report(report: Report, output: Path, *, runs: Path, figures: Mapping[str, DrawFigure | None]) -> list[str]:
    """Write the folder whole; the names of its figures.

    Args:
        report: the results.
        output: a folder that is not there, empty, or an earlier report.
        runs: the folder that was reported on.
        figures: functions that draw them, by the name of their files.

    Raises:
        VmcError: see `report_folder` and `draw_figures`, or a choice for figure 3 that no run has.
    """
    with report_folder(output) as folder:
        _write_tables(folder / "tables", report)
        captions = draw_figures(report, figures, folder / "figures")
        _write(folder / "report.md", page(runs=runs, tables=report.texts, figures=captions, damaged=report.damaged))
        write_gallery(
            folder,
            runs=runs,
            results=report.results,
            controls=report.found.controls,
            curves=report.curves,
            threshold=report.threshold,
            tables=report.texts,
            figures=captions,
        )
    return list(captions)


def _write_tables(folder: Path, report: Report) -> None:
    folder.mkdir()
    for table in report.texts:
        _write(folder / f"{table.name}.md", to_markdown(table))
        _write(folder / f"{table.name}.csv", report.csvs[table.name])
    for table in report.texts[: len(LAYOUTS)]:
        _write(folder / f"{table.name}.tex", to_latex(table))


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")
