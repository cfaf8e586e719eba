"""`python -m vmc.mini render`: writes clips in Jester's layout."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write; must not exist yet")
    parser.add_argument("--per-class", type=int, default=30, metavar="N", help="validation clips of every class (30)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other persons and clips (0)")
    parser.add_argument(
        "--class", dest="classes", action="append", metavar="NAME", help="only this gesture; repeatable"
    )


def run(arguments: Namespace) -> None:
    """Writes the folder.

    Raises:
        VmcError: see `vmc.mini.world.jester_folder.write`.
    """
    from vmc.mini.world.gestures import LABELS
    from vmc.mini.world.jester_folder import write

    classes = tuple(arguments.classes or LABELS)
    write(arguments.output, per_class=arguments.per_class, classes=classes, seed=arguments.seed)
    print(f"wrote {arguments.output}")
