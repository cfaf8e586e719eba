"""The folder of a report: made beside the old one and put in its place whole, never over anything else."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmc.errors import VmcError

MARK = "report.json"
"""Lists the files of a report; a folder without it is no report."""


@contextmanager
def report_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of an earlier report when the block ends well, and is gone when not.

    Raises:
        VmcError: `path` is there and is no report, or holds files that no report wrote.
    """
    check_output(path)
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
    """Refuse a folder that is not empty and no report, or in which something else lies too.

    Raises:
        VmcError: naming what is there.
    """
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
