"""Videos that stand in no table: of runs merged with each other, of further prompts, of `vmc.generate`."""

import csv
import logging
import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from vmc.evaluation.files import SCORES, SUMMARY
from vmc.evaluation.generation import VIDEOS
from vmc.reporting.loaded import FoundRun, Further, Scored
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

SCORED = "-scores"
"""What `python -m vmc.evaluate videos=DIR` ends the name of the folder with."""
TABLES = ("-known", "-language")
"""Ends of the names of evaluations that are not shown: of other gestures, and of the untuned model's other prompts."""


class Generated(Scored):
    """Videos of a folder of `vmc.generate`, which nobody has scored.

    Args:
        folder: with the videos and the table that names their prompts.

    Raises:
        VmcError: the table does not read.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder, {"metrics": {}, "videos": 0, "protocol": {}}, place=folder)
        try:
            with (folder / VIDEOS).open(newline="", encoding="utf-8") as stream:
                self._rows = [self._row(row) for row in csv.DictReader(stream, strict=True)]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise VmcError(f"{folder / VIDEOS} does not read as a table of videos ({error!r})") from error

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What names each video; no scores."""
        return self._rows

    @staticmethod
    def _row(row: dict[str, str]) -> dict[str, Any]:
        named = {"video": row["video"], "prompt": row["prompt"], "subject": row.get("subject") or None}
        return named | {"seed": int(row["seed"]) if row.get("seed") else None, "suite": row.get("suite") or None}


def find_further(
    root: Path,
    runs: Sequence[FoundRun],
    *,
    shown: Container[Path],
    known: Sequence[str],
    read: Callable[..., Scored | None],
) -> list[Further]:
    """All of them below a folder, in order; what does not read is left out, with a line in the log.

    Args:
        root: the folder.
        runs: those that lie below it.
        shown: evaluations of runs that stand in no table.
        known: names of evaluations that stand in tables.
        read: an evaluation from its folder.
    """
    by_path, found = {run.path: run for run in runs}, list[Further]()
    for folder, run in _folders(root, by_path):
        try:
            scored: Scored | None
            if (folder / VIDEOS).is_file():
                # Where somebody has scored them, they are shown with their scores.
                scored = None if (folder.with_name(f"{folder.name}{SCORED}") / SCORES).is_file() else Generated(folder)
            elif folder not in shown and (
                folder.name in known or folder.name.endswith(TABLES) or (run and folder.name.isdecimal())
            ):
                continue
            elif folder.name.endswith(SCORED) and not (folder / "videos").is_dir():
                scored = read(folder, root=folder.parent)
                if scored:
                    scored.place = folder.with_name(folder.name.removesuffix(SCORED))
            else:
                scored = read(folder, root=folder)
            if scored and scored.rows:
                name = folder.name if folder == root else folder.relative_to(root).as_posix()
                found.append(Further(name=name, run=run, scored=scored))
        except (VmcError, OSError) as error:
            log.warning("%s; the gallery goes without these videos", error)
    return found


def _folders(root: Path, runs: dict[Path, FoundRun]) -> Iterator[tuple[Path, FoundRun | None]]:
    """Folders that may hold such videos, with the run that they are part of."""
    for name, below, _ in os.walk(root):
        folder = Path(name)
        if (run := runs.get(folder)) or (folder / "config.yaml").is_file():
            parts = sorted(part for place in ("evaluation", "videos") for part in folder.glob(f"{place}/*/"))
            yield from ((part, run) for part in parts if run)
            below[:] = []
            continue
        yield folder, None
        done = (folder / SCORES).is_file() and (folder / SUMMARY).is_file()
        below[:] = [] if done else sorted(part for part in below if not part.startswith("."))
