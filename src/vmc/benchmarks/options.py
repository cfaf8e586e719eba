"""The options of the benchmarks, apart from what they import, so that `--help` is quick."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.errors import VmcError

_POSITIVE = ("videos", "repeats", "threads", "steps", "batch_size", "frames", "size")


def add_arguments(parser: ArgumentParser, command: str) -> None:
    """Declares the options of a benchmark."""
    if command == "generate":
        _generate(parser)
    elif command == "evaluate":
        _videos(parser, count=24)
    elif command == "train":
        _train(parser)
    else:
        parser.add_argument(
            *("--override", "-o"), action="append", default=[], metavar="KEY=VALUE", help="of vmc.train; repeatable"
        )
    if command != "startup":
        _model(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="of PyTorch on a CPU (those of conf/trainer/cpu.yaml)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of every measurement (3)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where all figures are written too")


def _generate(parser: ArgumentParser) -> None:
    _videos(parser, count=16)
    parser.add_argument(
        *("--batch",),
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="videos at a time, measured besides one and as many as are found to be best",
    )


def _videos(parser: ArgumentParser, *, count: int) -> None:
    parser.add_argument("--videos", type=int, default=count, metavar="N", help=f"of the test set ({count})")
    parser.add_argument("--steps", type=int, metavar="N", help="of the sampler (the miniature's)")


def _train(parser: ArgumentParser) -> None:
    parser.add_argument("--compare", choices=["plain"], help="with a loop that runs text encoder and VAE in every step")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="measured at a time (10)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="draws a step (the stack's)")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, metavar="DIR", help="a pipeline in the diffusers layout (the miniature)")
    parser.add_argument("--frames", type=int, metavar="N", help="of a video (the miniature's)")
    parser.add_argument("--size", type=int, metavar="PX", help="height and width of a video (the miniature's)")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="cpu (default) or gpu")
    parser.add_argument(
        "--precision", choices=["32-true", "bf16-mixed", "16-mixed"], default="32-true", help="as in conf/trainer"
    )


def check(arguments: Namespace) -> None:
    """Refuse numbers out of their range.

    Raises:
        VmcError: naming the first of them.
    """
    numbers = [(name, getattr(arguments, name, None)) for name in _POSITIVE]
    numbers += [("batch", size) for size in getattr(arguments, "batch", [])]
    for name, value in numbers:
        if value is not None and value < 1:
            raise VmcError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
    for override in getattr(arguments, "override", []):
        if "=" not in override:
            raise VmcError(f"--override is '{override}'; give KEY=VALUE, as to vmc.train")
