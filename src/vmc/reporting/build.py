"""The whole report: what is read once, what is made of it, and its folder, put in place whole."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vmc.metrics.columns import Measure
from vmc.reporting.catalogue import CEILING, FLOOR, LANGUAGE, LAYOUTS
from vmc.reporting.checks import check_comparable, common_threshold
from vmc.reporting.compare import ResultTable, result_table
from vmc.reporting.drawing import DrawFigure, draw_figures
from vmc.reporting.figures.copies import Descriptor
from vmc.reporting.figures.timesteps import Sampler
from vmc.reporting.gallery.writing import write_gallery
from vmc.reporting.load import check_once, for_curves, for_tables
from vmc.reporting.loaded import Found, FoundRun
from vmc.reporting.matched import ArmResult, ControlResult, all_measures, arm_results, control_result
from vmc.reporting.overview import metrics_csv, metrics_table, result_csv, runs_csv, runs_table
from vmc.reporting.tables import compact, text_table
from vmc.utils.errors import VmcError
from vmc.utils.tables import TextTable, escape_markdown, to_latex, to_markdown


def page(*, runs: Path, tables: Sequence[TextTable], figures: Mapping[str, str], damaged: Sequence[str] = ()) -> str:
    """Markdown.

    Args:
        runs: the folder that was reported on.
        tables: in order.
        figures: captions by the name of the figure's files.
        damaged: what is left out of all of it, and why.
    """
    gallery = "All videos side by side, with what stands here: [index.html](index.html).\n"
    parts = [f"# Report on {escape_markdown(str(runs))}\n", gallery]
    if damaged:
        parts.append("\n".join(f"- {escape_markdown(one)}" for one in damaged) + "\n")
    parts += [to_markdown(table) for table in tables]
    if figures:
        parts.append("## Figures\n")
    for name, caption in figures.items():
        parts.append(f"![{name}](figures/{name}.png)\n\n{escape_markdown(caption)} ([SVG](figures/{name}.svg))\n")
    return "\n".join(parts)


MARK = "report.json"
"""Lists the files of a report; a folder without it is no report."""


@contextmanager
def report_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of an earlier report when the block ends well, and is gone when not.

    Raises:
        VmcError: `path` is there and is no report, holds files that no report wrote, or cannot be written.
    """
    check_output(path)
    try:
        with _beside(path) as made:
            yield made
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
        made = Path(beside) / "new"
        made.mkdir()
        yield made
        files = sorted(file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())
        (made / MARK).write_text(json.dumps({"written_by": "vmc.report", "files": files}, indent=2) + "\n")
        check_output(path)  # again: drawing takes a while
        if path.exists():
            path.rename(Path(beside) / "old")
        made.rename(path)


def check_output(path: Path) -> None:
    """Refuse a folder that is not empty and no report, in which something else lies too, or that cannot be written.

    Raises:
        VmcError: naming what is there.
    """
    try:
        _check_output(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_output(path: Path) -> None:
    nearest = next(folder for folder in (path.absolute().parent, *path.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))
    if not path.exists():
        return
    if not path.is_dir():
        raise VmcError(f"output is {path}, which is a file; choose another folder")
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    if not there:
        return
    try:
        known = json.loads((path / MARK).read_text(encoding="utf-8"))
        ours = {MARK, *known["files"]} if known.get("written_by") == "vmc.report" else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = set()
    if not ours:
        raise VmcError(f"output is {path}, which holds files but no report; choose another folder")
    if others := sorted(there - ours):
        raise VmcError(
            f"output is {path}, a report in which {others[0]} lies too, which no report wrote; move it elsewhere or"
            " choose another folder"
        )


def _unwritable(path: Path, error: OSError) -> VmcError:
    return VmcError(
        f"output is {path}, where a report cannot be written ({error}); choose another folder, or make room"
    )


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
