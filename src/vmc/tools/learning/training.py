"""The training of one task from scratch, resumable: options, loop, and the folder that it goes on from."""

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from vmc.tools.learning.learner import EDGES, Learner
from vmc.utils.errors import DamagedError, VmcError, check_positive
from vmc.utils.files import atomic_write
from vmc.utils.processes import handle_signals
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

STATE = "state.safetensors"
COLUMNS = ("phase", "step", "loss", "validation", "seconds")
LOG_EVERY, MEASURE_EVERY = 10, 250
"""Steps between lines of the log, and between measurements where nothing else is said."""
SAVE_SECONDS, SHOW_SECONDS = 120.0, 900.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained: networks, their loss and their measurement. Draws are functions of the seed and the step."""

    name: str  # in the log and on the bar
    networks: Mapping[str, nn.Module]  # made anew, with the weights of the first step, in the mode they are trained in
    rate: float  # of Muon
    steps: int  # length of the schedule if the options name none
    loss_of: Callable[[nn.ModuleDict, int], Tensor]  # of networks and step
    # Of the averaged networks in eval mode and the step: one figure on data never trained on, for the log.
    measure: Callable[[nn.ModuleDict, int], float]
    # What must be equal to go on with a folder, the renderer's hash and the network's shape among it.
    identity: Mapping[str, Any] = field(default_factory=dict)
    # Writes the averaged networks in their published formats into the folder.
    export: Callable[[nn.ModuleDict, Path, "TaskProgress"], None] = lambda networks, folder, progress: None
    show: Callable[[], None] = lambda: None  # draws what the networks do, now and then
    measure_every: int = MEASURE_EVERY  # steps between measurements; there is one at the end in any case
    edges: tuple[str, ...] = EDGES  # parts of the names of matrices that AdamW trains


@dataclass(kw_only=True)
class TaskProgress:
    """How far a task is."""

    identity: dict[str, Any]  # of the task, and the seed
    name: str  # of the task
    steps: int  # length of the schedule
    step: int = 0  # updates done
    seconds: float = 0.0  # of training, all calls together

    @property
    def steps_done(self) -> dict[str, int]:
        """Updates done by the name of the phase in the log."""
        return {self.name: self.step}


# --- options ---


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What every training's command takes."""

    output: Path  # the folder, a new one or one to go on with
    minutes: float = 0.0  # budget of this call, 0 = until the schedule is done
    seed: int = 0  # of the first weights and of all draws
    steps: int | None = None  # length of the schedule; None is the folder's, or the task's own
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)  # and rendering processes
    device: str = "cpu"  # or cuda

    def __post_init__(self) -> None:
        if self.minutes < 0:
            raise VmcError(f"--minutes is {self.minutes}; it cannot be negative")
        check_positive(self, "steps", "threads")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise VmcError("--device is cuda, and PyTorch finds no GPU here; use --device cpu")


@dataclass
class Clock:
    """When a call ends: its minutes are over (0 = never), or a signal asks for it."""

    minutes: float = 0.0
    asked: bool = False
    _start: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Whether the call is to stop at the next chance."""
        return self.asked or bool(self.minutes and time.monotonic() - self._start >= 60 * self.minutes)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """End the call at SIGTERM or SIGINT, after the step in which it comes; a second SIGINT is Python's own."""

        def ask(number: int, _: FrameType | None) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        with handle_signals(ask, signal.SIGTERM, signal.SIGINT):
            yield


# --- training ---


def train(task: Task, options: TrainOptions) -> TaskProgress:
    """Begin a task or go on with it, as far as the minutes reach, and print where it stands.

    Raises:
        VmcError: the folder is of another configuration, or its state damaged.
    """
    torch.set_num_threads(options.threads)
    clock, folder = Clock(options.minutes), TrainingFolder(options.output, TaskProgress)
    if found := read_progress(task, options):
        progress, tensors = found
        progress.steps = options.steps or progress.steps
    else:
        identity = {"seed": options.seed, **task.identity}
        progress, tensors = TaskProgress(identity=identity, name=task.name, steps=options.steps or task.steps), {}
    folder.begin(progress, new=not found)
    networks = {name: network.to(options.device) for name, network in task.networks.items()}
    learner = Learner(networks, rate=task.rate, steps=progress.steps, edges=task.edges)
    folder.resume(learner, tensors, progress.step)

    def save(seconds: float) -> None:
        progress.step, progress.seconds = learner.step, progress.seconds + seconds
        folder.write(progress, learner.tensors(), learner)
        task.export(learner.average, options.output, progress)

    with clock.listening():
        done = run_steps(task, learner, folder=folder, clock=clock, save=save)
    told = "done" if done else "the same command goes on"
    print(f"{options.output}: {task.name} {progress.step} of {progress.steps} steps; {told}")
    return progress


