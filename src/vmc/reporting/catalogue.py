"""What the tables of the paper list: arms, the parts they belong to, and the metrics that are shown."""

from dataclasses import dataclass

from vmc.metrics.declared import MEASURES

METHOD = "method"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of a table: an arm, and what it is called in this part."""

    arm: str
    label: str
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A table of the paper.

    Args:
        name: of its files.
        title: above it.
        lines: its arms, in order; an arm may stand in several parts.
        parts: titles of the parts by their letter.
        paper: what is said of the paper's own values.
        controls: rows below its arms.
    """

    name: str
    title: str
    lines: tuple[Listed, ...]
    paper: str
    parts: dict[str, str]
    controls: tuple[str, ...]


FLOOR, LANGUAGE, CEILING = "floor", "language", "ceiling"
THESE_CLIPS = "these clips only"
"""What the ceiling's intervals speak of where it is one motion's clips: they are no model's."""
NOT_REACHED = "‡"
"""Marks what did not reach the threshold within its steps."""
CONTROLS = {
    FLOOR: "Untuned model (floor)",
    LANGUAGE: "Untuned model, asked in natural language",
    CEILING: "Real held-out clips (ceiling)",
}
"""Rows below the arms of every table."""

APPEARANCE = next(measure for measure in MEASURES if measure.name == "appearance")
"""At which arms are compared."""

_SETTING = "The paper's values are means over five motions, of ZeroScope on Jester at an appearance of 0.265."

TABLE1 = Layout(
    name="table1",
    title="Table 1: the method and its baselines",
    controls=(FLOOR, LANGUAGE, CEILING),
    parts={},
    lines=(
        Listed(arm="textual_inversion", label="Textual Inversion"),
        Listed(arm="custom_diffusion", label="Custom Diffusion"),
        Listed(arm="dreambooth", label="DreamBooth"),
        Listed(arm=METHOD, label="The method"),
    ),
    paper=_SETTING,
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
        Listed(part="a", arm="params_none", label="none"),
        Listed(part="a", arm=METHOD, label="keys and values (the method)"),
        Listed(part="a", arm="params_all", label="all"),
        Listed(part="b", arm="temporal_frozen", label="frozen: spatial keys and values alone"),
        Listed(part="b", arm="temporal_frozen_spatial", label="frozen: all spatial layers"),
        Listed(part="b", arm=METHOD, label="trained (the method)"),
        Listed(part="c", arm="token_trained", label="trained"),
        Listed(part="c", arm=METHOD, label="frozen (the method)"),
        Listed(part="d", arm="timesteps_uniform", label="uniform"),
        Listed(part="d", arm=METHOD, label="coarse noise (the method)"),
        Listed(part="e", arm="reg_none", label="none"),
        Listed(part="e", arm="reg_synthetic", label="synthetic"),
        Listed(part="e", arm=METHOD, label="real (the method)"),
        Listed(part="f", arm="lora", label="LoRA"),
        Listed(part="f", arm=METHOD, label="the method"),
    ),
    paper=_SETTING,
)

LAYOUTS = (TABLE1, TABLE2)

_NAMES = {
    METHOD: "method",
    "params_none": "no spatial parameters",
    "params_all": "all spatial parameters",
    "temporal_frozen": "spatial keys and values alone",
    "temporal_frozen_spatial": "spatial layers alone",
    "token_trained": "token trained",
    "timesteps_uniform": "uniform timesteps",
    "reg_none": "no regularization",
    "reg_synthetic": "synthetic regularization",
    "lora": "LoRA",
} | {line.arm: line.label for line in TABLE1.lines if line.arm != METHOD}


def arm_name(arm: str) -> str:
    """What a figure calls an arm: outside its part of Table 2, "none" would say nothing."""
    return _NAMES.get(arm, arm.replace("_", " "))


def arm_order(arm: str) -> tuple[int, str]:
    """A sorting key: the method, the baselines, the ablations, then all others by name."""
    order = known_arms()
    return (order.index(arm) if arm in order else len(order)), arm


def known_arms() -> list[str]:
    """Every arm of both tables: the method, the baselines, the ablations."""
    return list(dict.fromkeys([METHOD, *baselines(), *(line.arm for line in TABLE2.lines)]))


def baselines() -> list[str]:
    """Arms of Table 1 besides the method."""
    return [line.arm for line in TABLE1.lines if line.arm != METHOD]
