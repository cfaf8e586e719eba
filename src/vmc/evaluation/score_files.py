"""The files of an evaluation: `scores.csv`, `summary.json`, and the rows of an evaluation that is not complete."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.metrics.columns import Column, Row
from vmc.metrics.scores import COLUMNS, columns_of, read_scores, scores_text
from vmc.utils.errors import VmcError
from vmc.utils.files import read_json, sha256_of, write_json, write_text

log = logging.getLogger(__name__)

SCORES, SUMMARY = "scores.csv", "summary.json"
CONCLUDING = ".concluding.json"  # the checksum of the next `scores.csv`, until `summary.json` holds it too
# Keys of `summary.json` for checksums: of the table that it sums up, and of each video that the user has given.
DIGEST, VIDEOS = "scores_sha256", "videos_sha256"
MADE_BY = "made_by"  # key of `summary.json` and of the rows so far: a hash of the model that made the videos
# Rows of scores by video, each with the SHA-256 of its file where that was noted.
Rows = dict[str, tuple[Row, str | None]]


def read_known(folder: Path, protocol: Mapping[str, Any]) -> Rows:
    """The rows of `scores.csv`; none where it or its summary is missing, damaged or was changed.

    Raises:
        VmcError: they are of other prompts, another sampler or other metrics.
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
    notes = [note for note in (summary, read_json(folder / CONCLUDING) or {}) if note.get(DIGEST) == digest]
    if DIGEST in summary and not notes:  # summaries of earlier versions have no checksum
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


def check_made_by(folder: Path, made_by: str | None) -> None:
    """Raise a VmcError where a folder's videos, or those of an incomplete evaluation, are of another model, as far as
    that is known of both.
    """
    parts = [(read_json(file) or {}).get("about") for file in sorted(folder.glob(".rows-*.json"))]
    notes = [note for note in (read_json(folder / SUMMARY), *parts) if isinstance(note, dict) and MADE_BY in note]
    if made_by is not None and any(note[MADE_BY] != made_by for note in notes):
        raise VmcError(
            f"{folder} holds videos of other weights or of another base model; choose another output, or remove that"
            " folder to score anew"
        )


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The content of `summary.json`; None where it is missing or damaged, which is logged."""
    file = folder / SUMMARY
    summary = read_json(file)
    if summary is not None and isinstance(summary.get("protocol"), dict):
        return summary
    if file.is_file():
        log.warning("%s is damaged; the videos are scored again", file)
    return None


def write_scores_and_summary(
    folder: Path, rows: Rows, summary: Mapping[str, Any], *, columns: Sequence[Column] = COLUMNS
) -> None:
    """Write both files such that, wherever this is interrupted, the next evaluation knows which rows are valid.

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
        write_text(scores, text)
    if read_json(folder / SUMMARY) != json.loads(json.dumps({**summary, **notes})):
        write_json(folder / SUMMARY, {**summary, **notes})
    (folder / CONCLUDING).unlink(missing_ok=True)


def table_rows(scores: pd.DataFrame) -> list[Row]:
    """The rows of a table of scores."""
    return [{str(name): value for name, value in row.items()} for row in scores.to_dict("records")]


def read_rows_so_far(file: Path, about: Mapping[str, Any]) -> Rows:
    """The rows that one process has appended in an incomplete evaluation; none where they depend on anything else.

    Args:
        file: of the rows.
        about: what rows depend on, as plain JSON.
    """
    noted = read_json(file) or {}
    rows = noted.get("rows")
    if not isinstance(rows, dict) or noted.get("sha256") != _digest(rows):
        if file.is_file():
            log.warning("%s is damaged; its videos are scored again", file)
        return {}
    same = noted.get("about") == json.loads(json.dumps(about))
    return {name: (row, digest) for name, (row, digest) in rows.items()} if same else {}


def append_rows_so_far(file: Path, about: Mapping[str, Any], rows: Rows) -> None:
    """Add rows to a file, replacing earlier ones of the same videos."""
    kept = read_rows_so_far(file, about) | rows
    write_json(file, {"about": about, "sha256": _digest(kept), "rows": kept})


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
