"""`python -m vmc.mini appearance`: trains the appearance model, as far as the minutes reach."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.makers import common

NAME = "appearance"
STEPS = 4200
CLIPS = 20_000
PIPELINE = Path(__file__).parents[2] / "weights" / "pipeline"


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    common.add_arguments(parser, name=NAME, steps=STEPS)
    parser.add_argument(
        "--pipeline", type=Path, default=PIPELINE, metavar="DIR", help="whose autoencoder frames go through (shipped)"
    )
    parser.add_argument("--clips", type=int, default=CLIPS, metavar="N", help=f"rendered clips ({CLIPS})")


def run(arguments: Namespace) -> None:
    """Trains, and writes the model and what it can do.

    Raises:
        VmcError: an option out of its range, no such pipeline, or see `vmc.tools.learning.training.train`.
    """
    from vmc.mini.makers.appearance.training import train_appearance

    train_appearance(common.options_of(arguments), pipeline=arguments.pipeline, clips=arguments.clips)
