"""`python -m vmc.doctor`: what this machine can run, what is missing, and the command that fixes it."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from vmc.checkup.rows import STACKS, Row, Stack, lines
from vmc.checkup.software import software


def main(words: Sequence[str] | None = None) -> int:
    """Prints the table; the exit status: 0, or 1 where the stack cannot run."""
    parser = ArgumentParser(prog="python -m vmc.doctor", description="What this machine can run, and what is missing.")
    parser.add_argument("--stack", choices=STACKS, default="mini", help="that is to run (mini)")
    memory = "only the GPU memory of the paper's stack against the choices that save it, as a table"
    parser.add_argument("--memory", action="store_true", help=memory)
    arguments = parser.parse_args(words)
    if arguments.memory:
        print("\n".join(import_module("vmc.checkup.memory").table()))
        return 0
    rows = examine(arguments.stack)
    print("\n".join(lines(rows)))
    failing = [row.part for row in rows if row.state == "fails"]
    if failing:
        print(f"\nstack={arguments.stack} cannot run here yet: {', '.join(failing)}")
        return 1
    print(f"\nstack={arguments.stack} can run here")
    return 0


def examine(stack: Stack) -> list[Row]:
    """All findings. Where packages are missing nothing else can be looked at."""
    rows = software()
    if any(row.state == "fails" and row.part in ("packages", "torchvision") for row in rows):
        return rows
    machine, networks, services = (import_module(f"vmc.checkup.{name}") for name in ("machine", "networks", "services"))
    return [*rows, *machine.machine(stack), *networks.networks(stack), *services.services()]


if __name__ == "__main__":
    sys.exit(main())
