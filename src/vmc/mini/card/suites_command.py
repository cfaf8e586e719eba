"""`python -m vmc.mini suites`: how well a pipeline draws two people, tempo and sequences of gestures that it knows."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.shipped import WEIGHTS

VIDEOS = Path("outputs/mini/suites")


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--pipeline", type=Path, default=WEIGHTS / "pipeline", metavar="DIR", help="the shipped one")
    parser.add_argument("--rendered", action="store_true", help="measure rendered clips in its place: the ceiling")
    parser.add_argument("--each", type=int, default=4, metavar="N", help="videos of each suite and gesture (4)")
    parser.add_argument("--output", type=Path, default=VIDEOS, metavar="DIR", help=f"the videos ({VIDEOS})")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of PyTorch (all processors)")


def run(arguments: Namespace) -> None:
    """Prints the metrics of each suite.

    Raises:
        VmcError: an option out of its range, or no pipeline there.
    """
    import torch

    from vmc.evaluation.score import summary_lines
    from vmc.mini.card import suites
    from vmc.mini.card.networks import Networks
    from vmc.mini.card.settings import read_settings, stack_file
    from vmc.utils.errors import VmcError, check_positive

    check_positive(arguments, "each")
    if arguments.threads < 0:
        raise VmcError(f"--threads is {arguments.threads}; it must be at least 1, or 0 for all processors")
    if not (arguments.pipeline / "unet").is_dir():
        raise VmcError(f"--pipeline is {arguments.pipeline}, which holds no unet; give a pipeline's folder")
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    networks = Networks(WEIGHTS, read_settings(stack_file()))
    if arguments.rendered:
        videos = list(suites.rendered(networks, arguments.each))
    else:
        videos = list(suites.generated(networks, arguments.pipeline, arguments.output, arguments.each))
    found = suites.measure(networks, videos)
    print("\n".join(summary_lines({"metrics": {}, "suites": found})))
