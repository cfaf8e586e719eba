"""The run folder: config, state and results of a run, written by one process."""

import csv
import json
import logging
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vmc.runs.earlier_versions import (
    TRAIN_COLUMNS,
    checkpoints,
    read_config,
    read_losses,
    read_state,
    stored_state,
)
from vmc.runs.lock import holder
from vmc.runs.resuming import differing_settings, earlier_state, left_nothing
from vmc.utils.errors import UnwritableError, VmcError
from vmc.utils.files import csv_text, explain_unwritable, sweep, write_json, write_text
from vmc.utils.processes import processor, versions

log = logging.getLogger(__name__)

INIT = "init.safetensors"
"""File of a run: a copy of the weights that it starts from (`init`)."""
# What a run writes besides its config, and is removed when it is started anew; the W&B runs that it logged stay.
WRITTEN = (
    *("run.json", "train.csv", "clips.csv", "clips.png", "evaluation", "weights", "checkpoints", "wandb/id"),
    INIT,
)
UPDATE_EVERY = 60.0  # seconds between two updates of `run.json` during training
COMMAND = "VMC_COMMAND"  # environment variable: the command of a sweep, for its workers


class RunFolder:
    """The folder of a run with a resolved config. Nothing is written before `begin`; all files but `train.csv` are
    written atomically.
    """

    def __init__(self, path: Path, *, config: Mapping[str, Any]) -> None:
        self.path = path
        self.config = json.loads(json.dumps(config))
        self._state: dict[str, Any] = {}
        self._updated = 0.0
        self._columns = list(TRAIN_COLUMNS)

    @property
    def train_csv(self) -> Path:
        """File of the losses, a row for each step."""
        return self.path / "train.csv"

    def weights(self, step: int) -> Path:
        """File of the trained tensors after `step` steps."""
        return self.path / "weights" / f"{step:06d}.safetensors"

    def checkpoint(self, step: int) -> Path:
        """File of the training state after `step` steps."""
        return self.path / "checkpoints" / f"{step:06d}.ckpt"

    def evaluation(self, step: int) -> Path:
        """Folder of the evaluation after `step` steps."""
        return self.path / "evaluation" / f"{step:06d}"

    def checkpoints(self) -> list[Path]:
        """Checkpoints, the newest last."""
        return checkpoints(self.path)

    def drop_checkpoints(self, step: int, *, keep: int) -> None:
        """Keep the newest so many checkpoints up to `step`; later ones are damaged, or the run would continue there."""
        found = self.checkpoints()
        for file in set(found) - set([file for file in found if int(file.stem) <= step][-keep:]):
            file.unlink()

    def check(self) -> dict[str, Any]:
        """The state of an earlier run in this folder; see `resuming.earlier_state`."""
        return earlier_state(self)

    def begin(self, *, threads: int, world: int, step: int = 0, other_clips: str = "") -> None:
        """Write the config and the state `running`; the seconds of earlier processes are kept.

        Args:
            threads, world: of this process, and the number of processes.
            step: from which the run continues.
            other_clips: how the clips differ from those of a run that has nothing of use; empty where they do not.
        """
        sweep(self.path)
        if (different := [*differing_settings(self), *([other_clips] if other_clips else [])]) and left_nothing(self):
            self._begin_anew(", ".join(different))
        if stored_state(self.path) is None:
            log.warning("%s does not read; it is written anew by what the folder holds", self.path / "run.json")
        earlier = read_state(self.path)
        write_text(self.path / "config.yaml", yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True))
        self._state = {
            "status": "running",
            "reason": None,
            "step": step,
            "seconds": earlier.get("seconds", 0.0),
            "versions": versions(),
            "machine": {"platform": platform.platform(), "processor": processor(), "ranks": world},
            "threads": threads,
            "command": os.environ.get(COMMAND) or shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self.update()

    def update(self, **changes: Any) -> None:
        """Change and write the state in `run.json`."""
        self._state |= changes
        self._updated = time.monotonic()
        write_json(self.path / "run.json", self._state)

    def conclude(self, *, status: str, reason: str, **changes: Any) -> None:
        """Write how the run ended, if it was begun. If this fails after another error, that error matters more."""
        if not self._state:
            return
        try:
            self.update(status=status, reason=reason, **changes)
        except UnwritableError as error:
            if status == "finished":
                raise
            log.warning("%s", error)

    def cut_back(self, step: int) -> None:
        """Drop the rows of `train.csv` after `step`, which will be written again."""
        rows = read_losses(self.train_csv, step)
        if lost := [number for number in range(1, step + 1) if number not in rows]:
            log.warning(
                "%s lacks the losses of %d of the %d steps that are behind this run, the first of step %d;"
                " it goes on without them",
                *(self.train_csv, len(lost), step, lost[0]),
            )
        self._columns = list(dict.fromkeys([*TRAIN_COLUMNS, *(name for row in rows.values() for name in row)]))
        self._write_losses(rows.values())

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row to `train.csv` at once; new names become columns at its end."""
        if new := [name for name in row if name not in self._columns]:
            earlier = read_losses(self.train_csv, row["step"] - 1)
            self._columns += new
            self._write_losses(earlier.values())
        with explain_unwritable(self.train_csv), self.train_csv.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)
        self._state["seconds"] = row["seconds"]
        if time.monotonic() - self._updated > UPDATE_EVERY:
            self.update()

    def _write_losses(self, rows: Iterable[Mapping[str, str]]) -> None:
        write_text(self.train_csv, csv_text(self._columns, rows, end="\r\n"))

    def _begin_anew(self, different: str) -> None:
        """Remove the files of a run that has nothing of use."""
        ended = read_state(self.path).get("reason") or "it was interrupted"
        log.warning(
            "%s holds a run of other settings (%s) that came to no checkpoint (%s); it is begun anew",
            *(self.path, different, ended),
        )
        # Of the same `init` the copy stays, because the run that it came from may have gone on, or be gone.
        same_init = read_config(self.path).get("init") == self.config.get("init")
        for path in (self.path / name for name in WRITTEN if not (same_init and name == INIT)):
            with explain_unwritable(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def shown_state(path: Path) -> dict[str, Any]:
    """The state of a run as `read_state` gives it, `interrupted` where it is `running` but has no process."""
    state = read_state(path)
    if state.get("status") == "running" and holder(path) is None:
        state |= {"status": "interrupted", "reason": "its process is gone"}
    return state


def newest_weights(path: Path, *, step: int | None = None, said: str | None = None) -> Path:
    """Find the weights of a run after `step` steps, or its newest; `said` names the run in messages."""
    folder, said = path / "weights", said or f"run is {path}"
    try:
        listed = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise VmcError(f"{folder} cannot be read ({error.strerror}); correct its permissions") from error
    found = [file for file in listed if file.suffix == ".safetensors" and file.stem.isdigit()]
    wanted = [file for file in found if step is None or int(file.stem) == step]
    if not found:
        raise VmcError(f"{said}, which has trained no weights yet; go on with it, or choose another run")
    if not wanted:
        have = ", ".join(str(int(file.stem)) for file in found)
        raise VmcError(f"{said}, with no weights of step {step}; it has those of: {have}")
    return wanted[-1]


def find_weights(path: Path, *, said: str) -> Path:
    """Find a file of weights: the path itself, or the newest of the run in that folder.

    `said` names it in messages, as in `init is PATH`.
    """
    if path.is_file():
        return path
    if not (path / "config.yaml").is_file():
        what = "holds no run" if path.is_dir() else "does not exist"
        raise VmcError(f"{said}, which {what}; give the folder of a run, or a file of its weights")
    return newest_weights(path, said=said)
