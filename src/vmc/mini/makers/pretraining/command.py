"""`python -m vmc.mini pipeline`: pretrains the miniature pipeline, as far as the minutes reach."""

import os
from argparse import ArgumentParser, Namespace

from vmc.mini.makers import common

STEPS = 18_800
"""Of the UNet's schedule."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    common.add_arguments(parser, name="pretraining", steps=STEPS)
    parser.add_argument("--clips", type=int, metavar="N", help="rendered clips (12000)")
    parser.add_argument("--vae-steps", type=int, metavar="N", help="length of the autoencoder's schedule (10000)")


def run(arguments: Namespace) -> None:
    """Trains, and says what there is.

    Raises:
        VmcError: an option out of its range, or see `vmc.mini.makers.pretraining.progress.open_session`.
    """
    import torch

    from vmc.mini.makers.pretraining.progress import PretrainingPlan, open_session
    from vmc.mini.makers.pretraining.training import go_on
    from vmc.tools.learning.training import Clock
    from vmc.utils.errors import VmcError

    for name in ("minutes", "threads"):
        if (value := getattr(arguments, name)) is not None and value < 0:
            raise VmcError(f"--{name} is {value}; it cannot be negative")
    threads = arguments.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    clock = Clock(arguments.minutes)
    chosen = {name: getattr(arguments, name) for name in ("clips", "vae_steps", "steps")}
    plan = PretrainingPlan(seed=arguments.seed, **{name: value for name, value in chosen.items() if value is not None})
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
