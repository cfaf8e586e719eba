"""What the tables of the paper list: arms, the parts they belong to, what stands below them, and the paper's values."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vmc.metrics.scores import MEASURES

METHOD = "method"
FLOOR, LANGUAGE, CEILING = "floor", "language", "ceiling"
CONTROLS = {
    FLOOR: "Untuned model (floor)",
    LANGUAGE: "Untuned model, asked in natural language",
    CEILING: "Real held-out clips (ceiling)",
}
"""Rows below the arms of every table."""
THESE_CLIPS = "these clips only"
"""What the ceiling's intervals speak of where it is one motion's clips: they are no model's."""
NOT_REACHED = "‡"  # marks what did not reach the threshold within its steps
APPEARANCE = next(measure for measure in MEASURES if measure.name == "appearance")  # at which arms are compared


class Line(NamedTuple):
    """A line of a table: an arm, what it is called in this part, and what it is called elsewhere."""

    part: str
    arm: str
    label: str
    name: str = METHOD


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A table of the paper: its arms, of which one may stand in several parts, and the controls below them."""

    name: str  # of its files
    title: str
    lines: Sequence[Line]
    controls: Sequence[str]
    parts: Mapping[str, str] = field(default_factory=dict)  # titles by their letter
    paper: str = "The paper's values are means over five motions, of ZeroScope on Jester at an appearance of 0.265."


TABLE1 = Layout(
    name="table1",
    title="Table 1: the method and its baselines",
    controls=(FLOOR, LANGUAGE, CEILING),
    lines=(
        Line("", "textual_inversion", "Textual Inversion", "Textual Inversion"),
        Line("", "custom_diffusion", "Custom Diffusion", "Custom Diffusion"),
        Line("", "dreambooth", "DreamBooth", "DreamBooth"),
        Line("", METHOD, "The method"),
    ),
)
TABLE2 = Layout(
    name="table2",
    title="Table 2: ablations of the method",
    controls=(FLOOR, CEILING),
    parts={
        "a": "Spatial parameters",
        "b": "Temporal parameters",
        "c": "Token embedding",
        "d": "Timesteps",
        "e": "Regularization",
        "f": "Low-rank adaptation (not in the paper's table)",
    },
    lines=(
        Line("a", "params_none", "none", "no spatial parameters"),
        Line("a", METHOD, "keys and values (the method)"),
        Line("a", "params_all", "all", "all spatial parameters"),
        Line("b", "temporal_frozen", "frozen: spatial keys and values alone", "spatial keys and values alone"),
        Line("b", "temporal_frozen_spatial", "frozen: all spatial layers", "spatial layers alone"),
        Line("b", METHOD, "trained (the method)"),
        Line("c", "token_trained", "trained", "token trained"),
        Line("c", METHOD, "frozen (the method)"),
        Line("d", "timesteps_uniform", "uniform", "uniform timesteps"),
        Line("d", METHOD, "coarse noise (the method)"),
        Line("e", "reg_none", "none", "no regularization"),
        Line("e", "reg_synthetic", "synthetic", "synthetic regularization"),
        Line("e", METHOD, "real (the method)"),
        Line("f", "lora", "LoRA", "LoRA"),
        Line("f", METHOD, "the method"),
    ),
)
LAYOUTS = (TABLE1, TABLE2)
FIGURE5 = {"tune_a_video": "Tune-A-Video"}  # what the paper compares with in pictures alone
BASELINES = [*(line.arm for line in TABLE1.lines if line.arm != METHOD), *FIGURE5]
KNOWN_ARMS = list(dict.fromkeys([METHOD, *(line.arm for layout in LAYOUTS for line in layout.lines), *FIGURE5]))
_NAMES = {line.arm: line.name for layout in LAYOUTS for line in layout.lines} | FIGURE5 | CONTROLS


def arm_name(arm: str) -> str:
    """Return what an arm or a control is called outside its part of Table 2, where "none" would say nothing."""
    return _NAMES.get(arm, arm.replace("_", " "))


def arm_order(arm: str) -> tuple[int, str]:
    """Return a sorting key: the method, the baselines, the ablations, then all others by name."""
    return (KNOWN_ARMS.index(arm) if arm in KNOWN_ARMS else len(KNOWN_ARMS)), arm


def read_rows(name: str) -> list[dict[str, str]]:
    """Read the rows of a CSV that lies beside this file."""
    return list(csv.DictReader(Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()))


class PaperValue(NamedTuple):
    """A number as the paper prints it, or what it says where the number is not known."""

    text: str  # as printed; empty where it is not known
    percent: bool
    standing: str  # `paper`, `second-hand` or `unknown`
    says: str  # what the paper says of it besides

    @property
    def value(self) -> float | None:
        """The number, a share between 0 and 1; None where it is not known."""
        return float(self.text) / (100 if self.percent else 1) if self.text else None


@cache
def paper_values() -> dict[tuple[str, str, str], PaperValue]:
    """Read the paper's values, by table, arm and metric."""
    return {
        (row["table"], row["arm"], row["metric"]): PaperValue(
            row["value"], row["unit"] == "%", row["standing"], row["says"]
        )
        for row in read_rows("paper.csv")
    }
