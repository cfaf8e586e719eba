"""`scores.csv`: its columns, reading and writing a row for each video without loss, and its measures as numbers."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric
from vmc.metrics.columns import Column, Kind, Measure, Row, Value, measures_of, read_columns
from vmc.metrics.copying import COPY_THRESHOLD, Copying, copy_columns
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.quality import Quality
from vmc.utils.errors import VmcError
from vmc.utils.files import csv_text, write_text

VALID = Measure("valid", "Valid videos, %", how="share", digits=1, rank=2)
# Columns that no metric fills.
BASE = (
    Column("prompt", kind="text"),
    Column("subject", kind="text"),
    Column("seed", kind="integer"),
    Column("video", kind="text"),
    Column("valid", kind="truth", title="", invalid=False, measure=VALID),
)
DECLARED = "columns"  # the key of `summary.json` for declarations of columns that are not known here
# What identifies a video within a run. Without a subject the prompt stands for it, without a seed the file's name.
KEYS = ["subject", "prompt", "seed"]
SUITE = "suite"  # the column that says of which suite of its test set a video is; absent where there are none
NEEDED = ("prompt", "video", "valid")  # columns without an empty cell


def known_columns(copy_threshold: float = COPY_THRESHOLD) -> tuple[Column, ...]:
    """Columns of every table, in order; those that were not measured are empty."""
    pictures, consistency = Appearance.columns[:2], Appearance.columns[2:]
    return (*BASE, *MotionAccuracy.columns, *pictures, *copy_columns(copy_threshold), *consistency, *Quality.columns)


COLUMNS = known_columns()
MEASURES = measures_of(COLUMNS)


def columns_with(metrics: Iterable[Metric]) -> tuple[Column, ...]:
    """The known columns, as these metrics declare them where they do, then the metrics' own."""
    return _replaced(COLUMNS, (column for metric in metrics for column in metric.columns))


def columns_of(summary: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of the table beside a `summary.json`. Invalid declarations are refused."""
    copying = summary["protocol"].get(Copying.name) or {}
    return _replaced(known_columns(copying.get("threshold", COPY_THRESHOLD)), read_columns(summary.get(DECLARED, ())))


def extra_columns(columns: Iterable[Column], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `summary.json` that declares columns which its reader does not know otherwise."""
    known = columns_of(summary)
    own = [column.to_json() for column in columns if column not in known]
    return {DECLARED: own} if own else {}


def _replaced(known: Iterable[Column], others: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(({column.name: column for column in known} | {column.name: column for column in others}).values())


def write_scores(path: Path, scores: pd.DataFrame | Sequence[Row], *, columns: Sequence[Column] = COLUMNS) -> None:
    """Write the table atomically."""
    write_text(path, scores_text(scores, path=path, columns=columns))


def scores_text(scores: pd.DataFrame | Sequence[Row], *, path: Path, columns: Sequence[Column] = COLUMNS) -> str:
    """The table as CSV: the declared columns, empty where a row lacks them, then other columns of the rows.

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
    return csv_text(names, clean)


def read_scores(path: Path, *, columns: Sequence[Column] = COLUMNS) -> pd.DataFrame:
    """Read the table into columns of Python objects, None where a cell is empty.

    A declared column that the file lacks is empty. A column that is not declared holds numbers if all of its cells are
    numbers, else text.

    Raises:
        VmcError: the file or a base column is missing, a value is invalid, or two rows are of one video.
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
    try:
        return "number" if [float(cell) for cell in cells if cell] else "text"
    except ValueError:
        return "text"


def _value(name: str, cell: Any, column: Column | None, *, place: str) -> Value:
    """A cell as a Python object. Pandas has NaN for None where only some rows have a value."""
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
    """Refuse two rows of one prompt and seed, or of one video, which would count twice."""
    seen: set[tuple[Value, ...]] = set()
    for row in rows:
        for key in (("video", row["video"]), ("prompt", row["prompt"], "with seed", row["seed"])):
            if key in seen:
                named = " ".join(str(part) for part in key)
                raise VmcError(f"{path} has two rows of the {named}; give each once, or seeds that differ")
            seen.add(key)


def values_of_run(scores: pd.DataFrame, *, columns: Iterable[Column] = COLUMNS) -> pd.DataFrame:
    """Convert the scores of `read_scores` to numbers: a row for each video, sorted by KEYS, a column for each measure.

    Invalid videos (black, NaN, unreadable) have the value that the column declares for them: they count as wrong in
    `motion_accuracy`, so that the denominator stays the same, and most other measures leave them out. Measures of
    columns without any value are left out, such as `motion_correct` for a motion that the classifier does not know.

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
    """Names of the measures in a table of values, in order."""
    return [str(name) for name in values.columns if name not in KEYS]
