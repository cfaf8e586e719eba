"""Runs below a folder: what they are, how far they came, and their evaluations."""

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from safetensors import SafetensorError, safe_open

from vmc.errors import VmcError
from vmc.metrics.scores import read_scores
from vmc.metrics.values import COPY_THRESHOLD, values_of_run
from vmc.runs.folder import shown_state
from vmc.runs.reporting.catalogue import CEILING, FLOOR, LANGUAGE, METHOD

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where it was built; a full sweep has two hundred configs."""
CONTROL_FOLDERS = {"000000": FLOOR, "000000-language": LANGUAGE, "real": CEILING}
"""Where `vmc.evaluate` leaves what is no evaluation of a tuned model."""


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
        summary = _json(self.folder / "summary.json", remedy="score the videos again")
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
                return f"failed {far}: {_one_line(self.state.get('reason'))}"
            case "stopped" | "interrupted" as how:
                return f"half-finished, {how} {far}"
        return f"half-finished {far}"

    @cached_property
    def base(self) -> dict[str, Any]:
        """What tells its base model: the UNet's fingerprint from its weights where there are any, and the config."""
        model = {key: value for key, value in self.config["model"].items() if key != "attention"}
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


def find_runs(root: Path) -> Found:
    """All runs below a folder, and the evaluations of untouched base models (`base/MOTION/`).

    Raises:
        VmcError: no such folder, no run in it, or a file of a run that does not read.
    """
    if not root.is_dir():
        raise VmcError(f"runs is {root}, which is no folder; give one that holds run folders of vmc.train")
    runs, controls = list[FoundRun](), list[Control]()
    for folder in _folders(root):
        if _is_run(folder):
            runs.append(_read_run(folder))
        elif folder.name in CONTROL_FOLDERS and (scored := _scored(folder)):
            kind = CONTROL_FOLDERS[folder.name]
            controls.append(Control(kind=kind, motion=folder.parent.name, seed=0, scored=scored))
    if not runs:
        raise VmcError(
            f"runs is {root}, in which there is no run (no folder with config.yaml and run.json);"
            " give a folder that holds run folders of vmc.train"
        )
    # First what was made for it, of the whole test set; then what the method's runs have.
    own = [
        Control(kind=kind, motion=run.motion, seed=run.seed, scored=scored)
        for run in sorted(runs, key=lambda run: (run.trains, run.arm != METHOD))
        for kind, scored in run.controls.items()
    ]
    return Found(runs, _once(own, controls))


def _once(own: list[Control], others: list[Control]) -> list[Control]:
    """One of each kind, motion and seed; those of base folders only for motions of which no run has any."""
    kept: dict[tuple[str, str, int], Control] = {}
    covered = {(control.kind, control.motion) for control in own}
    for control in [*own, *(other for other in others if (other.kind, other.motion) not in covered)]:
        kept.setdefault((control.kind, control.motion, control.seed), control)
    return list(kept.values())


def _folders(root: Path) -> Iterator[Path]:
    """Folders below a root in order, not going into runs, videos or hidden folders."""
    for name, below, _ in os.walk(root):
        folder = Path(name)
        yield folder
        inside = _is_run(folder)
        below[:] = [] if inside else sorted(part for part in below if part != "videos" and not part.startswith("."))


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "run.json").is_file()


def _read_run(folder: Path) -> FoundRun:
    file = folder / "config.yaml"
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), Loader=SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise VmcError(f"{file} does not read as a config ({_one_line(error)}); remove that run folder") from error
    for key in ("arm", "motion", "model", "seed", "steps"):
        if not isinstance(config, dict) or key not in config:
            raise VmcError(f"{file} has no {key}; it is no config of vmc.train, move its folder out of runs")
    state = _json(folder / "run.json", remedy="remove that run folder, or run its command again")
    if state.get("status") == "running":
        state = shown_state(folder)
    evaluations = folder / "evaluation"
    steps = sorted(part for part in evaluations.glob("[0-9]*") if part.name.isdigit())
    scored = {int(part.name): found for part in steps if (found := _scored(part))}
    controls = {kind: found for name, kind in CONTROL_FOLDERS.items() if (found := _scored(evaluations / name))}
    return FoundRun(folder, config, state, scored, controls)


def _scored(folder: Path) -> Scored | None:
    complete = (folder / "scores.csv").is_file() and (folder / "summary.json").is_file()
    return Scored(folder) if complete else None


def _json(file: Path, *, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise VmcError(f"{file} does not read ({_one_line(error)}); {remedy}") from error
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


def _one_line(text: object) -> str:
    return " ".join(str(text).split()) or "no reason given"
