"""`scores.csv`: a row a video, read back exactly as it was written, and its values as numbers."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vmc.metrics.columns import Column, Kind, Row, Value
from vmc.metrics.declared import BASE, COLUMNS
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

KEYS = ["subject", "prompt", "seed"]
"""What names a video within a run: subject is the prompt where the test set names none, seed the file without one."""
SUITE = "suite"
"""Column of which suite of its test set a video is; not there where the test set has none."""
NEEDED = ("prompt", "video", "valid")
"""Columns without an empty cell."""


def write_scores(path: Path, scores: pd.DataFrame | Sequence[Row], *, columns: Sequence[Column] = COLUMNS) -> None:
    """Write the table whole, or not at all."""
    text = scores_text(scores, path=path, columns=columns)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def scores_text(scores: pd.DataFrame | Sequence[Row], *, path: Path, columns: Sequence[Column] = COLUMNS) -> str:
    """The content of the table's file: the declared columns, empty where a row lacks them, then what else rows hold.

    Raises:
        VmcError: naming `path`: a base column is missing, a value is of another kind, or two rows are of one prompt and
            seed, or of one video.
    """
    rows: list[dict[Any, Any]] = scores.to_dict("records") if isinstance(scores, pd.DataFrame) else list(scores)
    for row in rows:
        _check_base(row, f"a row for {path}")
    declared = {column.name: column for column in columns}
    names = list(dict.fromkeys([*declared, *(name for row in rows for name in row)]))
    clean = [
        {name: _value(name, row.get(name), declared.get(name), place=f"row {number} for {path}") for name in names}
        for number, row in enumerate(rows, start=1)
    ]
    _check_once(clean, path=path)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([repr(value) if isinstance(value, float) else value for value in row.values()] for row in clean)
    return stream.getvalue()


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
            reader = csv.DictReader(stream, strict=True)
            head, table = list(reader.fieldnames or ()), list(reader)
        if not head or any(None in row for row in table):
            raise ValueError("a row has more cells than there are columns" if head else "it is empty")
    except (ValueError, csv.Error) as error:
        raise VmcError(f"{path} does not read as a table ({error}); remove it and score the videos again") from error
    _check_base(head, str(path))
    declared = {column.name: column for column in columns}
    kinds = declared | {
        name: Column(name=name, kind=_kind([row[name] for row in table])) for name in head if name not in declared
    }
    rows: list[Row] = [
        {name: _value(name, row.get(name), column, place=f"{path}, line {line},") for name, column in kinds.items()}
        for line, row in enumerate(table, start=2)
    ]
    _check_once(rows, path=path)
    return pd.DataFrame(rows, columns=list(kinds), dtype=object)


def _kind(cells: Iterable[str]) -> Kind:
    """What a column looks like."""
    try:
        return "number" if [float(cell) for cell in cells if cell] else "text"
    except ValueError:
        return "text"


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
        return PARSE[column.kind](cell)
    except (TypeError, ValueError, KeyError):
        raise VmcError(f"{place} has '{cell}' under {name}; remove the file and score the videos again") from None


def _whole(cell: Any) -> int:
    if not isinstance(cell, str) and int(cell) != cell:
        raise ValueError(cell)
    return int(cell)


PARSE: dict[Kind, Callable[[Any], Value]] = {
    "text": str,
    "integer": _whole,
    "number": float,
    "truth": {"True": True, "False": False, True: True, False: False}.__getitem__,
}


def _check_base(names: Iterable[Any], what: str) -> None:
    names, base = list(names), [column.name for column in BASE]
    if len(set(names)) < len(names) or not set(base) <= set(names):
        needed = f"scores have {', '.join(base)} and those of the metrics, each once"
        raise VmcError(f"{what} has the columns {', '.join(map(str, names))}; {needed}")


def _check_once(rows: Sequence[Mapping[str, Value]], *, path: Path) -> None:
    """A prompt and seed, or a video, that counted twice would weigh twice."""
    seen: set[tuple[Value, ...]] = set()
    for row in rows:
        for key in (("video", row["video"]), ("prompt", row["prompt"], "with seed", row["seed"])):
            if key in seen:
                named = " ".join(str(part) for part in key)
                raise VmcError(f"{path} has two rows of the {named}; give each once, or seeds that differ")
            seen.add(key)


def values_of_run(scores: pd.DataFrame, *, columns: Iterable[Column] = COLUMNS) -> pd.DataFrame:
    """A run's scores, as `read_scores` gives them, as numbers: one row a video, sorted by KEYS, a column a measure.

    An invalid video (black, NaN, unreadable) counts as its column says, whatever its cell says: as wrong in
    `motion_accuracy`, so that the denominator stays what it was; most others leave it out. A column that is empty
    throughout was not measured and has no measure: so it is with `motion_correct` for a motion that the classifier does
    not know.

    Raises:
        VmcError: no videos, an infinite value, or a valid video without a value where an invalid one counts.
    """
    if scores.empty:
        raise VmcError("the scores hold no videos; evaluate at least one prompt")
    prompts, subjects, seeds = scores["prompt"].astype(str), scores["subject"], scores["seed"]
    values = pd.DataFrame({"subject": subjects.where(subjects.notna(), prompts).astype(str), "prompt": prompts})
    unknown = seeds.isna()
    values["seed"] = seeds.astype(str).where(~unknown, scores["video"]) if unknown.any() else seeds.astype("int64")
    valid = scores["valid"].to_numpy(dtype=bool)
    suites = scores[SUITE] if SUITE in scores.columns else [None] * len(scores)
    measured = [(column, column.measure) for column in columns if column.measure and column.name in scores.columns]
    for column, measure in sorted(measured, key=lambda pair: pair[1].rank):
        numbers = scores[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
        empty = np.isnan(numbers)
        counted = np.array([column.counts_in(suite) for suite in suites], dtype=bool)
        if np.isinf(numbers).any():
            raise VmcError(f"the scores' column {column.name} holds an infinite value; evaluate again")
        if column.invalid is not None and not empty.all() and (unscored := empty & valid & counted).any():
            raise VmcError(f"{column.name} of '{prompts.to_numpy()[unscored][0]}' is empty; evaluate again")
        numbers = np.where(valid, numbers, np.nan if column.invalid is None else float(column.invalid))
        numbers = np.where(counted, numbers, np.nan)
        if measure.threshold is not None:
            numbers = np.where(np.isnan(numbers), np.nan, numbers > measure.threshold)
        if not (empty.all() or np.isnan(numbers).all()):
            values[measure.name] = numbers
    return values.sort_values(KEYS, ignore_index=True)


def names_of(values: pd.DataFrame) -> list[str]:
    """The measures that a table of values holds, in the order in which they are listed."""
    return [str(name) for name in values.columns if name not in KEYS]
