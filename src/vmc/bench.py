"""`python -m vmc.bench COMMAND [OVERRIDE ...]`: figures for speed and memory on this machine, as a table and as JSON.

A benchmark is a function of a module of `vmc.tools.bench`; that is imported only when it is called.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from vmc.utils.errors import VmcError, check_positive, print_errors
from vmc.utils.files import write_json

COMMANDS = {
    "generate": ("videos", "seconds a video, and memory"),
    "evaluate": ("videos", "seconds a video for scoring, and its share of generating"),
    "train": ("train", "seconds a training step, memory, and arithmetic over time"),
    "choices": ("choices", "every choice of speed and memory on a GPU, at the paper's sizes and on the miniature"),
    "startup": ("train", "seconds until a command answers, and until the first training step"),
}
"""The module of each benchmark, and what it measures."""


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit status: 0 done, 2 something the user can put right."""
    arguments = parse(words)
    report = getattr(import_module(f"vmc.tools.bench.{COMMANDS[arguments.command][0]}"), arguments.command)(arguments)
    if arguments.output is not None:
        write_json(arguments.output, report, remedy="name another file by --output")
    common = import_module("vmc.tools.bench.common")
    print(common.report_text(report))
    if arguments.recorded is not None and arguments.recorded.is_file():
        print("\n".join(common.regressions(report, json.loads(arguments.recorded.read_text()))))
    return 0


def parse(words: Sequence[str] | None = None) -> Namespace:
    """The command line; overrides may stand between options.

    Raises:
        VmcError: a number below 1, or an option that is not known.
    """
    parser = ArgumentParser(prog="python -m vmc.bench", description="Figures for speed and memory on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, does) in COMMANDS.items():
        _add_options(commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}."), name)
    arguments, others = parser.parse_known_args(words)
    if wrong := [word.partition("=")[0] for word in others if word.startswith("-")]:
        raise VmcError(f"{wrong[0]} is unknown; --help lists the options, overrides are KEY=VALUE as model.path=DIR")
    arguments.overrides += others
    check_positive(arguments, "videos", "repeats", "steps", "beside")
    return arguments


def _add_options(parser: ArgumentParser, command: str) -> None:
    overrides = "of vmc.train, such as stack=paper model.path=DIR trainer=gpu: the run that is measured (the miniature)"
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=overrides)
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where all figures are written too")
    parser.add_argument("--recorded", type=Path, metavar="FILE.json", help="of earlier figures: a lower gain is told")
    add = partial(parser.add_argument, type=int, metavar="N")
    add("--repeats", default=3, help="of every measurement (3)")
    if command == "choices":
        cases = "the cases whose names contain it, and what they are compared with, such as 'CUDA graph|as shipped'"
        parser.add_argument("--only", metavar="REGEX", help=cases)
        parser.add_argument("--stack", choices=["paper", "mini"], help="of this stack alone")
        folder = "ZeroScope's with random weights, written where it is not there (outputs/bench/model)"
        parser.add_argument("--model", type=Path, metavar="DIR", default=Path("outputs/bench/model"), help=folder)
    if command in ("train", "choices"):
        add("--steps", default=10, help="measured at a time (10)")
    if command not in ("choices", "startup"):
        parser.add_argument("--compare", choices=["plain"], help="with a loop like the release's, choice by choice")
    if command == "train":
        parser.add_argument("--kernels", action="store_true", help="seconds of its kernels (CPU: operators), by kind")
    if command in ("train", "generate"):
        add("--beside", help="measured beside so many busy processes too")
    if count := {"generate": 16, "evaluate": 24, "choices": 8}.get(command):
        add("--videos", default=count, help=f"of the test set ({count})")


if __name__ == "__main__":
    sys.exit(main())
