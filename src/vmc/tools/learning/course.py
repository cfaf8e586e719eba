"""The training of one network from scratch, resumable: what `classifier`, `appearance` and `copying` have in common."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmc.tools.learning.learner import EDGES, Learner
from vmc.tools.learning.loop import MEASURE_EVERY, Clock, Loop
from vmc.tools.learning.state import Folder
from vmc.utils.errors import VmcError

FOLDER = Path("outputs/mini")


@dataclass(kw_only=True)
class Progress:
    """How far a course is.

    Attributes:
        identity: of its configuration.
        name: of the course, in the log and on the bar.
        steps: length of its schedule.
        step: updates done.
        seconds: of training, all calls together.
    """

    identity: dict[str, Any]
    name: str
    steps: int
    step: int = 0
    seconds: float = 0.0

    @property
    def steps_done(self) -> dict[str, int]:
        """By the name that it has in the log."""
        return {self.name: self.step}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every course's command takes.

    Args:
        output: the folder, a new one or one to go on with.
        minutes: budget of this call, 0 = until the schedule is done.
        seed: of the first weights and of all draws.
        steps: length of the schedule; None is the folder's, or the course's own.
        threads: threads, and rendering processes.
        device: cpu or cuda.
    """

    output: Path
    minutes: float = 0.0
    seed: int = 0
    steps: int | None = None
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.minutes < 0:
            raise VmcError(f"--minutes is {self.minutes}; it cannot be negative")
        for name in ("steps", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise VmcError(f"--{name} is {value}; it must be at least 1")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise VmcError("--device is cuda, and PyTorch finds no GPU here; use --device cpu")


def add_arguments(parser: ArgumentParser, *, name: str, steps: int) -> None:
    """Declares the options of the course `name`, whose schedule is `steps` long if nothing is said."""
    where = FOLDER / name
    parser.add_argument(
        "--minutes", type=float, required=True, metavar="N", help="budget of this call; 0 = until the schedule is done"
    )
    parser.add_argument(
        "--output", type=Path, default=where, metavar="DIR", help=f"a new folder, or one to go on with ({where})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of all draws (0)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads, and rendering processes (all processors)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network is trained (cpu)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"length of the schedule ({steps})")


def options_of(arguments: Namespace) -> Options:
    """The options as given.

    Raises:
        VmcError: one is out of its range.
    """
    names = ("output", "minutes", "seed", "steps", "threads", "device")
    given = {name: getattr(arguments, name) for name in names}
    return Options(**{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class Course:
    """One network's training.

    Args:
        name: as in the log and on the bar.
        steps: length of the schedule if the options name none.
        rate: of Muon.
        edges: parts of the names of matrices that AdamW trains.
        identity: what must be equal to go on with a folder, the renderer's hash and the network's shape among it.
        networks: made anew, with the weights of the first step, in the mode they are trained in.
        loss_of: networks and step -> the loss; every draw is a function of the seed and the step.
        measure: the averaged networks in eval mode -> one figure on data never trained on, for the log.
        export: writes the averaged networks in their published formats into the folder.
        measured: told of every measurement: the averaged networks, the step and the figure.
        measure_every: steps between measurements.
    """

    name: str
    steps: int
    rate: float
    identity: Mapping[str, Any]
    networks: Mapping[str, nn.Module]
    loss_of: Callable[[nn.ModuleDict, int], Tensor]
    measure: Callable[[nn.ModuleDict], float]
    export: Callable[[nn.ModuleDict, Path, Progress], None]
    measured: Callable[[nn.ModuleDict, int, float], None] = lambda networks, step, figure: None
    measure_every: int = MEASURE_EVERY
    edges: tuple[str, ...] = EDGES


def train(course: Course, options: Options) -> Progress:
    """Begins or goes on with a course, as far as the minutes reach; says where it stands.

    Raises:
        VmcError: the folder is of another configuration, or its state damaged.
    """
    torch.set_num_threads(options.threads)
    clock = Clock(options.minutes)
    folder, progress, tensors = _open(course, options)
    networks = {name: network.to(options.device) for name, network in course.networks.items()}
    learner = Learner(networks, rate=course.rate, steps=progress.steps, edges=course.edges)
    if progress.step:
        learner.restore(tensors, progress.step)
        stored = folder.read_optimizer()
        if stored is None or not learner.restore_optimizer(stored):
            print(f"{folder.optimizer} is not there or of another training: the optimiser warms up again")

    def save(seconds: float) -> None:
        progress.step, progress.seconds = learner.step, progress.seconds + seconds
        folder.write(progress, learner.tensors(), learner)
        course.export(learner.average, options.output, progress)

    def write_row(step: int, loss: float, validation: float | None, seconds: float) -> None:
        figures = {"loss": f"{loss:.5f}", "validation": "" if validation is None else f"{validation:.5f}"}
        folder.append(phase=course.name, step=step, seconds=f"{seconds:.1f}", **figures)

    def measure() -> float:
        with torch.no_grad():
            figure = course.measure(learner.average)
        course.measured(learner.average, learner.step, figure)
        return figure

    with clock.listening():
        done = Loop(
            name=course.name,
            learner=learner,
            loss_of=lambda step: course.loss_of(learner.networks, step),
            measure=measure,
            show=lambda: None,
            save=save,
            write_row=write_row,
            clock=clock,
            measure_every=course.measure_every,
        ).run()
    print(
        f"{options.output}: {course.name} {progress.step} of {progress.steps} steps;"
        f" {'done' if done else 'the same command goes on'}"
    )
    return progress


def standing(course: Course, options: Options) -> tuple[Progress, dict[str, Tensor]] | None:
    """How far the course is in the folder, with its tensors; None if it has not begun.

    Raises:
        VmcError: the folder is of another configuration, or its state damaged.
    """
    found = Folder(options.output, Progress).read()
    if found is None:
        return None
    wanted = {"name": course.name, "seed": options.seed, **course.identity}
    there = {"name": found[0].name, **found[0].identity}
    if other := [name for name, value in wanted.items() if there.get(name) != value]:
        told = "; with ".join(f"{name} {there.get(name)}, and this one has {wanted[name]}" for name in other)
        raise VmcError(
            f"{options.output} is a training with {told}; choose another --output, or go on with the same configuration"
        )
    return found


def _open(course: Course, options: Options) -> tuple[Folder[Progress], Progress, dict[str, Tensor]]:
    folder, found = Folder(options.output, Progress), standing(course, options)
    if found is None:
        options.output.mkdir(parents=True, exist_ok=True)
        identity = {"seed": options.seed, **course.identity}
        progress = Progress(identity=identity, name=course.name, steps=options.steps or course.steps)
        folder.write(progress, {"empty": torch.zeros(1)})
        return folder, progress, {}
    progress, tensors = found
    progress.steps = options.steps or progress.steps
    folder.cut_log(progress)
    return folder, progress, tensors
