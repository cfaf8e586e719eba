"""What a report is made of, as it lies on disk: runs, how far they came, and their evaluations."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from vmc.errors import VmcError
from vmc.metrics.scores import read_scores
from vmc.metrics.values import COPY_THRESHOLD, values_of_run


@dataclass(frozen=True)
class Scored:
    """An evaluation that is complete: it has `scores.csv` and `summary.json`."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`.

        Raises:
            VmcError: it does not read.
        """
        summary = read_object(self.folder / "summary.json", remedy="score the videos again")
        for key in ("metrics", "videos", "protocol"):
            if key not in summary:
                raise VmcError(f"{self.folder / 'summary.json'} has no {key}; remove it and score the videos again")
        return summary

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The table of `scores.csv`."""
        return read_scores(self.folder / "scores.csv")

    @cached_property
    def values(self) -> pd.DataFrame:
        """A row a video, a column a metric; see `vmc.metrics.values.values_of_run`."""
        return values_of_run(self.scores, copy_threshold=self.copy_threshold)

    @property
    def copy_threshold(self) -> float:
        """Similarity above which a video counts as copied."""
        return float(self.summary["protocol"].get("copying", {}).get("threshold", COPY_THRESHOLD))

    @property
    def appearance(self) -> float:
        """The appearance score; NaN where there is none."""
        return self.value("appearance")

    def value(self, metric: str, end: str = "value") -> float:
        """A metric, or an end of its interval; NaN where there is none."""
        number = self.summary["metrics"].get(metric, {}).get(end)
        return math.nan if number is None else float(number)

    @property
    def of(self) -> int:
        """Videos of the whole test set."""
        return int(self.summary.get("of", self.summary["videos"]))

    @property
    def whole(self) -> bool:
        """Whether it is of the whole test set."""
        return self.summary["videos"] == self.of

    def video(self, name: str) -> Path:
        """A video's file, which may be missing."""
        return self.folder / "videos" / name


@dataclass(frozen=True)
class FoundRun:
    """A run folder, read only.

    Args:
        path: the folder.
        config: the resolved config.
        state: the content of `run.json`.
        evaluations: complete evaluations of the test set by step, ascending.
        controls: other complete evaluations, by `floor`, `language` or `ceiling`.
    """

    path: Path
    config: Mapping[str, Any]
    state: Mapping[str, Any]
    evaluations: Mapping[int, Scored]
    controls: Mapping[str, Scored]

    @property
    def arm(self) -> str:
        """The variant's name."""
        return str(self.config["arm"])

    @property
    def motion(self) -> str:
        """The motion's name."""
        return str(self.config["motion"]["name"])

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.config["seed"])

    @property
    def place(self) -> tuple[str, int]:
        """Motion and training seed."""
        return self.motion, self.seed

    @property
    def label(self) -> str:
        """Motion and training seed, for notes."""
        return f"{self.motion}, seed {self.seed}"

    @property
    def threshold(self) -> float | None:
        """The appearance score at which it stops."""
        return (self.config.get("stop") or {}).get("appearance")

    @property
    def trains(self) -> bool:
        """Whether anything is trained; a run of no steps scores the untouched model."""
        return bool(self.config["steps"])

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.state.get("status") == "finished"

    @cached_property
    def step(self) -> int:
        """How far it came; a run that goes on, or was killed, says so in `train.csv` alone."""
        rows = self.updates
        return max(int(self.state.get("step") or 0), max(rows, default=0))

    @cached_property
    def updates(self) -> dict[int, int]:
        """Exemplar updates after each step, from `train.csv`; a half-written last row is passed over."""
        file = self.path / "train.csv"
        if not file.is_file():
            return {}
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row.get("seconds")]
        return {int(row["step"]): int(row["exemplar_updates"]) for row in rows}

    @property
    def progress(self) -> str:
        """How it ended, or how far it is, in words."""
        far = f"at step {self.step} of {self.config['steps']}"
        match self.state.get("status"):
            case "finished":
                return f"finished {far} ({self.state.get('reason')})"
            case "failed":
                return f"failed {far}: {one_line(self.state.get('reason'))}"
            case "stopped" | "interrupted" as how:
                return f"half-finished, {how} {far}"
        return f"half-finished {far}"

    @cached_property
    def base(self) -> dict[str, Any]:
        """What tells its base model: the UNet's fingerprint where it is known, and the config."""
        model = {key: value for key, value in self.config["model"].items() if key != "attention"}
        if found := self.state.get("base_fingerprint"):
            model["unet"] = found
            return model
        for file in sorted((self.path / "weights").glob("[0-9]*.safetensors"))[-1:]:
            if found := _about(file).get("base_fingerprint"):
                model["unet"] = found
        return model

    def clips(self, role: str) -> dict[str, Path]:
        """Paths of the run's clips of a role by name, from `clips.csv`; they may be gone."""
        file = self.path / "clips.csv"
        if not file.is_file():
            return {}
        with file.open(newline="", encoding="utf-8") as stream:
            paths = [Path(row["path"]) for row in csv.DictReader(stream) if row.get("role") == role]
        return {path.name: path for path in paths}


@dataclass(frozen=True, kw_only=True)
class Control:
    """An evaluation of no tuned model, for one motion and seed."""

    kind: str
    motion: str
    seed: int
    scored: Scored


@dataclass(frozen=True)
class Found:
    """All that lies below a folder.

    Args:
        runs: sorted by path.
        controls: of runs and of untouched base models.
    """

    runs: list[FoundRun]
    controls: list[Control]


def read_object(file: Path, *, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        VmcError: it does not read, and what to do about it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise VmcError(f"{file} does not read ({one_line(error)}); {remedy}") from error
    if not isinstance(content, dict):
        raise VmcError(f"{file} holds no JSON object; {remedy}")
    return content


def _about(file: Path) -> dict[str, Any]:
    """What a file of weights says of itself; nothing where it does not read."""
    try:
        with safe_open(file, framework="pt") as opened:
            return json.loads((opened.metadata() or {}).get("vmc", "{}"))
    except (SafetensorError, ValueError, OSError):
        return {}


def one_line(text: object) -> str:
    """A text as part of a sentence."""
    return " ".join(str(text).split()) or "no reason given"
