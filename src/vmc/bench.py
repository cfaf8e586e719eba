"""`python -m vmc.bench COMMAND [OVERRIDE ...]`: figures for speed and memory on this machine, as a table and as JSON.

A benchmark is a module with `run(arguments)`; it is imported only when it is called.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from vmc.tools.bench.options import add_arguments, check
from vmc.utils.errors import VmcError

COMMANDS = {
    "generate": "videos a second in batches, against one video at a time",
    "evaluate": "seconds a video for scoring, and its share of generating",
    "train": "seconds a training step, with latents and texts from the cache or made anew",
    "startup": "seconds until a command answers, and until the first training step",
}
"""Benchmark -> what it measures; the module of that name is in `vmc.tools.bench`."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one benchmark; the exit status: 0 done, 2 something the user can put right."""
    parser = ArgumentParser(prog="python -m vmc.bench", description="Figures for speed and memory on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, does in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}."), name)
    arguments, others = parser.parse_known_args(words)
    try:
        check(arguments, others)
        report = import_module(f"vmc.tools.bench.{arguments.command}").run(arguments)
        if arguments.output is not None:
            report.write(arguments.output)
    except VmcError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
