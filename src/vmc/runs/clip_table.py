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

    Where they lie is no difference. A table that is gone or does not read is logged, and compared with nothing.
    """
    earlier = _read(folder / NAME)
    known = [key for key in COLUMNS if key != "path" and all(row.get(key) for row in earlier)]

    def by_name(rows: Sequence[Row]) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {}  # several folders may hold files of one name
        for row in rows:
            found.setdefault(Path(row["path"]).name, []).append([row[key] for key in known])
        return {name: sorted(contents) for name, contents in found.items()}

    if not earlier or [[row[key] for key in known] for row in earlier] == [[row[key] for key in known] for row in rows]:
        return []
    before, now = by_name(earlier), by_name(rows)
    changed = [f"{name} is changed" for name in before if name in now and before[name] != now[name]]
    gone = [f"{name} is gone" for name in before if name not in now]
    new = [f"{name} is new" for name in now if name not in before]
    return changed + gone + new or ["their order is another"]


def _read(file: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no run yet, or no table that reads."""
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
