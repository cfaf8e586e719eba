"""The options of the benchmarks, apart from what they import, so that `--help` is quick."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError

_POSITIVE = ("videos", "repeats", "steps")
EARLIER = {
    "--model": "model.path=DIR",
    "--frames": "data.frames=N",
    "--size": "data.size=PX",
    "--device": "trainer=cpu or trainer=gpu",
    "--precision": "trainer.precision=bf16-mixed",
    "--threads": "trainer.threads=N",
    "--batch-size": "batch_size=N",
    "--steps": "sampler.steps=N",
    "--override": "KEY=VALUE alone",
    "-o": "KEY=VALUE alone",
}
"""Options of earlier versions, and the overrides that stand in their place."""


def add_arguments(parser: ArgumentParser, command: str) -> None:
    """Declares the options of a benchmark."""
    overrides = "of vmc.train, such as stack=paper model.path=DIR trainer=gpu: the run that is measured (the miniature)"
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=overrides)
    if command == "generate":
        sizes = "videos at a time, measured besides one and as many as are found to be best"
        parser.add_argument("--batch", type=int, nargs="+", default=[], metavar="N", help=sizes)
    if command in ("generate", "evaluate"):
        count = 16 if command == "generate" else 24
        parser.add_argument("--videos", type=int, default=count, metavar="N", help=f"of the test set ({count})")
    if command == "train":
        plain = "with a loop that runs text encoder and autoencoder in every step"
        parser.add_argument("--compare", choices=["plain"], help=plain)
        parser.add_argument("--steps", type=int, default=10, metavar="N", help="measured at a time (10)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of every measurement (3)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where all figures are written too")


def check(arguments: Namespace, others: Sequence[str]) -> None:
    """Take the overrides that stand between options, and refuse what cannot be.

    Args:
        arguments: as parsed.
        others: words that no option took.

    Raises:
        VmcError: a number out of its range, or an option that is not known.
    """
    for word in others:
        option = word.partition("=")[0]
        if option in EARLIER:
            raise VmcError(f"{option} is given as an override of vmc.train: {EARLIER[option]}")
        if word.startswith("-"):
            raise VmcError(f"{option} is unknown; --help lists the options, overrides are KEY=VALUE")
    arguments.overrides = [*arguments.overrides, *others]
    numbers = [(name, getattr(arguments, name, None)) for name in _POSITIVE]
    numbers += [("batch", size) for size in getattr(arguments, "batch", [])]
    for name, value in numbers:
        if value is not None and value < 1:
            raise VmcError(f"--{name} is {value}; it must be at least 1")
