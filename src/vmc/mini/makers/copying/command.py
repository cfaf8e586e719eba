"""`python -m vmc.mini copying`: trains the copy descriptor, as far as the minutes reach."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.makers import common
from vmc.mini.makers.copying.training import CLIPS, STEPS

PIPELINE = Path(__file__).parents[2] / "weights" / "pipeline"


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    common.add_arguments(parser, name="copying", steps=STEPS)
    parser.add_argument("--clips", type=int, default=CLIPS, metavar="N", help=f"rendered clips ({CLIPS})")
    parser.add_argument(
        "--pipeline",
        type=Path,
        default=PIPELINE,
        metavar="DIR",
        help="diffusers folder whose autoencoder pictures go through (the miniature's own)",
    )


def run(arguments: Namespace) -> None:
    """Trains, and says what there is.

    Raises:
        VmcError: an option out of its range, or see `vmc.tools.learning.training.train`.
    """
    from vmc.mini.makers.copying.pictures import Pictures
    from vmc.mini.makers.copying.training import make_task

    options = common.options_of(arguments)
    pictures = Pictures(arguments.pipeline, arguments.clips)
    common.prepare_and_train(options, pictures.prepare, lambda: make_task(pictures, options.seed))
