"""The files of an evaluation: the score rows of `scores.csv`, `summary.json` with its protocol, and rows so far."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.metrics.columns import Column, Row
from vmc.metrics.declared import COLUMNS, columns_of
from vmc.metrics.scores import read_scores, scores_text
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, sha256_of, write_json

log = logging.getLogger(__name__)

SCORES, SUMMARY = "scores.csv", "summary.json"
CONCLUDING = ".concluding.json"
"""Says what `scores.csv` is about to become; it is gone when `summary.json` says so too."""
DIGEST, VIDEOS = "scores_sha256", "videos_sha256"
"""Keys of `summary.json`: of the table that it sums up, and of each video whose file nobody but the user has made."""
Rows = dict[str, tuple[Row, str | None]]
"""Rows of scores by video, each with the SHA-256 of its file where that was noted."""


def read_known(folder: Path, protocol: Mapping[str, Any]) -> Rows:
    """The rows of `scores.csv`; none where it, or its summary, is missing, damaged or not as it was written.

    Raises:
        VmcError: they were taken with other prompts, another sampler or other metrics.
    """
    scores, summary = folder / SCORES, read_summary(folder)
    if summary is None or not scores.is_file():
        return {}
    there = summary["protocol"]
    if different := sorted(key for key in there.keys() | protocol.keys() if there.get(key) != protocol.get(key)):
        raise VmcError(
            f"{folder} holds scores of another protocol ({', '.join(different)} differ);"
            " choose another output, or remove that folder to score anew"
        )
    digest = sha256_of(scores)
    notes = [note for note in (summary, read_object(folder / CONCLUDING) or {}) if note.get(DIGEST) == digest]
    if DIGEST in summary and not notes:  # the summaries of earlier versions do not say
        log.warning("%s is not as it was written; its videos are scored again", scores)
        return {}
    try:
        rows = table_rows(read_scores(scores, columns=columns_of(summary)))
    except VmcError as error:
        log.warning("%s; they are scored again", error)
        return {}
    videos = notes[0].get(VIDEOS) if notes else None
    noted = videos if isinstance(videos, dict) else {}
    return {str(row["video"]): (row, noted.get(row["video"])) for row in rows}


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The content of `summary.json`; None where it is missing or damaged, which is logged."""
    file = folder / SUMMARY
    summary = read_object(file)
    if summary is not None and isinstance(summary.get("protocol"), dict):
        return summary
    if file.is_file():
        log.warning("%s is damaged; the videos are scored again", file)
    return None


def read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_scores_and_summary(
    folder: Path, rows: Rows, summary: Mapping[str, Any], *, columns: Sequence[Column] = COLUMNS
) -> None:
    """Write both files, so that whenever this is cut off the next evaluation knows which rows are valid.

    Args:
        folder: of the evaluation.
        rows: of the table, in order.
        summary: of these rows.
        columns: declarations of the table's columns.
    """
    scores = folder / SCORES
    text = scores_text([row for row, _ in rows.values()], path=scores, columns=columns)
    videos = {name: digest for name, (_, digest) in rows.items() if digest}
    notes = {DIGEST: hashlib.sha256(text.encode()).hexdigest()} | ({VIDEOS: videos} if videos else {})
    if not scores.is_file() or sha256_of(scores) != notes[DIGEST]:
        write_json(folder / CONCLUDING, notes)
        with atomic_write(scores) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    if read_object(folder / SUMMARY) != json.loads(json.dumps({**summary, **notes})):
        write_json(folder / SUMMARY, {**summary, **notes})
    (folder / CONCLUDING).unlink(missing_ok=True)


def table_rows(scores: pd.DataFrame) -> list[Row]:
    """The rows of a table of scores."""
    return [{str(name): value for name, value in row.items()} for row in scores.to_dict("records")]


def read_rows_so_far(file: Path, about: Mapping[str, Any]) -> Rows:
    """The rows of an evaluation that goes on, which one process has appended; none where they are of something else.

    Args:
        file: of the rows, with a digest of them.
        about: what rows depend on, plain JSON.
    """
    noted = read_object(file) or {}
    rows = noted.get("rows")
    if not isinstance(rows, dict) or noted.get("sha256") != _digest(rows):
        if file.is_file():
            log.warning("%s is damaged; its videos are scored again", file)
        return {}
    same = noted.get("about") == json.loads(json.dumps(about))
    return {name: (row, digest) for name, (row, digest) in rows.items()} if same else {}


def append_rows_so_far(file: Path, about: Mapping[str, Any], rows: Rows) -> None:
    """Add rows, or put them in the place of earlier ones, on disk when this returns."""
    kept = read_rows_so_far(file, about) | rows
    write_json(file, {"about": about, "sha256": _digest(kept), "rows": kept})


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
