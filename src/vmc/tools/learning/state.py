"""The state of a training as one small file, and what is written beside it."""

import csv
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vmc.tools.learning.learner import Learner
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

STATE, OPTIMIZER, LOG = "state.safetensors", "optimizer.pt", "log.csv"
COLUMNS = ("phase", "step", "loss", "validation", "seconds")


class Progress(Protocol):
    """How far a training is: a dataclass of plain values, whose `identity` is its configuration."""

    identity: dict[str, Any]

    @property
    def steps_done(self) -> dict[str, int]:
        """Updates done of every phase that the log has lines of."""
        ...


P = TypeVar("P", bound=Progress)


class Folder(Generic[P]):
    """The folder of one training.

    state.safetensors   weights, their average and the progress: all that is needed to go on, on any machine
    optimizer.pt        the optimiser's state; without it the optimiser warms up again
    log.csv             see `COLUMNS`; cut back to the state on resuming
    sheets/             what the networks draw, where they do

    Args:
        path: of the folder.
        kind: the dataclass of its progress.
    """

    def __init__(self, path: Path, kind: type[P]) -> None:
        self.path, self.kind = path, kind
        self.state, self.optimizer, self.log = path / STATE, path / OPTIMIZER, path / LOG
        self.sheets = path / "sheets"

    def write(self, progress: P, tensors: Mapping[str, Tensor], learner: Learner | None = None) -> None:
        """Replace the state, the optimiser's state first: one that is a little too new does no harm."""
        if learner is not None:
            with atomic_write(self.optimizer) as temporary:
                torch.save(learner.optimizer_state(), temporary)
        with atomic_write(self.state) as temporary:
            save_file(dict(tensors), temporary, metadata={"vmc": json.dumps(asdict(cast(Any, progress)))})

    def read(self) -> tuple[P, dict[str, Tensor]] | None:
        """The state, or None where there is none yet.

        Raises:
            VmcError: the file is damaged, or the folder holds something else.
        """
        if not self.state.is_file():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise VmcError(f"--output is {self.path}, which holds no {STATE} and is not empty; choose a new folder")
            return None
        try:
            with safe_open(self.state, framework="pt") as file:
                progress = self.kind(**json.loads((file.metadata() or {})["vmc"]))
                return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise VmcError(
                f"{self.state} is cut off, damaged or no state of such a training ({' '.join(str(error).split())});"
                " copy it again from where it is whole, or choose a new --output"
            ) from error

    def read_optimizer(self) -> dict[str, Any] | None:
        """The optimiser's state, or None where it is not there or unreadable."""
        try:
            return torch.load(self.optimizer, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    def append(self, **row: Any) -> None:
        """One line of the log."""
        new = not self.log.exists()
        with self.log.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def cut_log(self, progress: P) -> None:
        """Drop the lines of steps that the state does not know."""
        if not self.log.exists():
            return
        with self.log.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if _is_kept(row, progress.steps_done)]
        with atomic_write(self.log) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def _is_kept(row: Mapping[str, Any], known: Mapping[str, int]) -> bool:
    step = row.get("step") or ""
    return None not in row.values() and step.isdigit() and int(step) <= known.get(str(row["phase"]), -1)
