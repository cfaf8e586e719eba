"""A run's scores as numbers: a row a video, a column a measure, empty where a video has no such value."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vmc.metrics.columns import Column, measured
from vmc.metrics.declared import COLUMNS
from vmc.utils.errors import VmcError

KEYS = ["subject", "prompt", "seed"]
"""What names a video within a run: subject is the prompt where the test set names none, seed the file without one."""


def values_of_run(scores: pd.DataFrame, *, columns: Iterable[Column] = COLUMNS) -> pd.DataFrame:
    """One row a video, sorted by KEYS, with a column for every measure that was taken.

    An invalid video (black, NaN, unreadable) counts as its column says, whatever its cell says: as wrong in
    `motion_accuracy`, so that the denominator stays what it was; most others leave it out. A column that is empty
    throughout was not measured and has no measure: so it is with `motion_correct` for a motion that the classifier does
    not know.

    Args:
        scores: the table of `scores.csv`.
        columns: declarations of its columns.

    Raises:
        VmcError: no videos, no column prompt, seed or valid, a video twice, a cell that is no number, or a valid video
            without a value where an invalid one counts.
    """
    if missing := sorted({"prompt", "seed", "valid"} - set(scores.columns)):
        raise VmcError(f"the scores have no column {missing[0]}; give the scores.csv that vmc.evaluate wrote")
    if scores.empty:
        raise VmcError("the scores hold no videos; evaluate at least one prompt")
    values = _keys(scores)
    valid = _numbers(scores["valid"])
    if np.isnan(valid).any():
        raise VmcError(f"the scores do not say whether '{_first(scores, np.isnan(valid))}' is valid; evaluate again")
    for column in measured(columns):
        assert column.measure is not None
        if column.name not in scores.columns or np.isnan(numbers := _numbers(scores[column.name])).all():
            continue
        if column.invalid is not None and (unscored := np.isnan(numbers) & (valid == 1)).any():
            raise VmcError(f"{column.name} of '{_first(scores, unscored)}' is empty; evaluate again")
        counted = np.nan if column.invalid is None else float(column.invalid)
        numbers = np.where(valid == 1, numbers, counted)
        if column.measure.threshold is not None:
            numbers = np.where(np.isnan(numbers), np.nan, numbers > column.measure.threshold)
        if not np.isnan(numbers).all():
            values[column.measure.name] = numbers
    return values.sort_values(KEYS, ignore_index=True)


def names_of(values: pd.DataFrame) -> list[str]:
    """The measures that a table of values holds, in the order in which they are listed."""
    return [str(name) for name in values.columns if name not in KEYS]


def _keys(scores: pd.DataFrame) -> pd.DataFrame:
    prompts = scores["prompt"].astype(str)
    subjects = scores["subject"] if "subject" in scores.columns else pd.Series(None, index=scores.index, dtype=object)
    named = subjects.notna() & (subjects.astype(str) != "")
    keys = pd.DataFrame({"subject": subjects.astype(str).where(named, prompts), "prompt": prompts})
    keys["seed"] = _seeds(scores)
    if (twice := keys.duplicated()).any():
        row = keys[twice].iloc[0]
        raise VmcError(f"the scores hold '{row['prompt']}' with seed {row['seed']} twice; keep one of the rows")
    return keys


def _seeds(scores: pd.DataFrame) -> pd.Series:
    unknown = scores["seed"].isna() | (scores["seed"].astype(str) == "")
    if not unknown.any():
        return scores["seed"].astype("int64")
    if "video" not in scores.columns:
        raise VmcError(f"'{_first(scores, unknown.to_numpy())}' has neither seed nor video in the scores; give one")
    return scores["seed"].astype(str).where(~unknown, scores["video"].astype(str))


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """A column as floats: truth as 1 and 0, an empty cell as NaN.

    Raises:
        VmcError: text, or infinity.
    """
    words = {"true": 1.0, "false": 0.0, "": np.nan}
    plain = [words.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell for cell in column]
    try:
        numbers = pd.to_numeric(pd.Series(plain, dtype=object)).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise VmcError(f"the scores' column {column.name} does not read as numbers: {error}") from error
    if np.isinf(numbers).any():
        raise VmcError(f"the scores' column {column.name} holds an infinite value; evaluate again")
    return numbers


def _first(scores: pd.DataFrame, where: NDArray[np.bool_]) -> str:
    return str(scores["prompt"].to_numpy()[where][0])
