"""`python -m vmc.mini pipeline`: pretrains the miniature pipeline, as far as the minutes reach."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

OUTPUT = Path("outputs/mini/pretraining")


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "--minutes", type=float, required=True, metavar="N", help="budget of this call; 0 = until the schedule is done"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="DIR", help=f"a new folder, or one to go on with ({OUTPUT})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of all draws (0)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads, and rendering processes (all processors)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the networks are trained (cpu)")
    parser.add_argument("--clips", type=int, metavar="N", help="rendered clips (12000)")
    parser.add_argument("--vae-steps", type=int, metavar="N", help="length of the autoencoder's schedule (10000)")
    parser.add_argument("--steps", type=int, metavar="N", help="length of the UNet's schedule (10000)")


def run(arguments: Namespace) -> None:
    """Trains, and says what there is.

    Raises:
        VmcError: an option out of its range, or see `vmc.mini.pretraining.session.open_session`.
    """
    import torch

    from vmc.errors import VmcError
    from vmc.mini.learning.loop import Clock
    from vmc.mini.pretraining.phases import go_on
    from vmc.mini.pretraining.plan import Plan
    from vmc.mini.pretraining.session import open_session

    for name in ("minutes", "threads"):
        if (value := getattr(arguments, name)) is not None and value < 0:
            raise VmcError(f"--{name} is {value}; it cannot be negative")
    threads = arguments.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    clock = Clock(arguments.minutes)
    chosen = {name: getattr(arguments, name) for name in ("clips", "vae_steps", "steps")}
    plan = Plan(seed=arguments.seed, **{name: value for name, value in chosen.items() if value is not None})
    lengths = {name: chosen[name] for name in ("vae_steps", "steps")}
    session = open_session(arguments.output, plan, device=arguments.device, clock=clock, **lengths)
    with clock.listening():
        done = go_on(session, workers=threads)
    progress = session.progress
    print(
        f"{arguments.output}: autoencoder {progress.vae_step} of {progress.vae_steps} steps,"
        f" text encoder and UNet {progress.step} of {progress.steps};"
        f" {'done' if done else 'the same command goes on'}"
    )
