"""`python -m vmc.mini variety`: trains the shipped pipeline on with two people, tempo, sequences and objects."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.makers import common

STEPS = 4_000
"""Of the schedule."""
CLIPS, PLAIN, OBJECTS = 6_000, 2_000, 1_000
KINDS = ("people", "sequence", "tempo", "ordinary")
"""Of clips of variety, by what they show."""
MOTION_SHARE = 0.8
"""Of the steps in which clips count by what moves in them at every timestep, as in pretraining."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    common.add_arguments(parser, name="variety", steps=STEPS)
    parser.add_argument("--pipeline", type=Path, metavar="DIR", help="to begin with, only read (the shipped one)")
    parser.add_argument("--clips", type=int, default=CLIPS, metavar="N", help=f"rendered clips of variety ({CLIPS})")
    what = f"how often a clip of {', '.join(KINDS)} is drawn (1 1 1 1)"
    parser.add_argument("--times", type=int, nargs=len(KINDS), default=[1] * len(KINDS), metavar="N", help=what)
    told = f"share of the steps in which clips count by what moves in them ({MOTION_SHARE})"
    parser.add_argument("--motion", type=float, default=MOTION_SHARE, metavar="SHARE", help=told)
    parser.add_argument("--pictures", action="store_true", help="one step in eight draws single frames")
    parser.add_argument("--plain", type=int, default=PLAIN, metavar="N", help=f"of one person and gesture ({PLAIN})")
    parser.add_argument("--objects", type=int, default=OBJECTS, metavar="N", help=f"of objects at rest ({OBJECTS})")


def run(arguments: Namespace) -> None:
    """Renders, encodes and trains as far as the minutes reach; the averaged pipeline lies in `OUTPUT/pipeline`.

    Raises:
        VmcError: an option out of its range, no pipeline, or a folder of another configuration.
    """
    from functools import partial

    from vmc.mini.makers.pretraining.variety import VarietyPlan
    from vmc.mini.shipped import shipped
    from vmc.utils.errors import VmcError

    options = common.options_of(arguments)
    pipeline = arguments.pipeline or Path(shipped("pipeline"))
    if not (pipeline / "unet").is_dir():
        raise VmcError(f"--pipeline is {pipeline}, which holds no unet; give a folder in the diffusers layout")
    counts = {name: getattr(arguments, name) for name in ("clips", "plain", "objects")}
    times = dict(zip(KINDS, arguments.times, strict=True))
    chosen = {"times": times, "motion": arguments.motion, "pictures": arguments.pictures}
    plan = VarietyPlan(pipeline=pipeline, **counts, seed=options.seed, device=options.device, **chosen)
    steps = options.steps or STEPS
    common.prepare_and_train(options, partial(plan.prepare, workers=options.threads), partial(plan.make_task, steps))
