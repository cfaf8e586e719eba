"""Declarations of the columns of `scores.csv`, and of the measures that are computed from them.

Nothing else lists names of columns, except `vmc.metrics.scores` for those that every table has: `scores.csv`,
`summary.json`, intervals, tables, the gallery and W&B follow these declarations. `summary.json` holds those that a
reader does not know.
"""

from collections.abc import Iterable
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from itertools import chain
from typing import Any, Literal, get_args

from vmc.utils.errors import VmcError

Value = float | int | bool | str | None  # the value of one video in one column; None where there is none
Row = dict[str, Value]  # a video's value of every column of `scores.csv`
Kind = Literal["text", "integer", "number", "truth"]
How = Literal["mean", "share", "above"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Measure:
    """The number that a column gives of a run, with its interval, in `summary.json` and in the report."""

    name: str  # its key in `summary.json`
    title: str  # heading of its column in a table
    _: KW_ONLY
    how: How = "mean"  # the mean of the values, the share of videos whose value is true, or the share above `threshold`
    threshold: float | None = None  # the value of `above`
    digits: int = 4  # digits after the point; of a share, of its percentage
    better: Better = "higher"  # which values are the better ones
    rank: int = 1  # by which measures are listed: 0 is the paper's own, 1 all others, 2 sanity checks of the videos
    tables: tuple[str, ...] = ()  # the paper's tables that it is a column of, `table1` or `table2`
    curve: bool = False  # whether it is drawn against training (Fig. 7)

    def __post_init__(self) -> None:
        _check(self, how=get_args(How), better=get_args(Better), digits=range(10), rank=range(3))
        if (self.how == "above") == (self.threshold is None):
            raise VmcError(f"the measure {self.name} is made by '{self.how}' with the threshold {self.threshold}")

    @property
    def percent(self) -> bool:
        """Whether the measure is a share of videos, which lies between 0 and 1 and is shown in percent."""
        return self.how != "mean"

    @property
    def plain(self) -> str:
        """The title without its unit."""
        return self.title.removesuffix(", %")

    @property
    def short(self) -> str:
        """The title as it is written within a sentence."""
        name = self.plain
        return name if name[1:2].isupper() else f"{name[0].lower()}{name[1:]}"


@dataclass(frozen=True)
class Column:
    """A column of `scores.csv`."""

    name: str  # its head
    _: KW_ONLY
    kind: Kind = "number"  # of its values; an empty cell is no value
    title: str | None = None  # in the gallery; "" where it is not shown there, None for what its measure is called
    invalid: Value = None  # the value of an invalid video; where that is no number, the measure leaves such videos out
    measure: Measure | None = None  # what it says of a run; None where nothing
    suites: tuple[str, ...] = ()  # of a test set, in which alone it is scored and counted; empty: everywhere

    def __post_init__(self) -> None:
        _check(self, kind=get_args(Kind))
        if self.measure is not None and self.kind == "text":
            raise VmcError(f"the column {self.name} holds text, of which there is no {self.measure.name}")

    def counts_in(self, suite: Value) -> bool:
        """Whether videos of a suite of the test set (None: of none) have a value in this column."""
        return not self.suites or suite in self.suites

    @property
    def label(self) -> str:
        """The column's name in the gallery; empty where it is not shown there."""
        return (self.measure.plain if self.measure else "") if self.title is None else self.title

    def to_json(self) -> dict[str, Any]:
        """The values that differ from the defaults, as `summary.json` holds them."""
        return _changed(self) | ({"measure": _changed(self.measure)} if self.measure else {})


_TYPES: dict[str, Any] = {"name": str, "title": str | None, "tables": tuple, "curve": bool}
_TYPES |= {"suites": tuple, "threshold": float | int | None, "invalid": Value, "measure": Measure | None}


def _check(declared: Column | Measure, **choices: Any) -> None:
    """Refuse invalid values in a declaration, which may come from a file."""
    for part in fields(declared):
        value = getattr(declared, part.name)
        if isinstance(value, list):  # as JSON has tuples
            value = tuple(value)
            object.__setattr__(declared, part.name, value)
        fits = value in choices[part.name] if part.name in choices else isinstance(value, _TYPES[part.name])
        if not fits or (not value and part.default is MISSING):
            raise VmcError(f"a {type(declared).__name__.lower()} is declared with {value!r} as {part.name}")


def _changed(declared: Column | Measure) -> dict[str, Any]:
    values = {part: getattr(declared, part.name) for part in fields(declared) if part.name != "measure"}
    return {part.name: value for part, value in values.items() if value != part.default}


def measures_of(columns: Iterable[Column]) -> tuple[Measure, ...]:
    """Measures of columns, sorted by rank."""
    return united(column.measure for column in columns if column.measure)


def united(*several: Iterable[Measure]) -> tuple[Measure, ...]:
    """Merge measures: each once, as it is declared first, sorted by rank."""
    once: dict[str, Measure] = {}
    for measure in chain(*several):
        once.setdefault(measure.name, measure)
    return tuple(sorted(once.values(), key=lambda measure: measure.rank))


def check_distinct(columns: Iterable[tuple[str, Column]]) -> None:
    """Refuse two columns, or two measures, of one name; each column comes with the name of what declares it."""
    owners: dict[tuple[str, str], str] = {}
    for owner, column in columns:
        for kind, name in (("column", column.name), ("measure", column.measure.name if column.measure else "")):
            if name and (other := owners.get((kind, name))):
                raise VmcError(f"{other} and {owner} both have the {kind} {name}; take one of them out")
            owners[kind, name] = owner


def read_columns(content: Any) -> tuple[Column, ...]:
    """Columns that were written by `Column.to_json`."""
    try:
        return tuple(_column(**one) for one in content)
    except (TypeError, ValueError) as error:
        raise VmcError(f"columns are not declared as they should be ({error})") from error


def _column(*, measure: Any = None, **more: Any) -> Column:
    return Column(**more, measure=None if measure is None else Measure(**measure))
