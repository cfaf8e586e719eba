"""`python -m vmc.proof --output DIR`: the paper's model at full size, with random weights, trained and drawn from.

It needs no download. Training and generating are the ordinary commands, each in a process of its own.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError, check_positive, print_errors


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Print the table; the exit status: 0 proved, 1 a part did not fit into memory, 2 what the user can put right."""
    arguments = parser().parse_args(words)
    check_positive(arguments, "frames", "size")
    if wrong := [override for override in arguments.override if "=" not in override]:
        raise VmcError(f"--override is '{wrong[0]}'; give KEY=VALUE, as to vmc.train")
    from vmc.tools.bench.common import report_text
    from vmc.tools.full_size import prove  # imports torch

    report = prove(arguments)
    print(f"\n{report_text(report)}")
    return int(bool(report["failed"]))


def parser() -> ArgumentParser:
    """The options."""
    does = "Loads, trains and draws from a model of ZeroScope's exact layout and size with random weights; no download."
    options = ArgumentParser(prog="python -m vmc.proof", description=does)
    add = options.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="of the model, the video and proof.json")
    add("--format", choices=["bin", "safetensors"], default="bin", help="of the weights (bin, as ZeroScope's are)")
    add("--device", choices=["cpu", "gpu"], help="cpu or gpu (gpu where there is one)")
    add("--frames", type=int, metavar="N", help="of a video (on a CPU 2, on a GPU the config's)")
    add("--size", type=int, metavar="PX", help="of a video (on a CPU 64, on a GPU the config's)")
    overrides = "of vmc.train, as steps=2 (1) or trainer.threads=1; repeatable"
    add("--override", "-o", action="append", default=[], metavar="KEY=VALUE", help=overrides)
    return options


if __name__ == "__main__":
    sys.exit(main())
