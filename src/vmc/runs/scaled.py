"""Runs with scales, whose weights are merged: `runs=[a:1.0,b:0.6]`."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.runs.folder import find_weights, read_config
from vmc.utils.errors import VmcError

LARGEST = 100.0  # scale; far smaller ones leave nothing visible of the base model
LONGEST = 100  # characters in the name of a folder
WRITE = "write runs=[RUN:SCALE,...], such as runs=[outputs/a:1.0,outputs/b:0.6]"


@dataclass(frozen=True, kw_only=True)
class ScaledRun:
    """A run's weights with a factor for their difference from the base model."""

    path: Path  # the run's folder
    weights: Path  # a file of its `weights/`
    scale: float = 1.0  # 1 as it was trained, 0 the base model, below 0 away from what was learned

    @property
    def step(self) -> int:
        """The training step of the weights."""
        return int(self.weights.stem)

    @property
    def motion(self) -> str:
        """The name of the run's motion."""
        motion = read_config(self.path).get("motion")
        return str(motion["name"]) if isinstance(motion, Mapping) and motion.get("name") else self.path.name

    @property
    def label(self) -> str:
        """Motion and scale, for names of folders: `swiping_down@0.6`."""
        return f"{self.motion}@{self.scale:g}"


def name_of_runs(runs: Sequence[ScaledRun]) -> str:
    """A name for a folder, such as `swiping_down@1+shaking_hand@0.6`; empty without runs."""
    return re.sub(r"[^\w.@+-]+", "_", "+".join(run.label for run in runs))[:LONGEST]


def read_runs(given: Any) -> list[ScaledRun]:
    """Find the runs that a config names.

    Args:
        given: a text `[RUN:SCALE,...]`, with single quotes around a path that contains a comma; or a list of such items
            and of mappings {run, scale}. RUN is the folder of a run, for its newest weights, or a file of its
            `weights/`. A missing scale is 1.
    """
    items = _split_list(given) if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise VmcError(f"runs is {given}, which names no run; {WRITE}, or leave it out for the base model")
    return [_read_item(item) for item in items]


def _split_list(text: str) -> list[str]:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    inner = text[1:-1].strip()
    return next(csv.reader([inner], quotechar="'", skipinitialspace=True)) if inner else []


def _read_item(item: Any) -> ScaledRun:
    if isinstance(item, Mapping) and item.keys() <= {"run", "scale"} and isinstance(item.get("run"), str):
        run, scale = item["run"], item.get("scale", 1.0)
    elif isinstance(item, str) and item.strip():
        run, scale = _split_scale(item.strip())
    else:
        raise VmcError(f"runs holds {item or 'an empty item'}, which names no run; {WRITE}")
    path, number = Path(run).expanduser(), float("nan")
    with suppress(TypeError, ValueError):
        number = float(str(scale))
    if not abs(number) <= LARGEST:
        wanted = f"it must be a number from {-LARGEST:g} to {LARGEST:g}, as in {run}:0.6"
        raise VmcError(f"runs names {run} with the scale '{scale}'; {wanted}")
    weights = find_weights(path, said=f"runs names {path}")
    if path.is_file() and not ((path.parents[1] / "config.yaml").is_file() and path.stem.isdigit()):
        raise VmcError(f"runs names {path}, which is no file of a run's weights/; give one, or the folder of a run")
    return ScaledRun(path=path.parents[1] if path.is_file() else path, weights=weights, scale=number)


def _split_scale(item: str) -> tuple[str, str | float]:
    """Split an item at its last colon into path and scale; a path may contain colons."""
    run, colon, scale = item.rpartition(":")
    if not colon or "/" in scale or os.path.exists(os.path.expanduser(item)):  # noqa: PTH110, PTH111 - Path's may raise
        return item, 1.0
    return run.rstrip(), scale.strip()
