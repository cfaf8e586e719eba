"""`python -m vmc.mini classifier`: trains the gesture classifier, as far as the minutes reach."""

from argparse import ArgumentParser, Namespace
from importlib.resources import files
from pathlib import Path

SHIPPED = Path(str(files("vmc.mini") / "weights" / "pipeline"))
"""The pipeline that comes with the project."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    from vmc.mini.makers import common

    common.add_arguments(parser, name="classifier", steps=2000)
    parser.add_argument(
        "--pipeline", type=Path, default=SHIPPED, metavar="DIR", help="its autoencoder softens clips (the shipped one)"
    )
    parser.add_argument("--clips", type=int, default=7000, metavar="N", help="rendered for training (7000)")
    parser.add_argument(
        "--decoded", type=int, default=2400, metavar="N", help="of them, through the autoencoder (2400)"
    )
    parser.add_argument("--batch", type=int, default=24, metavar="N", help="clips in a step (24)")


def run(arguments: Namespace) -> None:
    """Trains, and says where the training stands.

    Raises:
        VmcError: an option out of its range, or a folder of another configuration.
    """
    from vmc.mini.makers.classifier.training import ClassifierPlan, train_classifier
    from vmc.mini.makers.common import options_of
    from vmc.utils.errors import check_positive

    check_positive(arguments, "clips", "decoded", "batch")
    sizes = {name: getattr(arguments, name) for name in ("clips", "decoded", "batch")}
    train_classifier(ClassifierPlan(pipeline=arguments.pipeline, **sizes), options_of(arguments))
