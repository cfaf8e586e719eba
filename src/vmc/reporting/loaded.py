"""What a report is made of, as it lies on disk: runs, how far they came, and their evaluations."""

import csv
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from vmc.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vmc.evaluation.files import DIGEST, SCORES, SUMMARY, sha256_of
from vmc.metrics.columns import Column, Measure, measures_of
from vmc.metrics.copying import COPY_THRESHOLD
from vmc.metrics.declared import columns_of
from vmc.metrics.scores import read_scores, values_of_run
from vmc.metrics.statistics import Run
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint

log = logging.getLogger(__name__)

DAMAGED = "damaged"
"""Status of a run of which a file does not read; the reason says which."""
FINGERPRINT = "denoiser"
"""Key of the base model's denoiser among what tells base models apart."""


@dataclass(frozen=True)
class Scored:
    """An evaluation that is complete: it has `scores.csv` and `summary.json`.

    Args:
        folder: of the evaluation.
        root: of the run that it is part of, beyond which no video is taken.
    """

    folder: Path
    root: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`.

        Raises:
            VmcError: it does not read, holds something else, or is not of this `scores.csv`.
        """
        file = self.folder / SUMMARY
        summary = read_object(file, remedy="score the videos again")
        for key, kind in (("metrics", dict), ("videos", int), ("protocol", dict)):
            if key not in summary:
                raise VmcError(f"{file} has no {key}; remove it and score the videos again")
            if not isinstance(summary[key], kind):
                raise VmcError(f"{file} has {summary[key]!r} as {key}; remove it and score the videos again")
        _check_numbers(summary, file)
        try:
            columns_of(summary)
        except VmcError as error:
            raise VmcError(f"{file}: {error}; remove it and score the videos again") from error
        if DIGEST in summary and summary[DIGEST] != sha256_of(self.folder / SCORES):
            raise VmcError(
                f"{file} is not of the {SCORES} beside it; run the command of its run again, or `python -m"
                " vmc.evaluate` on it"
            )
        return summary

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
        """The table of `scores.csv`."""
        return read_scores(self.folder / SCORES, columns=self.columns)

    @cached_property
    def values(self) -> pd.DataFrame:
        """A row a video, a column a metric; see `vmc.metrics.scores.values_of_run`.

        Raises:
            VmcError: the table does not read, or its values do not fit.
        """
        scores = self.scores
        try:
            return values_of_run(scores, columns=self.columns)
        except VmcError as error:
            raise VmcError(f"{self.folder / SCORES}: {error}") from error

    @property
    def copy_threshold(self) -> float:
        """Similarity above which a video counts as copied."""
        copying = self.summary["protocol"].get("copying") or {}
        return float(copying.get("threshold", COPY_THRESHOLD))

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
    def damaged(self) -> str:
        """What is wrong with its files, in a sentence; empty where nothing is. Then it has no evaluations here."""
        return str(self.state.get("reason")) if self.state.get("status") == DAMAGED else ""

    @property
    def counts(self) -> bool:
        """Whether it has been evaluated, and so has to be comparable with others."""
        return bool(self.evaluations or self.controls)

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
        """Exemplar updates after each step, from `train.csv`; a half-written last row is passed over.

        Raises:
            VmcError: it does not read.
        """
        rows = [] if self.damaged else self._table("train.csv")
        try:
            return {int(row["step"]): int(row["exemplar_updates"]) for row in rows if row.get("seconds")}
        except (KeyError, TypeError, ValueError) as error:
            raise VmcError(f"{self.path / 'train.csv'} holds something else than steps ({one_line(error)})") from error

    @property
    def progress(self) -> str:
        """How it ended, or how far it is, in words."""
        if self.damaged:
            return f"{DAMAGED}: {one_line(self.damaged)}"
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
        """What tells its base model: its denoiser's fingerprint where it is known, and the config."""
        model = {key: value for key, value in self.config["model"].items() if key != "attention"}
        if found := self.state.get("base_fingerprint"):
            model[FINGERPRINT] = found
            return model
        for file in sorted((self.path / "weights").glob("[0-9]*.safetensors"))[-1:]:
            if found := _about(file).get("base_fingerprint"):
                model[FINGERPRINT] = found
        return model

    def clips(self, role: str) -> dict[str, Path]:
        """Paths of the run's clips of a role by name, from `clips.csv`; they may be gone.

        Clips lie wherever their owner has them, and a report is sent on. So that a table from elsewhere shows nothing
        of the reader's disk, a clip is taken only where the table knows its SHA-256.

        Raises:
            VmcError: it does not read.
        """
        rows = [] if self.damaged else self._table("clips.csv")
        named = [(Path(row["path"]), row.get("sha256")) for row in rows if row.get("role") == role and row.get("path")]
        taken = {path.name: path for path, digest in named if _is_clip(path, digest)}
        if left := [path.name for path, _ in named if path.name not in taken]:
            log.warning(
                "%s names %d clips that are not here as the run had them (%s); the report goes without them",
                *(self.path / "clips.csv", len(left), left[0][:80]),
            )
        return taken

    def _table(self, name: str) -> list[dict[str, Any]]:
        file = self.path / name
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return list(csv.DictReader(stream))
        except (OSError, ValueError, csv.Error) as error:
            raise VmcError(f"{file} does not read as a table ({one_line(error)})") from error


