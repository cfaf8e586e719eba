"""`scores.csv`: a row a video, read back exactly as it was written."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.errors import VmcError
from vmc.files import written_whole
from vmc.metrics.base import COLUMNS, Value
from vmc.metrics.evaluator import Row
from vmc.metrics.record import Record


def _yes_or_no(value: Any) -> bool:
    known = {"True": True, "False": False, True: True, False: False}
    if value not in known:
        raise ValueError(value)
    return known[value]


def _whole(value: Any) -> int:
    number = int(value)
    if not isinstance(value, str) and number != value:
        raise ValueError(value)
    return number


KINDS: dict[str, Callable[[Any], Value]] = {
    **dict.fromkeys(("prompt", "subject", "video", "predicted", "nearest_clip"), str),
    **dict.fromkeys(("seed", "nearest_frame"), _whole),
    **dict.fromkeys(("valid", "motion_correct", "copied"), _yes_or_no),
}
"""Of the columns that hold no plain number."""


def write_scores(path: Path, scores: pd.DataFrame | Sequence[Row]) -> None:
    """Write the table whole, or not at all.

    Raises:
        VmcError: as `scores_text`.
    """
    text = scores_text(scores, path=path)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def scores_text(scores: pd.DataFrame | Sequence[Row], *, path: Path) -> str:
    """The content of the table's file; `path` is named where the rows do not fit.

    Raises:
        VmcError: other columns, a value of another kind, or two rows of one prompt and seed, or of one video.
    """
    rows: list[dict[Any, Any]] = scores.to_dict("records") if isinstance(scores, pd.DataFrame) else list(scores)
    for row in rows:
        if set(row) != set(COLUMNS):
            raise VmcError(f"a row for {path} has the columns {', '.join(map(str, row))}; {_needed()}")
    clean = [
        {column: _value(column, row[column], place=f"row {number} for {path}") for column in COLUMNS}
        for number, row in enumerate(rows, start=1)
    ]
    _check_once(clean, path=path)
    cells = [[_cell(value) for value in row.values()] for row in clean]
    return pd.DataFrame(cells, columns=list(COLUMNS)).to_csv(index=False)


def read_scores(path: Path) -> pd.DataFrame:
    """The rows: numbers as they were, None where a cell is empty; every column holds Python's own objects.

    Raises:
        VmcError: no such file, other columns, a value that does not read, or two rows of one video.
    """
    if not path.is_file():
        raise VmcError(f"{path} does not exist; score the videos first")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise VmcError(f"{path} does not read as a table ({error}); remove it and score the videos again") from error
    if list(table.columns) != list(COLUMNS):
        raise VmcError(f"{path} has the columns {', '.join(table.columns)}; {_needed()}")
    rows: list[Row] = [
        {str(column): _value(str(column), cell, place=f"{path}, line {line},") for column, cell in row.items()}
        for line, row in enumerate(table.to_dict("records"), start=2)
    ]
    _check_once(rows, path=path)
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def check_same_test_set(scores: pd.DataFrame, records: Iterable[Record], *, path: Path) -> None:
    """Refuse scores of videos that the test set does not hold; a part of it may be missing.

    Raises:
        VmcError: naming the first such row.
    """
    known = {(record.prompt, record.seed) for record in records}
    for prompt, seed in zip(scores["prompt"], scores["seed"], strict=True):
        if (prompt, seed) not in known:
            raise VmcError(
                f"{path} holds '{prompt}' with seed {seed}, which the test set does not;"
                " give another folder, or the prompts that it was made with"
            )


def _value(column: str, cell: Any, *, place: str) -> Value:
    """A cell as Python's own object; a table that was built of rows with and without a value has NaN for None."""
    absent = cell is None or (isinstance(cell, float) and math.isnan(cell)) or cell is pd.NA
    if absent or (cell == "" and column != "predicted"):
        if column in ("prompt", "video", "valid"):
            raise VmcError(f"{place} has no {column}; remove the file and score the videos again")
        return None
    try:
        return KINDS.get(column, float)(cell)
    except (TypeError, ValueError):
        raise VmcError(f"{place} has '{cell}' under {column}; remove the file and score the videos again") from None


def _cell(value: Value) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _needed() -> str:
    return f"scores have {', '.join(COLUMNS)}"


def _check_once(rows: Sequence[Row], *, path: Path) -> None:
    """A prompt and seed, or a video, that counted twice would weigh twice."""
    seen: set[tuple[Value, ...]] = set()
    for row in rows:
        for key in (("video", row["video"]), ("prompt", row["prompt"], "with seed", row["seed"])):
            if key in seen:
                named = " ".join(str(part) for part in key)
                raise VmcError(f"{path} has two rows of the {named}; give each once, or seeds that differ")
            seen.add(key)
