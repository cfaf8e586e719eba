"""The pages in `experiments/` show what the committed tables say."""

import runpy
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
PAGES = runpy.run_path(str(EXPERIMENTS / "pages.py"))


@pytest.mark.parametrize("folder", ["table1_baselines", "table2_ablations"])
def test_the_tables_of_a_page_are_those_of_its_csv_files(folder):
    page = (EXPERIMENTS / folder / "README.md").read_text(encoding="utf-8")
    assert PAGES["filled"](page, PAGES["blocks"]()[folder]) == page, "run python experiments/pages.py"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        ("0.1654", "0.0321", "0.2719", "+16.5 (3.2 to 27.2)"),
        ("-0.02", "-0.3", "0", "−2.0 (−30.0 to 0.0)"),
        ("-0.0001", "-0.0002", "0.1", "0.0 (0.0 to 10.0)"),
        ("0.5", "", "", "+50.0 (too few runs for an interval)"),
        ("0.5", "-1", "1", "+50.0 (too few runs for an interval)"),
        ("", "", "", ""),
    ],
)
def test_a_difference_is_shown_in_percent_points(value, low, high, shown):
    assert PAGES["with_interval"]({"x": value, "x_low": low, "x_high": high}, "x", signed=True) == shown


def test_a_page_without_the_comment_is_not_written_over():
    with pytest.raises(ValueError, match="not found"):
        PAGES["filled"]("no tables here", {"results": "|"})
