"""`python -m vmc.doctor`: what this machine can run, what is missing, and the command that fixes it."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from vmc.tools.doctor.software_checks import Row, lines, software
from vmc.utils.errors import print_errors


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Print the table; the exit status: 0, 1 where the run cannot be made here, 2 for overrides that are wrong."""
    parser = ArgumentParser(prog="python -m vmc.doctor", description="What this machine can run, and what is missing.")
    parser.add_argument("--stack", choices=("mini", "paper"), default="mini", help="that is to run (mini)")
    parser.add_argument("--memory", action="store_true", help="only a table of GPU memory against choices that save it")
    overrides = "of vmc.train, such as model=modelscope data.path=DIR: the run that is looked at (the stack's default)"
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=overrides)
    arguments = parser.parse_intermixed_args(words)
    if arguments.memory:
        print("\n".join(import_module("vmc.tools.doctor.machine_checks").memory_table()))
        return 0
    rows = examine(arguments.stack, arguments.overrides)
    failing = [row.part for row in rows if row.state == "fails"]
    ends = f"cannot run here yet: {', '.join(failing)}" if failing else "can run here"
    print(*lines(rows), "", f"{' '.join([f'stack={arguments.stack}', *arguments.overrides])} {ends}", sep="\n")
    return int(bool(failing))


def examine(stack: str, overrides: Sequence[str] = ()) -> list[Row]:
    """All findings. Where packages are missing nothing else can be looked at, and so nothing else is imported.

    Raises:
        VmcError: the overrides do not compose.
    """
    rows = software()
    if any(row.state == "fails" and row.part in ("packages", "torchvision") for row in rows):
        return rows
    run = import_module("vmc.tools.doctor.machine_checks")
    return [*rows, *run.examine(run.PlannedRun(stack, overrides))]


if __name__ == "__main__":
    sys.exit(main())
