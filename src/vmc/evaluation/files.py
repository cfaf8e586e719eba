"""The files of an evaluation: `scores.csv`, `summary.json`, rows of what goes on, and what several runs share."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.metrics.columns import Column, Row
from vmc.metrics.declared import COLUMNS, columns_of
from vmc.metrics.scores import read_scores, scores_text
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder, atomic_write, short_reason

log = logging.getLogger(__name__)

SCORES, SUMMARY = "scores.csv", "summary.json"
CONCLUDING = ".concluding.json"
"""Says what `scores.csv` is about to become; it is gone when `summary.json` says so too."""
DIGEST, VIDEOS = "scores_sha256", "videos_sha256"
"""Keys of `summary.json`: of the table that it sums up, and of each video whose file nobody but the user has made."""


@dataclass(frozen=True)
class Known:
    """What an evaluation's folder holds already.

    Args:
        rows: of `scores.csv`, by video.
        videos: SHA-256 of the videos that they are of, where that was noted.
    """

    rows: Mapping[str, Row] = field(default_factory=dict)
    videos: Mapping[str, str] = field(default_factory=dict)


def check_writable(folder: Path) -> None:
    """Refuse a folder in which no scores can be written, before anything is loaded.

    Raises:
        VmcError: it, or the folder that it is to be made in, is a file or shut.
    """
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "cannot be written" if nearest.is_dir() else "is a file"
        raise VmcError(f"output is {folder}, but {nearest} {what}; choose another output")


def read_known(folder: Path, protocol: Mapping[str, Any]) -> Known:
    """The rows of `scores.csv`; none where it, or its summary, is missing, damaged or not as it was written.

    Raises:
        VmcError: it holds scores of another protocol.
    """
    scores, summary = folder / SCORES, read_summary(folder)
    if summary is None or not scores.is_file():
        return Known()
    check_protocol(folder, summary, protocol)
    digest = sha256_of(scores)
    notes = (summary, _read_object(folder / CONCLUDING) or {})
    said = [note for note in notes if note.get(DIGEST) == digest]
    if DIGEST in summary and not said:  # the summaries of earlier versions do not say
        log.warning("%s is not as it was written; its videos are scored again", scores)
        return Known()
    try:
        rows = table_rows(read_scores(scores, columns=columns_of(summary)))
    except VmcError as error:
        log.warning("%s; they are scored again", error)
        return Known()
    videos = said[0].get(VIDEOS) if said else None
    return Known({str(row["video"]): row for row in rows}, videos if isinstance(videos, dict) else {})


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The content of `summary.json`; None where it is missing or damaged, which is logged."""
    file = folder / SUMMARY
    if not file.is_file():
        return None
    summary = _read_object(file)
    if summary is None or not isinstance(summary.get("protocol"), dict):
        log.warning("%s is damaged; the videos are scored again", file)
        return None
    return summary


def check_protocol(folder: Path, summary: Mapping[str, Any], protocol: Mapping[str, Any]) -> None:
    """Refuse a folder whose scores were taken with other prompts, another sampler or other metrics.

    Raises:
        VmcError: naming what differs.
    """
    there = summary["protocol"]
    if different := sorted(key for key in there.keys() | protocol.keys() if there.get(key) != protocol.get(key)):
        raise VmcError(
            f"{folder} holds scores of another protocol ({', '.join(different)} differ);"
            " choose another output, or remove that folder to score anew"
        )


