"""`python -m vmc.mini copying`: trains the copy descriptor, as far as the minutes reach."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.makers.copying.plan import CLIPS, STEPS
from vmc.tools.learning import course

PIPELINE = Path(__file__).parents[2] / "weights" / "pipeline"


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    course.add_arguments(parser, name="copying", steps=STEPS)
    parser.add_argument("--clips", type=int, default=CLIPS, metavar="N", help=f"rendered clips ({CLIPS})")
    parser.add_argument(
        "--pipeline",
        type=Path,
        default=PIPELINE,
        metavar="DIR",
        help="diffusers folder whose autoencoder pictures go through (the miniature's own)",
    )


def run(arguments: Namespace) -> None:
    """Trains, and says what there is.

    Raises:
        VmcError: an option out of its range, or see `vmc.tools.learning.course.train`.
    """
    import time
    from dataclasses import replace

    import torch

    from vmc.mini.makers.copying.pictures import Pictures
    from vmc.mini.makers.copying.training import make_course
    from vmc.tools.learning.loop import Clock

    options = course.options_of(arguments)
    torch.set_num_threads(options.threads)
    pictures, clock, start = Pictures(arguments.pipeline, arguments.clips), Clock(options.minutes), time.monotonic()
    with clock.listening():
        prepared = pictures.prepare(clock.over)
    if not prepared or clock.over():
        print(f"{options.output}: not all pictures are made yet; the same command goes on")
        return
    left = options.minutes and options.minutes - (time.monotonic() - start) / 60
    course.train(make_course(pictures, options.seed), replace(options, minutes=max(left, 0.0)))