def run_steps(
    task: Task, learner: Learner, *, folder: "TrainingFolder", clock: Clock, save: Callable[[float], None]
) -> bool:
    """Learn, log, measure, show and save until the schedule is done, which is returned, or the clock says stop.

    Args:
        task: what is trained.
        learner: trains its networks.
        folder: has the log.
        clock: says when to stop.
        save: writes the state, also at the end; given the seconds that were trained since the last time.
    """
    losses = list[float]()
    start = saved = shown = time.monotonic()
    with tqdm(total=learner.steps, initial=learner.step, desc=task.name, unit="step", disable=None) as bar:
        while learner.step < learner.steps and not clock.over():
            losses.append(learner.learn(task.loss_of(learner.networks, learner.step)))
            bar.update()
            now, step, figure = time.monotonic(), learner.step, ""
            measures = step % task.measure_every == 0 or step == learner.steps
            if measures:
                with torch.no_grad():
                    figure = f"{task.measure(learner.average, step):.5f}"
            if measures or step % LOG_EVERY == 0:
                loss = sum(losses) / len(losses)
                row = {"loss": f"{loss:.5f}", "validation": figure, "seconds": f"{now - start:.1f}"}
                folder.append(phase=task.name, step=step, **row)
                bar.set_postfix(loss=f"{loss:.4f}")
                losses.clear()
            if now - saved >= SAVE_SECONDS:
                save(now - saved)
                saved = now
            if now - shown >= SHOW_SECONDS:
                task.show()
                shown = now
    save(time.monotonic() - saved)
    return learner.step >= learner.steps


def read_progress(task: Task, options: TrainOptions) -> tuple[TaskProgress, dict[str, Tensor]] | None:
    """Read how far a task is in the folder, with its tensors; None if it has not begun.

    Raises:
        VmcError: the folder is of another configuration, or its state damaged.
    """
    found = TrainingFolder(options.output, TaskProgress).read()
    if found is None:
        return None
    wanted = {"name": task.name, "seed": options.seed, **task.identity}
    there = {"name": found[0].name, **found[0].identity}
    if other := [name for name, value in wanted.items() if there.get(name) != value]:
        told = "; with ".join(f"{name} {there.get(name)}, and this one has {wanted[name]}" for name in other)
        told = f"{options.output} is a training with {told}"
        raise VmcError(f"{told}; choose another --output, or go on with the same configuration")
    return found


# --- the folder ---


class TrainingFolder:
    """The folder of one training.

    state.safetensors   weights, their average and the progress: all that is needed to go on, on any machine
    optimizer.pt        the optimizers' state; without it they warm up again
    log.csv             see `COLUMNS`; cut back to the state on resuming
    sheets/             what the networks draw, where they do

    Args:
        path: of the folder.
        kind: the dataclass of its progress: plain values, `identity`, and `steps_done` by the phases of the log.
    """

    def __init__(self, path: Path, kind: type[Any]) -> None:
        self.path, self.kind = path, kind
        self.state, self.optimizer, self.log = path / STATE, path / "optimizer.pt", path / "log.csv"
        self.sheets = path / "sheets"

    def begin(self, progress: Any, *, new: bool) -> None:
        """Make a new folder; of one that is there, drop the lines of the log that the state does not know."""
        if new:
            self.path.mkdir(parents=True, exist_ok=True)
            return self.write(progress, {"empty": torch.zeros(1)})
        if self.log.exists():
            whole = self.log.read_text(encoding="utf-8").rpartition("\n")[0]  # what stands behind it was cut off
            as_text: Any = {"names": COLUMNS, "skiprows": 1, "dtype": str, "keep_default_na": False}
            rows = pd.read_csv(StringIO(whole), index_col=False, **as_text)
            known = rows.phase.map(progress.steps_done).fillna(-1)
            rows = rows[pd.to_numeric(rows.step, errors="coerce") <= known]
            with atomic_write(self.log) as temporary:
                rows.to_csv(temporary, index=False, lineterminator="\r\n")

    def write(self, progress: Any, tensors: Mapping[str, Tensor], learner: Learner | None = None) -> None:
        """Write the state, the optimizers' first: one that is a little too new does no harm."""
        if learner is not None:
            with atomic_write(self.optimizer) as temporary:
                torch.save(learner.optimizer_state(), temporary)
        save_tensors(tensors, self.state, about=asdict(progress))

    def read(self) -> tuple[Any, dict[str, Tensor]] | None:
        """Read the state; None where there is none yet.

        Raises:
            VmcError: the file is damaged, or the folder holds something else.
        """
        if not self.state.is_file():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise VmcError(f"--output is {self.path}, which holds no {STATE} and is not empty; choose a new folder")
            return None
        try:
            tensors, about = load_tensors(self.state)
            about.pop(CHECKSUM, None)  # states of earlier versions have none
            return self.kind(**about), tensors
        except (DamagedError, TypeError) as error:
            told = f"{self.state} is cut off, damaged or no state of such a training ({error})"
            raise VmcError(f"{told}; copy it again from where it is whole, or choose a new --output") from error

    def resume(self, learner: Learner, tensors: Mapping[str, Tensor], step: int) -> None:
        """Give a learner what the state has of it, nothing at step 0."""
        if not step:
            return
        learner.restore(tensors, step)
        try:
            stored = torch.load(self.optimizer, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            stored = None
        if not learner.restore_optimizer(stored):
            print(f"{self.optimizer} is not there or of another training: the optimizers warm up again")

    def append(self, **row: Any) -> None:
        """Write one line of the log."""
        line = pd.DataFrame([row], columns=list(COLUMNS))
        line.to_csv(self.log, mode="a", header=not self.log.exists(), index=False, lineterminator="\r\n")
