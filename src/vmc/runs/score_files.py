"""The files of an evaluation: `scores.csv`, the `summary.json` that agrees with it, and rows of what goes on."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.errors import VmcError
from vmc.files import written_whole
from vmc.metrics.columns import Column
from vmc.metrics.declared import COLUMNS, columns_of
from vmc.metrics.evaluator import Row
from vmc.metrics.scores import read_scores, scores_text

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
        with written_whole(scores) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    if _read_object(folder / SUMMARY) != json.loads(json.dumps(whole)):
        write_summary(folder, whole)
    (folder / CONCLUDING).unlink(missing_ok=True)


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json` whole."""
    write_json(folder / SUMMARY, summary)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whole."""
    with written_whole(file) as temporary:
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
        with written_whole(self.path) as temporary:
            temporary.write_text(f"{json.dumps(head)}\n{body}", encoding="utf-8", newline="")


def _read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
