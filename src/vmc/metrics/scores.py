"""`scores.csv`: a row a video, read back exactly as it was written."""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vmc.metrics.base import Record
from vmc.metrics.columns import Column, Kind, Value
from vmc.metrics.declared import BASE, COLUMNS
from vmc.metrics.suite import Row
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write


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


READ: dict[Kind, Callable[[Any], Value]] = {"text": str, "integer": _whole, "truth": _yes_or_no, "number": float}
NEEDED = ("prompt", "video", "valid")
"""Columns without an empty cell."""


def write_scores(path: Path, scores: pd.DataFrame | Sequence[Row], *, columns: Sequence[Column] = COLUMNS) -> None:
    """Write the table whole, or not at all.

    Raises:
        VmcError: as `scores_text`.
    """
    text = scores_text(scores, path=path, columns=columns)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def scores_text(scores: pd.DataFrame | Sequence[Row], *, path: Path, columns: Sequence[Column] = COLUMNS) -> str:
    """The content of the table's file: the declared columns, then whatever else the rows hold.

    Args:
        scores: the rows; a declared column that one lacks is an empty cell.
        path: of the file, named where the rows do not fit.
        columns: declarations.

    Raises:
        VmcError: a base column is missing, a value is of another kind, or two rows are of one prompt and seed, or of
            one video.
    """
    rows: list[dict[Any, Any]] = scores.to_dict("records") if isinstance(scores, pd.DataFrame) else list(scores)
    for row in rows:
        if not {column.name for column in BASE} <= set(row):
            raise VmcError(f"a row for {path} has the columns {', '.join(map(str, row))}; {_needed()}")
    declared = {column.name: column for column in columns}
    names = list(dict.fromkeys([*declared, *(name for row in rows for name in row)]))
    clean = [
        {name: _value(name, row.get(name), declared.get(name), place=f"row {number} for {path}") for name in names}
        for number, row in enumerate(rows, start=1)
    ]
    _check_once(clean, path=path)
    cells = [[_cell(value) for value in row.values()] for row in clean]
    return pd.DataFrame(cells, columns=names).to_csv(index=False)


def read_scores(path: Path, *, columns: Sequence[Column] = COLUMNS) -> pd.DataFrame:
    """The rows: numbers as they were, None where a cell is empty; every column holds Python's own objects.

    A declared column that the file lacks is empty. One that nobody has declared holds numbers where all its cells read
    as such, else text.

    Raises:
        VmcError: no such file, a base column is missing, a value that does not read, or two rows of one video.
    """
    if not path.is_file():
        raise VmcError(f"{path} does not exist; score the videos first")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            head = next(csv.reader(stream), [])
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error) as error:
        raise VmcError(f"{path} does not read as a table ({error}); remove it and score the videos again") from error
    if len(set(head)) < len(head) or not {column.name for column in BASE} <= set(head):
        raise VmcError(f"{path} has the columns {', '.join(head)}; {_needed()}")
    declared = {column.name: column for column in columns}
    kinds = declared | {name: Column(name=name, kind=_kind(table[name])) for name in head if name not in declared}
    rows: list[Row] = [
        {name: _value(name, row.get(name), column, place=f"{path}, line {line},") for name, column in kinds.items()}
        for line, row in enumerate(table.to_dict("records"), start=2)
    ]
    _check_once(rows, path=path)
    return pd.DataFrame(rows, columns=list(kinds), dtype=object)


def _kind(cells: Iterable[str]) -> Kind:
    """What a column looks like."""
    try:
        return "number" if [float(cell) for cell in cells if cell] else "text"
    except ValueError:
        return "text"


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


def _value(name: str, cell: Any, column: Column | None, *, place: str) -> Value:
    """A cell as Python's own object; a table that was built of rows with and without a value has NaN for None."""
    absent = cell is None or (isinstance(cell, float) and math.isnan(cell)) or cell is pd.NA
    if absent or (cell == "" and (column is None or column.invalid != "")):
        if name in NEEDED:
            raise VmcError(f"{place} has no {name}; remove the file and score the videos again")
        return None
    if column is None:
        return cell
    try:
        return READ[column.kind](cell)
    except (TypeError, ValueError):
        raise VmcError(f"{place} has '{cell}' under {name}; remove the file and score the videos again") from None


def _cell(value: Value) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _needed() -> str:
    return f"scores have {', '.join(column.name for column in BASE)} and those of the metrics, each once"


def _check_once(rows: Sequence[Row], *, path: Path) -> None:
    """A prompt and seed, or a video, that counted twice would weigh twice."""
    seen: set[tuple[Value, ...]] = set()
    for row in rows:
        for key in (("video", row["video"]), ("prompt", row["prompt"], "with seed", row["seed"])):
            if key in seen:
                named = " ".join(str(part) for part in key)
                raise VmcError(f"{path} has two rows of the {named}; give each once, or seeds that differ")
            seen.add(key)
