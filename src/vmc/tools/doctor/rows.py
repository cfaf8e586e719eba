"""A finding with its remedy, and how findings are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """A finding.

    Args:
        part: what was looked at.
        state: ok; note, what works with less than could be; fails, what keeps the stack from running.
        found: what is there.
        remedy: the command or the change that puts it right; empty where there is nothing to do.
    """

    part: str
    state: Literal["ok", "note", "fails"]
    found: str
    remedy: str = ""


def lines(rows: Sequence[Row]) -> list[str]:
    """The table: a line a finding, and its remedy below it."""
    states, parts = (max(len(getattr(row, column)) for row in rows) for column in ("state", "part"))
    shown = []
    for row in rows:
        shown.append(f"{row.state:<{states}}  {row.part:<{parts}}  {row.found}")
        if row.remedy:
            shown.append(f"{'':<{states}}  {'':<{parts}}  -> {row.remedy}")
    return shown
