"""Writing a report: its folder, put in place whole, with tables, figures, a page of Markdown and the gallery."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vmc.reporting.choice_page import FOLDER, PAGE, Page, keep_page
from vmc.reporting.figures.common import DrawFigure, draw_figures
from vmc.reporting.gallery import write_gallery
from vmc.reporting.report import Report
from vmc.reporting.table_arms import LAYOUTS
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder
from vmc.utils.tables import escape_markdown, to_latex, to_markdown

PRINTED = (*(layout.name for layout in LAYOUTS), "choice")  # tables that are written for LaTeX too
LISTING = "report.json"  # lists the files of a report; a folder without it is no report


def write_report(
    report: Report, output: Path, *, runs: Path, figures: Mapping[str, DrawFigure | None], study: Page | None = None
) -> list[str]:
    """Write the report's folder as a whole, and return the names of its figures.

    Args:
        output: a folder that is not there, empty, or an earlier report.
        runs: the folder that was reported on.
        figures: functions that draw them, by the name of their files.
        study: the page on which people choose between two arms; None keeps that of the earlier report.
    """
    with report_folder(output) as folder:
        (folder / "tables").mkdir()
        for table, records in report.tables:
            _write(folder / "tables" / f"{table.name}.md", to_markdown(table))
            _write(folder / "tables" / f"{table.name}.csv", records)
            if table.name in PRINTED:
                _write(folder / "tables" / f"{table.name}.tex", to_latex(table))
        captions = draw_figures(report, figures, folder / "figures")
        study.write(folder, earlier=output) if study else keep_page(output, folder)
        parts = [f"# Report on {escape_markdown(str(runs))}\n"]
        parts.append("All videos side by side, with what stands here: [index.html](index.html).\n")
        if (folder / FOLDER / PAGE).is_file():
            parts.append(f"A user study to be answered: [{FOLDER}/{PAGE}]({FOLDER}/{PAGE}); send its folder alone.\n")
        if notes := report.found.notes:
            parts.append("\n".join(f"- {escape_markdown(one)}" for one in notes) + "\n")
        parts += [to_markdown(table) for table in report.texts]
        parts += ["## Figures\n"] * bool(captions)
        for name, caption in captions.items():
            parts.append(f"![{name}](figures/{name}.png)\n\n{escape_markdown(caption)} ([SVG](figures/{name}.svg))\n")
        _write(folder / "report.md", "\n".join(parts))
        write_gallery(report, folder, runs=runs, figures=captions)
    return list(captions)


@contextmanager
def report_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that replaces an earlier report when the block succeeds, and is removed when it fails.

    A VmcError where `path` is there and is no report, holds files that no report wrote, or cannot be written.
    """
    check_output(path)
    with atomic_folder(path, remedy="choose another output, or make room") as made:
        yield made
        files = sorted(file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())
        _write(made / LISTING, json.dumps({"written_by": "vmc.report", "files": files}, indent=2) + "\n")
        check_output(path)  # again: drawing takes a while
        if path.exists():
            path.rename(made.with_name(f"{path.name}.old"))  # goes with the temporary folder around it


def check_output(path: Path) -> None:
    """Raise a VmcError where the path is a file, or a folder with files that no report wrote."""
    if path.exists() and not path.is_dir():
        raise VmcError(f"output is {path}, which is a file; choose another folder")
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    if not there:
        return
    try:
        known = json.loads((path / LISTING).read_text(encoding="utf-8"))
        ours = {LISTING, *known["files"]} if known["written_by"] == "vmc.report" else set()
    except (OSError, ValueError, LookupError, TypeError):
        ours = set()
    if not ours:
        raise VmcError(f"output is {path}, which holds files but no report; choose another folder")
    if others := sorted(there - ours):
        raise VmcError(
            f"output is {path}, a report in which {others[0]} lies too, which no report wrote; move it elsewhere or"
            " choose another folder"
        )


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")
