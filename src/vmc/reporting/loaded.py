"""What a report is made of: run folders as they were read, their evaluations, and those of untuned models."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from vmc.data.video import VIDEO_SUFFIXES
from vmc.evaluation.files import SCORES
from vmc.metrics.columns import Column, Measure, measures_of
from vmc.metrics.copying import COPY_THRESHOLD
from vmc.metrics.declared import columns_of
from vmc.metrics.scores import read_scores
from vmc.metrics.statistics import Run
from vmc.metrics.values import values_of_run
from vmc.utils.errors import VmcError

DAMAGED = "damaged"
"""Status of a run of which a file does not read; the reason says which."""
FINGERPRINT = "denoiser"
"""Key of the base model's denoiser among what tells base models apart."""


@dataclass(frozen=True)
class Scored:
    """An evaluation that is complete.

    Args:
        folder: of `scores.csv` and `summary.json`.
        root: the run that it is part of, beyond which no video is taken.
        summary: the content of `summary.json`.
    """

    folder: Path
    root: Path
    summary: Mapping[str, Any]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Declarations of the columns of `scores.csv`."""
        return columns_of(self.summary)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the columns say of the run."""
        return measures_of(self.columns)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The table of `scores.csv`; a VmcError where it does not read."""
        return read_scores(self.folder / SCORES, columns=self.columns)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table of `scores.csv`, a dict a video."""
        return [{str(name): value for name, value in row.items()} for row in self.scores.to_dict("records")]

    @cached_property
    def values(self) -> pd.DataFrame:
        """A row a video, a column a metric (`values_of_run`); a VmcError where they do not read or do not fit."""
        scores = self.scores
        try:
            return values_of_run(scores, columns=self.columns)
        except VmcError as error:
            raise VmcError(f"{self.folder / SCORES}: {error}") from error

    @property
    def copy_threshold(self) -> float:
        """Similarity above which a video counts as copied."""
        return float((self.summary["protocol"].get("copying") or {}).get("threshold", COPY_THRESHOLD))

    @property
    def appearance(self) -> float:
        """The appearance score; NaN where there is none."""
        return self.value("appearance")

    def value(self, metric: str, end: str = "value") -> float:
        """A metric, or the `low` or `high` end of its interval; NaN where there is none."""
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
        """A video's file, which may be missing.

        Raises:
            VmcError: it is none of the run's own: a link, no regular file, no video by its suffix, or somewhere else.
        """
        file = self.folder / "videos" / name
        if Path(name).name != name or file.suffix.lower() not in VIDEO_SUFFIXES:
            raise VmcError(f"{self.folder / SCORES} names the video '{name}', which is no file of its folder of videos")
        own = file.resolve().is_relative_to(self.root.resolve()) and not file.is_symlink()
        if not own or (file.exists() and not file.is_file()):
            raise VmcError(f"{file} is no regular file of the run; a report takes no links and nothing from elsewhere")
        return file


@dataclass(frozen=True)
class FoundRun:
    """A run folder, read only. Of a damaged one only its config is known.

    Args:
        path: the folder.
        config: the resolved config.
        state: the content of `run.json`.
        evaluations: complete evaluations of the test set by step, ascending.
        controls: other complete evaluations, by `floor`, `language` or `ceiling`.
        updates: exemplar updates after each step.
        exemplars: paths of its clips by name; they may be gone.
    """

    path: Path
    config: Mapping[str, Any]
    state: Mapping[str, Any]
    evaluations: Mapping[int, Scored] = field(default_factory=dict)
    controls: Mapping[str, Scored] = field(default_factory=dict)
    updates: Mapping[int, int] = field(default_factory=dict)
    exemplars: Mapping[str, Path] = field(default_factory=dict)

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
    def damaged(self) -> str:
        """What is wrong with its files, in a sentence; empty where nothing is."""
        return str(self.state.get("reason")) if self.state.get("status") == DAMAGED else ""

    @property
    def counts(self) -> bool:
        """Whether it has been evaluated, and so has to be comparable with others."""
        return bool(self.evaluations or self.controls)

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.state.get("status") == "finished"

    @property
    def step(self) -> int:
        """How far it came; a run that goes on, or was killed, says so in `train.csv` alone."""
        return max(int(self.state.get("step") or 0), max(self.updates, default=0))

    @property
    def progress(self) -> str:
        """How it ended, or how far it is, in words."""
        far = f"at step {self.step} of {self.config['steps']}"
        match self.state.get("status"):
            case "damaged":
                return f"{DAMAGED}: {self.damaged}"
            case "finished":
                return f"finished {far} ({self.state.get('reason')})"
            case "failed":
                return f"failed {far}: {one_line(self.state.get('reason'))}"
            case "stopped" | "interrupted" as how:
                return f"half-finished, {how} {far}"
        return f"half-finished {far}"

    @cached_property
    def base(self) -> dict[str, Any]:
        """What tells its base model: its denoiser's fingerprint where it is known, and the config."""
        model = {key: value for key, value in self.config["model"].items() if key != "attention"}
        newest = sorted((self.path / "weights").glob("[0-9]*.safetensors"))[-1:]
        for about in (self.state, *map(_metadata, newest)):
            if found := about.get("base_fingerprint"):
                return model | {FINGERPRINT: found}
        return model


@dataclass(frozen=True, kw_only=True)
class Control:
    """An evaluation of no tuned model, `floor`, `language` or `ceiling`, for one motion and seed."""

    kind: str
    motion: str
    seed: int
    scored: Scored

    @property
    def as_run(self) -> Run:
        """Its values, for statistics."""
        return Run(motion=self.motion, seed=self.seed, values=self.scored.values, measures=self.scored.measures)


@dataclass(frozen=True)
class Found:
    """All that lies below a folder.

    Args:
        runs: sorted by path.
        controls: of runs and of untouched base models.
        lost: folders of which not even the config reads, or that hold a damaged control, and what is wrong with them.
    """

    runs: list[FoundRun]
    controls: list[Control]
    lost: Sequence[tuple[Path, str]] = ()

    @property
    def damaged(self) -> list[tuple[Path, str]]:
        """Every folder with damaged files, and what is wrong with them."""
        return [*((run.path, run.damaged) for run in self.runs if run.damaged), *self.lost]


def one_line(text: object) -> str:
    """A text as part of a sentence."""
    return " ".join(str(text).split()) or "no reason given"


def _metadata(file: Path) -> dict[str, Any]:
    """What a file of weights says of itself; nothing where it does not read."""
    if not file.is_file():  # a pipe would be waited for
        return {}
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get("vmc", "{}"))
    except (SafetensorError, ValueError, OSError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}
