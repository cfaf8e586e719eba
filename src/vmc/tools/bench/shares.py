"""The loop that a run is compared with: one like the release's, and those between it and ours, one choice away."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from vmc.config.build import build_part
from vmc.tools.bench.measure import Figures, compose_run

PlainTable: TypeAlias = Mapping[str, tuple[Sequence[str], str]]
"""What the plain loop does otherwise: by which overrides, none where it is no key, and what that means."""


def plain_config(
    overrides: Sequence[str], table: PlainTable, plain: Collection[str], *, scored: bool
) -> dict[str, Any]:
    """The config of a run in which those choices in `plain` that are keys are made as the plain loop makes them."""
    words = [word for name in table if name in plain for word in table[name][0]]
    return compose_run([*overrides, *words], scored=scored)


def plain_choices(overrides: Sequence[str], table: PlainTable, *, scored: bool) -> list[str]:
    """The choices of a table in which a run differs from the plain loop.

    Raises:
        VmcError: the overrides are wrong, or lack a value.
    """
    own = compose_run(overrides, scored=scored)

    def differs(name: str) -> bool:
        if name == "weights":
            return build_part(own, "trainer").frozen_dtype != torch.float32
        return not table[name][0] or plain_config(overrides, table, [name], scored=scored) != own

    return list(filter(differs, table))


def plain_note(table: PlainTable, chosen: Sequence[str]) -> str:
    """What the plain loop is, for a report."""
    return (
        f"Plain is a loop like the release's: {'; '.join(table[name][1] for name in chosen)}. A choice taken back is"
        " ours with that part plain, over ours; a choice alone is the plain loop over the same with that part ours."
    )


def plain_loops(chosen: Sequence[str]) -> dict[str, frozenset[str]]:
    """What is plain in each loop that is measured: nothing, all, each choice taken back, and all but each."""
    everything = frozenset(chosen)
    found = {"ours": frozenset[str](), **({"plain": everything} if chosen else {})}
    for name in chosen if len(chosen) > 1 else ():
        found |= {f"{name} taken back": frozenset([name]), f"{name} alone": everything - {name}}
    return found


def share_figures(timed: Mapping[str, np.ndarray], chosen: Sequence[str]) -> Figures:
    """The gain over the plain loop, and the share of every choice where there are several: the plain loop against the
    one with that choice alone, and ours with that choice taken back against ours.
    """
    figures: Figures = {"plain / ours": ("x", timed["plain"] / timed["ours"])}
    for name in chosen if len(chosen) > 1 else ():
        figures[f"{name}, alone"] = "x", timed["plain"] / timed[f"{name} alone"]
        figures[f"{name}, taken back"] = "x", timed[f"{name} taken back"] / timed["ours"]
    return figures
