"""The paper's own values, each with its standing: read in the paper, second-hand, or not known."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("paper.csv")


@dataclass(frozen=True, kw_only=True)
class PaperValue:
    """A number as the paper prints it, or what it says where the number is not known.

    Args:
        text: as printed; empty where it is not known.
        percent: whether it is in percent.
        standing: `paper`, `second-hand` or `unknown`.
        says: what the paper says of it besides.
    """

    text: str
    percent: bool
    standing: str
    says: str

    @property
    def value(self) -> float | None:
        """As a number, shares between 0 and 1."""
        if not self.text:
            return None
        return float(self.text) / 100 if self.percent else float(self.text)


@cache
def paper_values() -> dict[tuple[str, str, str], PaperValue]:
    """By table, arm and metric."""
    with FILE.open(newline="", encoding="utf-8") as stream:
        return {
            (row["table"], row["arm"], row["metric"]): PaperValue(
                text=row["value"], percent=row["unit"] == "%", standing=row["standing"], says=row["says"]
            )
            for row in csv.DictReader(stream)
        }