def write_scores_and_summary(
    folder: Path,
    rows: Sequence[Row],
    summary: Mapping[str, Any],
    *,
    videos: Mapping[str, str],
    columns: Sequence[Column] = COLUMNS,
) -> None:
    """Write both files, so that whenever this is cut off the next evaluation knows which rows stand.

    Args:
        folder: of the evaluation.
        rows: of the table.
        summary: of these rows.
        videos: SHA-256 of videos, where that is to be noted.
        columns: declarations of the table's columns.
    """
    text = scores_text(rows, path=folder / SCORES, columns=columns)
    notes = {DIGEST: hashlib.sha256(text.encode()).hexdigest()} | ({VIDEOS: dict(videos)} if videos else {})
    scores, whole = folder / SCORES, {**summary, **notes}
    if not scores.is_file() or sha256_of(scores) != notes[DIGEST]:
        write_json(folder / CONCLUDING, notes)
        with atomic_write(scores) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    if _read_object(folder / SUMMARY) != json.loads(json.dumps(whole)):
        write_summary(folder, whole)
    (folder / CONCLUDING).unlink(missing_ok=True)


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json` whole."""
    write_json(folder / SUMMARY, summary)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whole."""
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def table_rows(scores: pd.DataFrame) -> list[Row]:
    """The rows of a table of scores."""
    return [{str(name): value for name, value in row.items()} for row in scores.to_dict("records")]


def sha256_of(file: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


class RowsSoFar:
    """Rows of an evaluation that goes on, appended by one process as they come.

    The first line says what they are of, and holds a digest of the others: a damaged file holds no rows.

    Args:
        path: of the file.
        about: what the rows depend on, plain JSON; rows of something else do not count.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about = json.loads(json.dumps(about))

    def read(self) -> dict[str, tuple[Row, str | None]]:
        """Rows by video, each with the SHA-256 of its file where that was noted."""
        if not self.path.is_file():
            return {}
        head, _, body = self.path.read_bytes().partition(b"\n")
        try:
            noted = json.loads(head)
            whole = noted.pop("sha256", None) == hashlib.sha256(body).hexdigest()
        except (ValueError, AttributeError, TypeError, RecursionError):
            noted, whole = None, False
        if not whole:
            log.warning("%s is damaged; its videos are scored again", self.path)
            return {}
        if noted != self.about:
            return {}
        lines = [json.loads(line) for line in body.splitlines()]
        return {str(row["video"]): (row, digest) for row, digest in lines}

    def append(self, rows: Sequence[tuple[Row, str | None]]) -> None:
        """Add rows, or put them in the place of earlier ones, on disk when this returns."""
        kept = self.read() | {str(row["video"]): (row, digest) for row, digest in rows}
        body = "".join(f"{json.dumps(line)}\n" for line in kept.values())
        head = {**self.about, "sha256": hashlib.sha256(body.encode()).hexdigest()}
        with atomic_write(self.path) as temporary:
            temporary.write_text(f"{json.dumps(head)}\n{body}", encoding="utf-8", newline="")


def _read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


CHECKSUMS = "checksums.json"
"""The files of a shared evaluation with their SHA-256; a folder without it is not used."""


def take(shared: Path, folder: Path) -> bool:
    """Copy a shared evaluation, checked file by file, to the folder of a run's; whether that was done.

    What an interrupted evaluation has left in the folder is replaced. A shared one that is damaged is not used.
    """
    if not shared.is_dir():
        return False
    try:
        with atomic_folder(folder) as temporary:
            for name, digest in _checksums(shared).items():
                copy = temporary / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(shared / name, copy)  # bytes alone: a cache that is read-only says so of its files
                if sha256_of(copy) != digest:
                    raise _DamagedError(f"{name} is not as it was written")
            if folder.is_dir():
                shutil.rmtree(folder)
    except _DamagedError as error:
        log.warning("the shared evaluation %s is damaged (%s); it is made again", shared, error)
        return False
    except (OSError, VmcError) as error:
        log.warning("the shared evaluation %s cannot be copied (%s); it is made again", shared, short_reason(error))
        return False
    return True


def keep(folder: Path, shared: Path) -> None:
    """Keep a run's evaluation for other runs, in the place of one that is damaged.

    A cache that cannot be written is told, and nothing else comes of it.
    """
    try:
        if _intact(shared):
            return
        names = [SCORES, SUMMARY, *(f"videos/{file.name}" for file in sorted(folder.glob("videos/[!.]*.mp4")))]
        with atomic_folder(shared) as temporary:
            (temporary / "videos").mkdir()
            for name in names:
                shutil.copyfile(folder / name, temporary / name)
            write_json(temporary / CHECKSUMS, {name: sha256_of(temporary / name) for name in names})
            if shared.is_dir():
                shutil.rmtree(shared)
    except (OSError, VmcError) as error:
        log.warning(
            "the evaluation of step 0 is not shared with other runs: %s cannot be written (%s)",
            *(shared, short_reason(error)),
        )


class _DamagedError(Exception):
    """A shared evaluation is not as it was written."""


def _checksums(shared: Path) -> dict[str, str]:
    try:
        noted = json.loads((shared / CHECKSUMS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _DamagedError("it has no checksums") from error
    except ValueError as error:
        raise _DamagedError(f"{CHECKSUMS} does not read") from error
    plain = isinstance(noted, dict) and all(
        isinstance(value, str) and ".." not in name for name, value in noted.items()
    )
    if not plain or not {SCORES, SUMMARY} <= noted.keys():
        raise _DamagedError(f"{CHECKSUMS} is no list of its files")
    if gone := [name for name in noted if not (shared / name).is_file()]:
        raise _DamagedError(f"{gone[0]} is gone")
    return noted


def _intact(shared: Path) -> bool:
    try:
        return shared.is_dir() and all(sha256_of(shared / name) == one for name, one in _checksums(shared).items())
    except _DamagedError:
        return False