@dataclass(frozen=True, kw_only=True)
class Control:
    """An evaluation of no tuned model, for one motion and seed."""

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
    lost: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def damaged(self) -> list[tuple[Path, str]]:
        """Every folder with damaged files, and what is wrong with them."""
        return [*((run.path, run.damaged) for run in self.runs if run.damaged), *self.lost]


def read_object(file: Path, *, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        VmcError: it does not read, and what to do about it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise VmcError(f"{file} does not read ({one_line(error)}); {remedy}") from error
    if not isinstance(content, dict):
        raise VmcError(f"{file} holds no JSON object; {remedy}")
    return content


def _check_numbers(summary: Mapping[str, Any], file: Path) -> None:
    """Whether every metric of a summary is a number, or none, and so is the copy threshold."""
    copying = summary["protocol"].get("copying") or {}
    threshold = copying.get("threshold", COPY_THRESHOLD) if isinstance(copying, dict) else str(copying)
    numbers = [("of", summary.get("of", summary["videos"])), ("copying", threshold)]
    for name, part in summary["metrics"].items():
        if not isinstance(part, dict):
            raise VmcError(f"{file} has {part!r} as {name}; remove it and score the videos again")
        numbers += [(name, part.get(end)) for end in ("value", "low", "high")]
    for name, number in numbers:
        right = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if not right and number is not None:
            raise VmcError(f"{file} has {number!r} under {name}; remove it and score the videos again")


def _is_clip(path: Path, digest: str | None) -> bool:
    """Whether a path is that of a clip, by its suffix, with the content of this SHA-256; it may be gone."""
    known = path.suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
    try:
        if path.is_dir():  # of frames; one with others in it is none, and may be the whole disk
            return all(part.is_file() for part in path.iterdir()) and _is_of(path, digest)
        return known and (not path.exists() or (path.is_file() and _is_of(path, digest)))
    except (OSError, ValueError):  # a folder that is shut, or a path that is none
        return False


def _is_of(path: Path, digest: str | None) -> bool:
    about = path.stat()
    return bool(digest) and _fingerprint(path, about.st_mtime_ns, about.st_size) == digest


@lru_cache(maxsize=4096)
def _fingerprint(path: Path, changed: int, size: int) -> str:
    """Read once in a report: many arms have the same clips."""
    return fingerprint(path)


def _about(file: Path) -> dict[str, Any]:
    """What a file of weights says of itself; nothing where it does not read."""
    if not file.is_file():  # a pipe would be waited for
        return {}
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get("vmc", "{}"))
    except (SafetensorError, ValueError, OSError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def one_line(text: object) -> str:
    """A text as part of a sentence."""
    return " ".join(str(text).split()) or "no reason given"
