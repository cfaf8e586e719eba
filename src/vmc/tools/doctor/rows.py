"""A finding with its remedy, and how findings are shown."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple


class Row(NamedTuple):
    """A finding; its state is ok, note (works with less than could be) or fails (keeps the stack from running)."""

    part: str
    state: Literal["ok", "note", "fails"]
    found: str
    remedy: str = ""


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table: a line a finding, and its remedy below it."""
    width = max(len(row.part) for row in rows)
    for row in rows:
        yield f"{row.state:<5}  {row.part:<{width}}  {row.found}"
        if row.remedy:
            yield f"{'':<{width + 9}}-> {row.remedy}"
