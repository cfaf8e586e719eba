"""What a report is made of: run folders as they were read, their evaluations, and those of untuned models."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vmc.data.frames import resize_and_crop
from vmc.data.video import VIDEO_SUFFIXES, read_frames
from vmc.evaluation.score_files import SCORES, table_rows
from vmc.metrics.columns import measures_of, united
from vmc.metrics.copying import COPY_THRESHOLD
from vmc.metrics.equal_appearance import Trajectory
from vmc.metrics.scores import columns_of, read_scores, values_of_run
from vmc.metrics.statistics import Run
from vmc.utils.errors import VmcError

DAMAGED = "damaged"  # status of a run of which a file does not read; the reason says which
FINGERPRINT = "denoiser"  # key of the base model's denoiser among what tells base models apart
BASE = ("path", "motion_adapter", "frames", "size", "fps")
"""Keys of a model's config that do so; of one folder several families may make a network of their own."""

VideoKey = tuple[str, str, int | None]  # subject, prompt and seed: what names a video within a run


@dataclass(eq=False)
class Scored:
    """A complete evaluation: one with `scores.csv` and `summary.json`."""

    folder: Path
    root: Path  # the run that it is part of, beyond which no video is taken
    summary: Mapping[str, Any]  # the content of `summary.json`
    place: Path | None = None  # of its videos, where it is not `videos` within the folder

    def __post_init__(self) -> None:
        self.columns = columns_of(self.summary)
        self.measures = measures_of(self.columns)
        self.of = int(self.summary.get("of") or self.summary["videos"])  # videos of the whole test set
        self.whole = self.summary["videos"] == self.of
        threshold = (self.summary["protocol"].get("copying") or {}).get("threshold")
        self.copy_threshold = COPY_THRESHOLD if threshold is None else float(threshold)
        self.appearance = self.value("appearance")

    @property
    def videos(self) -> Path:
        """The folder of its videos."""
        return self.place or self.folder / "videos"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The table of `scores.csv`; a VmcError where it does not read."""
        return read_scores(self.folder / SCORES, columns=self.columns)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table of `scores.csv`, a dict for each video."""
        return table_rows(self.scores)

    @cached_property
    def rows_by_key(self) -> dict[VideoKey, dict[str, Any]]:
        """The rows by what identifies a video within a run."""
        return {(row["subject"] or row["prompt"], row["prompt"], row["seed"]): row for row in self.rows}

    @cached_property
    def values(self) -> pd.DataFrame:
        """A row for each video, a column for each metric (`values_of_run`); a VmcError where the scores are damaged."""
        scores = self.scores
        try:
            return values_of_run(scores, columns=self.columns)
        except VmcError as error:
            raise VmcError(f"{self.folder / SCORES}: {error}") from error

    def as_run(self, motion: str, seed: int) -> Run:
        """Return the values in the form that statistics take."""
        return Run(motion=motion, seed=seed, values=self.values, measures=self.measures)

    def value(self, metric: str, end: str = "value") -> float:
        """Return a metric, or the `low` or `high` end of its interval; NaN where there is none."""
        number = self.summary["metrics"].get(metric, {}).get(end)
        return math.nan if number is None else float(number)

    def video(self, name: str) -> Path:
        """Return the path of a video's file, which may be missing.

        A VmcError where it is none of the run's own: a link, no regular file, no video by its suffix, or elsewhere.
        """
        file = self.videos / name
        if Path(name).name != name or file.suffix.lower() not in VIDEO_SUFFIXES:
            raise VmcError(f"{self.folder / SCORES} names the video '{name}', which is no file of its folder of videos")
        own = file.resolve().is_relative_to(self.root.resolve()) and not file.is_symlink()
        if not own or (file.exists() and not file.is_file()):
            raise VmcError(f"{file} is no regular file of the run; a report takes no links and nothing from elsewhere")
        return file


