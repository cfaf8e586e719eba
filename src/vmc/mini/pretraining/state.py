"""The state of a pretraining as one small file, and what is written beside it."""

import csv
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vmc.errors import VmcError
from vmc.files import written_whole
from vmc.mini.pretraining.learner import Learner

STATE, OPTIMIZER, LOG = "state.safetensors", "optimizer.pt", "log.csv"
COLUMNS = ("phase", "step", "loss", "validation", "seconds")


@dataclass(kw_only=True)
class Progress:
    """How far a pretraining is.

    Attributes:
        identity: of its plan.
        vae_steps, steps: lengths of its schedules.
        vae_step, step: updates done.
        seconds: of training, all calls together.
        scaling_factor, deviation_C: of the finished autoencoder, None before.
    """

    identity: dict[str, Any]
    vae_steps: int
    steps: int
    vae_step: int = 0
    step: int = 0
    seconds: float = 0.0
    scaling_factor: float | None = None
    deviation_C: list[float] | None = None

    @property
    def phase(self) -> str:
        """Which part is being trained."""
        return "vae" if self.scaling_factor is None else "unet"


class Folder:
    """The folder of one pretraining.

    state.safetensors   weights, their average and the progress: all that is needed to go on, on any machine
    optimizer.pt        the optimiser's state; without it the optimiser warms up again
    log.csv             see `COLUMNS`; cut back to the state on resuming
    sheets/             what the networks draw
    pipeline/           the averaged networks in the diffusers layout
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self.optimizer, self.log = path / STATE, path / OPTIMIZER, path / LOG
        self.sheets, self.pipeline = path / "sheets", path / "pipeline"

    def write(self, progress: Progress, tensors: Mapping[str, Tensor], learner: Learner | None = None) -> None:
        """Replace the state, the optimiser's state first: one that is a little too new does no harm."""
        if learner is not None:
            with written_whole(self.optimizer) as temporary:
                torch.save(learner.optimizer_state(), temporary)
        with written_whole(self.state) as temporary:
            save_file(dict(tensors), temporary, metadata={"vmc": json.dumps(asdict(progress))})

    def read(self) -> tuple[Progress, dict[str, Tensor]] | None:
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
                progress = Progress(**json.loads((file.metadata() or {})["vmc"]))
                return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise VmcError(
                f"{self.state} is cut off, damaged or no state of a pretraining ({' '.join(str(error).split())});"
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

    def cut_log(self, progress: Progress) -> None:
        """Drop the lines of steps that the state does not know."""
        if not self.log.exists():
            return
        known = {"vae": progress.vae_step, "unet": progress.step}
        with self.log.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if _is_kept(row, known)]
        with written_whole(self.log) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def _is_kept(row: Mapping[str, Any], known: Mapping[str, int]) -> bool:
    step = row.get("step") or ""
    return None not in row.values() and step.isdigit() and int(step) <= known.get(str(row["phase"]), -1)
