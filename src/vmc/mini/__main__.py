"""`python -m vmc.mini COMMAND`: makes the miniature.

A command is a module with `add_arguments(parser)` and `run(arguments)`; it is imported only when it is called.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from vmc.utils.errors import print_errors

COMMANDS: dict[str, tuple[str, str]] = {
    "blank": ("vmc.mini.makers.blank", "write a small pipeline with random weights"),
    "render": ("vmc.mini.world.render_command", "write rendered clips in Jester's layout"),
    "sheets": ("vmc.mini.world.sheets_command", "draw contact sheets of the rendered world"),
    "pipeline": ("vmc.mini.makers.pretraining.command", "pretrain the text-to-video pipeline from scratch"),
    "variety": (
        "vmc.mini.makers.pretraining.variety_command",
        "train the pipeline on with two people, tempo, sequences",
    ),
    "classifier": ("vmc.mini.makers.classifier.command", "train the gesture classifier from scratch"),
    "classes": (
        "vmc.mini.makers.classes",
        "give the classifier the classes of the internet motions' stand-ins",
    ),
    "appearance": ("vmc.mini.makers.appearance.command", "train the appearance model"),
    "copying": ("vmc.mini.makers.copying.command", "train the copy descriptor"),
    "ship": ("vmc.mini.card.ship_command", "put the trained networks into the package"),
    "suites": ("vmc.mini.card.suites_command", "measure two people, tempo and sequences of known gestures"),
    "card": ("vmc.mini.card.command", "measure the shipped networks and set the thresholds"),
}
"""Command -> (module, what it does)."""


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status: 0 done, 2 something the user can put right."""
    words = list(sys.argv[1:] if words is None else words)
    parser = ArgumentParser(prog="python -m vmc.mini", description="Makes the miniature.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, does) in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if name in words[:1]:
            import_module(module).add_arguments(command)
    arguments = parser.parse_args(words)
    import_module(COMMANDS[arguments.command][0]).run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
