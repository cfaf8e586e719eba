"""What the commands of all makers have in common: their options, and making pictures before training."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from vmc.tools.learning.training import Clock, Task, TaskProgress, TrainOptions, train


def add_arguments(parser: ArgumentParser, *, name: str, steps: int) -> None:
    """Declare the options of the training `name`, whose schedule is `steps` long if nothing is said."""
    where, minutes = Path("outputs/mini") / name, "budget of this call; 0 = until the schedule is done"
    parser.add_argument("--minutes", type=float, required=True, metavar="N", help=minutes)
    output = f"a new folder, or one to go on with ({where})"
    parser.add_argument("--output", type=Path, default=where, metavar="DIR", help=output)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of all draws (0)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads, and rendering processes (all processors)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network is trained (cpu)")
    parser.add_argument("--steps", type=int, metavar="N", help=f"length of the schedule ({steps})")


def options_of(arguments: Namespace) -> TrainOptions:
    """The options as given.

    Raises:
        VmcError: one is out of its range.
    """
    given = {name: getattr(arguments, name) for name in TrainOptions.__dataclass_fields__}
    return TrainOptions(**{name: value for name, value in given.items() if value is not None})


def prepare_and_train(
    options: TrainOptions, prepare: Callable[[Callable[[], bool]], bool], make_task: Callable[[], Task]
) -> TaskProgress | None:
    """Make the pictures and train on them, within the minutes; None if there is no more than pictures yet.

    Args:
        options: of the training.
        prepare: makes what is missing until what it is given says that it is enough; whether all is there.
        make_task: what is trained, once all is there.
    """
    torch.set_num_threads(options.threads)
    clock, start = Clock(options.minutes), time.monotonic()
    with clock.listening():
        ready = prepare(clock.over)
    if not ready or clock.asked:
        print(f"{options.output}: {'stopped' if ready else 'not all pictures are made yet'}; the same command goes on")
        return None
    task, left = make_task(), options.minutes - (time.monotonic() - start) / 60
    return train(task, replace(options, minutes=max(left, 1e-9) if options.minutes else 0.0))
