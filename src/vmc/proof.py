"""`python -m vmc.proof --output DIR`: the paper's model at full size, with random weights, trained and drawn from.

It needs no download. Training and generating are the ordinary commands, each in a process of its own.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError

_POSITIVE = ("frames", "size", "steps", "threads")


def main(words: Sequence[str] | None = None) -> int:
    """Prints the table; the exit status: 0 proved, 1 a part did not fit into memory, 2 what the user can put right."""
    arguments = _parser().parse_args(words)
    try:
        result = prove(arguments)
    except VmcError as error:
        print(error, file=sys.stderr)
        return 2
    from vmc.tools.full_size.table import lines

    print("\n".join(["", *lines(result)]))
    return int(any("failed" in run for run in result["runs"]))


def _parser() -> ArgumentParser:
    does = "Loads, trains and draws from a model of ZeroScope's exact layout and size with random weights; no download."
    parser = ArgumentParser(prog="python -m vmc.proof", description=does)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="of the model, the video and proof.json"
    )
    formats = "of the weight files: bin, as ZeroScope is published (default), or safetensors"
    parser.add_argument("--format", choices=["bin", "safetensors"], default="bin", help=formats)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="cpu or gpu (gpu where there is one)")
    parser.add_argument("--frames", type=int, metavar="N", help="of a video (on a CPU 2, on a GPU the config's)")
    parser.add_argument("--size", type=int, metavar="PX", help="of a video (on a CPU 64, on a GPU the config's)")
    parser.add_argument("--steps", type=int, default=1, metavar="N", help="of training (1)")
    parser.add_argument("--threads", type=int, metavar="N", help="of PyTorch on a CPU (those of conf/trainer/cpu.yaml)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (0)")
    parser.add_argument(
        *("--override", "-o"), action="append", default=[], metavar="KEY=VALUE", help="of vmc.train; repeatable"
    )
    return parser


def prove(arguments: Namespace) -> dict:
    """As the command line says.

    Raises:
        VmcError: what cannot be, or fails.
    """
    for name in _POSITIVE:
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise VmcError(f"--{name} is {value}; it must be at least 1")
    for override in arguments.override:
        if "=" not in override:
            raise VmcError(f"--override is '{override}'; give KEY=VALUE, as to vmc.train")
    import torch

    from vmc.tools.full_size.proving import Proof

    device = arguments.device or ("gpu" if torch.cuda.is_available() else "cpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise VmcError("--device is gpu, but PyTorch finds no GPU here; use --device cpu")
    threads = [f"trainer.threads={arguments.threads}"] if arguments.threads else []
    return Proof(
        output=arguments.output,
        format=arguments.format,
        device=device,
        frames=arguments.frames,
        size=arguments.size,
        steps=arguments.steps,
        seed=arguments.seed,
        overrides=[*threads, *arguments.override],
    ).prove()


if __name__ == "__main__":
    sys.exit(main())