@dataclass(eq=False)
class FoundRun:
    """A run folder, read only. Of a damaged one only its config is known."""

    path: Path
    config: Mapping[str, Any]
    state: Mapping[str, Any]  # the content of `run.json`
    evaluations: Mapping[int, Scored] = field(default_factory=dict)  # complete ones by step, ascending
    controls: Mapping[str, Scored] = field(default_factory=dict)  # complete ones by `floor`, `language` or `ceiling`
    updates: Mapping[int, int] = field(default_factory=dict)  # exemplar updates after each step
    exemplars: Mapping[str, Path] = field(default_factory=dict)  # by name; they may be gone
    stills: Mapping[str, Path] = field(default_factory=dict)  # of a subject, as the exemplars
    suites: Sequence[Scored] = ()  # complete evaluations of other test sets, which have suites
    known: Mapping[int, Mapping[str, Scored]] = field(default_factory=dict)  # of known gestures by step and class

    def __post_init__(self) -> None:
        self.arm, self.motion = str(self.config["arm"]), str(self.config["motion"]["name"])
        self.seed, self.trains = int(self.config["seed"]), bool(self.config["steps"])  # of no steps: the base model
        self.place, self.label = (self.motion, self.seed), f"{self.motion}, seed {self.seed}"
        self.finished = self.state.get("status") == "finished"
        stop = self.config.get("stop") or {}
        self.threshold: float | None = stop.get("appearance")  # at which it is compared
        self.stops = self.threshold is not None and bool(stop.get("early", True))  # whether training ends there

    @cached_property
    def trajectory(self) -> Trajectory:
        """What all of its evaluations have measured; a VmcError where one is damaged."""
        values = {step: one.values for step, one in self.evaluations.items() if not math.isnan(one.appearance)}
        measures = united(*(one.measures for one in self.evaluations.values()))
        return Trajectory.of(values, name=str(self.path), motion=self.motion, seed=self.seed, measures=measures)

    @property
    def damaged(self) -> str:
        """What is wrong with its files, in a sentence; empty where nothing is."""
        return str(self.state.get("reason")) if self.state.get("status") == DAMAGED else ""

    def frames_of(self, clip: Path, places: Sequence[int] | None = None) -> Tensor:
        """Read frames_FCHW of a clip as the run's model saw it, scaled and cropped; all, or those at some places."""
        return resize_and_crop(read_frames(clip, places), int(self.config["data"]["size"]))

    @property
    def counts(self) -> bool:
        """Whether it has been evaluated and so must be comparable with the others."""
        return bool(self.evaluations or self.controls)

    @property
    def step(self) -> int:
        """The last step that it reached; a run that goes on, or was killed, has it in `train.csv` alone."""
        return max(int(self.state.get("step") or 0), max(self.updates, default=0))

    @property
    def progress(self) -> str:
        """How it ended, or how far it has come, in words."""
        far, reason = f"at step {self.step} of {self.config['steps']}", self.state.get("reason")
        match self.state.get("status"):
            case "damaged":
                return f"{DAMAGED}: {self.damaged}"
            case "finished":
                return f"finished {far} ({reason})"
            case "failed":
                return f"failed {far}: {one_line(reason)}"
            case how:
                return f"half-finished{f', {how}' if how in ('stopped', 'interrupted') else ''} {far}"

    @cached_property
    def base(self) -> dict[str, Any]:
        """What identifies its base model: the denoiser's fingerprint where it is known, and the config."""
        model = {key: value for key, value in self.config["model"].items() if key in BASE}
        newest = sorted((self.path / "weights").glob("[0-9]*.safetensors"))[-1:]
        known = (about.get("base_fingerprint") for about in (self.state, *map(_metadata, newest)))
        return model | ({FINGERPRINT: found} if (found := next(filter(None, known), None)) else {})


@dataclass(frozen=True, kw_only=True)
class Control:
    """An evaluation of no tuned model, `floor`, `language` or `ceiling`, for one motion and seed."""

    kind: str
    motion: str
    seed: int
    scored: Scored


class Further(NamedTuple):
    """Videos that are in no table."""

    name: str  # where they lie below the folder of all
    run: FoundRun | None  # whose part they are
    scored: Scored


@dataclass(frozen=True)
class Found:
    """All runs and evaluations below a folder."""

    runs: list[FoundRun]  # sorted by path
    controls: list[Control]  # of runs and of untouched base models
    lost: Sequence[tuple[Path, str]] = ()  # folders without a config or control that reads, and what is wrong with them
    further: Sequence[Further] = ()

    @property
    def damaged(self) -> list[tuple[Path, str]]:
        """Every folder with damaged files, and what is wrong with them."""
        return [*((run.path, run.damaged) for run in self.runs if run.damaged), *self.lost]

    @property
    def notes(self) -> list[str]:
        """A sentence for each of them."""
        return [f"left out, damaged: {folder}: {reason}" for folder, reason in self.damaged]


def one_line(text: object) -> str:
    """Put a text onto one line, as part of a sentence."""
    return " ".join(str(text).split()) or "no reason given"


def _metadata(file: Path) -> dict[str, Any]:
    """Read the metadata of a file of weights; nothing where it is damaged."""
    about = None
    with suppress(SafetensorError, ValueError, OSError, RecursionError):
        if file.is_file():  # a pipe would be waited for
            with safe_open(file, framework="pt") as opened:
                about = json.loads((opened.metadata() or {}).get("vmc", "{}"))
    return about if isinstance(about, dict) else {}
