"""The table of the clips that a run is trained on, and how they differ from those that it was begun with."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.data.clips import Clip, clip_name
from vmc.runs.folder import RunFolder
from vmc.runs.resuming import left_nothing
from vmc.utils.errors import VmcError
from vmc.utils.files import csv_text, fingerprint, write_text

log = logging.getLogger(__name__)

NAME = "clips.csv"
COLUMNS = ("role", "path", "caption", "sha256")
Row = Mapping[str, str]


def clip_rows(clips: Sequence[Clip]) -> list[dict[str, str]]:
    """A row of the table for each clip; `sha256` is that of the file, or of all frames of a folder."""
    return [
        {"role": clip.role, "path": str(clip.path), "caption": clip.caption, "sha256": fingerprint(Path(clip.path))}
        for clip in clips
    ]


def write_clips(rows: Sequence[Row], folder: Path) -> None:
    """Write the table of a run's clips."""
    write_text(folder / NAME, csv_text(COLUMNS, rows))


def differing_clips(rows: Sequence[Row], folder: Path) -> list[str]:
    """Phrases that say how clips differ from those that the run in a folder was started with, paths aside.

    A missing or damaged table is logged, and there is no difference then.
    """
    earlier = _read(folder / NAME)
    known = [key for key in COLUMNS if key != "path" and all(row.get(key) for row in earlier)]

    def by_name(rows: Sequence[Row]) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {}  # several folders may hold files of one name
        for row in rows:
            found.setdefault(clip_name(Path(row["path"])), []).append([row[key] for key in known])
        return {name: sorted(contents) for name, contents in found.items()}

    if not earlier or [[row[key] for key in known] for row in earlier] == [[row[key] for key in known] for row in rows]:
        return []
    before, now = by_name(earlier), by_name(rows)
    changed = [f"{name} is changed" for name in before if name in now and before[name] != now[name]]
    gone = [f"{name} is gone" for name in before if name not in now]
    new = [f"{name} is new" for name in now if name not in before]
    return changed + gone + new or ["their order is another"]


def check_clips(rows: Sequence[Row], run: RunFolder) -> str:
    """How clips differ from those that a run was started with; a VmcError where it has been trained on them."""
    different = ", ".join(differing_clips(rows, run.path))
    if different and not left_nothing(run):
        raise VmcError(
            f"output is {run.path}, whose run was begun with other clips ({different}); put them back as they were, or"
            " choose another output"
        )
    return different


def _read(file: Path) -> list[dict[str, str]]:
    """Read the rows of a table; none where there is no run yet, or the table is missing or damaged."""
    if not (file.parent / "config.yaml").is_file():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8"), newline="")))
        fault = "" if rows and all(row.get("role") and row.get("path") for row in rows) else "is damaged"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fault = "is gone" if isinstance(error, FileNotFoundError) else f"does not read ({error})"
    if fault:
        log.warning("%s %s; it is written anew, and the clips are taken for those of before", file, fault)
    return [] if fault else rows
