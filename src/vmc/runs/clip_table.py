"""`clips.csv`: the clips that a run is trained on, and whether they are still the same when it goes on."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.data.clips import Clip
from vmc.utils.files import atomic_write, fingerprint

log = logging.getLogger(__name__)

NAME = "clips.csv"
COLUMNS = ("role", "path", "caption", "sha256")
Row = Mapping[str, str]


def clip_rows(clips: Sequence[Clip]) -> list[dict[str, str]]:
    """A row of the table for each clip; `sha256` is of the file, or of all frames of a folder."""
    return [
        {"role": clip.role, "path": str(clip.path), "caption": clip.caption, "sha256": fingerprint(Path(clip.path))}
        for clip in clips
    ]


def write_clips(rows: Sequence[Row], folder: Path) -> None:
    """Write the table of a run's clips."""
    with atomic_write(folder / NAME) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def differing_clips(rows: Sequence[Row], folder: Path) -> list[str]:
    """How the clips differ from those that the run in a folder was begun with, a phrase each; empty where they do not.

    Where they lie is no difference. A table that is gone or does not read is told, and compared with nothing.
    """
    earlier = _read(folder / NAME)
    if earlier is None:
        return []
    known = [key for key in COLUMNS if key != "path" and all(row.get(key) for row in earlier)]
    if [_content(row, known) for row in earlier] == [_content(row, known) for row in rows]:
        return []
    before, now = _by_name(earlier), _by_name(rows)
    changed = [
        f"{name} is changed"
        for name in before
        if name in now and _contents(before[name], known) != _contents(now[name], known)
    ]
    gone = [f"{name} is gone" for name in before if name not in now]
    new = [f"{name} is new" for name in now if name not in before]
    return changed + gone + new or ["their order is another"]


def _read(file: Path) -> list[dict[str, str]] | None:
    """The rows of a table; None where there is none that reads."""
    if not (file.parent / "config.yaml").is_file():  # no run yet
        return None
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fault = "is gone" if isinstance(error, FileNotFoundError) else f"does not read ({error})"
    else:
        fault = "" if rows and all(row.get("role") and row.get("path") for row in rows) else "is damaged"
    if fault:
        log.warning("%s %s; it is written anew, and the clips are taken for those of before", file, fault)
    return None if fault else rows


def _content(row: Row, known: Sequence[str]) -> list[str]:
    return [row[key] for key in known]


def _contents(rows: Sequence[Row], known: Sequence[str]) -> list[list[str]]:
    return sorted(_content(row, known) for row in rows)


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the names of their files, of which several folders may hold the same."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(Path(row["path"]).name, []).append(row)
    return found
