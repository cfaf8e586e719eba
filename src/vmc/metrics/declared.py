"""The columns that every table of scores has, and those of an evaluation: what a reader knows without being told."""

from collections.abc import Iterable, Mapping
from typing import Any

from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric
from vmc.metrics.columns import Column, Measure, measures_of, read_columns
from vmc.metrics.copying import COPY_THRESHOLD, Copying, copy_columns
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.quality import Quality

VALID = Measure("valid", "Valid videos, %", how="share", digits=1, rank=2)
BASE = (
    Column("prompt", kind="text"),
    Column("subject", kind="text"),
    Column("seed", kind="integer"),
    Column("video", kind="text"),
    Column("valid", kind="truth", title="", invalid=False, measure=VALID),
)
"""Columns that no metric fills."""
KEY = "columns"
"""Of `summary.json`: the declarations that a reader cannot know."""


def known_columns(copy_threshold: float = COPY_THRESHOLD) -> tuple[Column, ...]:
    """Columns of every table, in this order, empty where nobody has measured them."""
    pictures, consistency = Appearance.columns[:2], Appearance.columns[2:]
    return (*BASE, *MotionAccuracy.columns, *pictures, *copy_columns(copy_threshold), *consistency, *Quality.columns)


COLUMNS = known_columns()
MEASURES = measures_of(COLUMNS)


def columns_with(metrics: Iterable[Metric]) -> tuple[Column, ...]:
    """The known columns, each as one of these metrics declares it, then the metrics' others."""
    return _replaced(COLUMNS, (column for metric in metrics for column in metric.columns))


def columns_of(summary: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of the table beside a `summary.json`; what it declares and is no column is refused."""
    copying = summary["protocol"].get(Copying.name) or {}
    return _replaced(known_columns(copying.get("threshold", COPY_THRESHOLD)), read_columns(summary.get(KEY, ())))


def extra_columns(columns: Iterable[Column], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The declarations that a `summary.json` holds: of columns that a reader of the rest of it does not know."""
    known = columns_of(summary)
    own = [column.to_json() for column in columns if column not in known]
    return {KEY: own} if own else {}


def _replaced(known: Iterable[Column], others: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(({column.name: column for column in known} | {column.name: column for column in others}).values())
