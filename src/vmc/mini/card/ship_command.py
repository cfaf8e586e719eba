"""`python -m vmc.mini ship`: puts the trained networks into the package."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.shipped import WEIGHTS


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    trained = Path("outputs/mini")
    parser.add_argument("--trained", type=Path, default=trained, metavar="DIR", help=f"the trainings ({trained})")
    parser.add_argument(
        "--output", type=Path, default=WEIGHTS, metavar="DIR", help="folder of the weights (the package's own)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="TRAINING",
        help="pipeline, variety, variety_2, variety_3, classifier, appearance, copying (all); what others wrote stays",
    )
    parser.add_argument(
        "--unfinished", action="store_true", help="take trainings that are not at the end of their schedule too"
    )


def run(arguments: Namespace) -> None:
    """Copies, and says what there is.

    Raises:
        VmcError: see `vmc.mini.card.shipping.ship`.
    """
    from vmc.mini.card.shipping import SOURCES, ship

    only = arguments.only or tuple(SOURCES)
    size = ship(arguments.trained, arguments.output, only=only, unfinished=arguments.unfinished)
    print(f"{arguments.output}: {size / 1e6:.1f} MB of weights; `python -m vmc.mini card` measures them")
