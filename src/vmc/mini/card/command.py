"""`python -m vmc.mini card`: measures the shipped networks, writes what they can do, and sets the thresholds."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vmc.mini.shipped import WEIGHTS

VIDEOS, PICTURES = Path("outputs/mini/card"), Path("experiments/miniature")


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="what is measured (the package's)")
    parser.add_argument("--check", action="store_true", help="only say whether the card is of these weights")
    parser.add_argument(
        "--tried",
        action="append",
        default=[],
        metavar="KEY=TEXT",
        help="only note on the card what was tried where a figure is missed; repeatable",
    )
    parser.add_argument("--copying", action="store_true", help="only measure anew what the card says of copies")
    parser.add_argument(
        "--quick", action="store_true", help="a few clips and videos, to see that everything runs on a copy"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of PyTorch (all processors)")
    parser.add_argument(
        "--output", type=Path, default=VIDEOS, metavar="DIR", help=f"the base model's videos ({VIDEOS})"
    )
    parser.add_argument("--sheets", type=Path, default=PICTURES, metavar="DIR", help=f"contact sheets ({PICTURES})")
    parser.add_argument("--stack", type=Path, metavar="FILE", help="YAML of the thresholds (conf/stack/mini.yaml)")
    parser.add_argument("--jester", type=Path, metavar="DIR", help="what runs draw exemplars from (the cache's)")


def run(arguments: Namespace) -> None:
    """Measures, checks or notes, and says what was found.

    Raises:
        VmcError: an option out of its range; see `vmc.mini.card.measuring.measure` and `reading.check_card`.
    """
    from vmc.mini.card.reading import CARD, check_card

    if arguments.check or arguments.tried:
        card = check_card(arguments.weights)
        if arguments.tried:
            _note(arguments.weights, card, arguments.tried)
        print(f"{arguments.weights / CARD} belongs to the weights beside it and to this renderer")
        return
    _measure(arguments)


def _measure(arguments: Namespace) -> None:
    import os

    from vmc.mini.card.bars import QUICK, CardPlan
    from vmc.mini.card.measuring import CardOptions, measure, measure_copying
    from vmc.mini.card.page import lines
    from vmc.mini.card.settings import stack_file
    from vmc.utils.errors import VmcError, check_positive

    check_positive(arguments, "threads")
    sheets = not arguments.copying and arguments.sheets == PICTURES
    if arguments.quick and (arguments.weights == WEIGHTS or arguments.stack is None or sheets):
        told = (
            "whose figures mean nothing; give it a copy of the weights and of the YAML, by --weights, --stack, --sheets"
        )
        raise VmcError(f"--quick would replace the shipped card, thresholds and sheets by those of a few clips, {told}")
    options = CardOptions(
        weights=arguments.weights,
        videos=arguments.output,
        stack=arguments.stack or stack_file(),
        pictures=arguments.sheets,
        jester=arguments.jester,
        threads=arguments.threads or os.cpu_count() or 1,
        plan=QUICK if arguments.quick else CardPlan(),
    )
    card = (measure_copying if arguments.copying else measure)(options)
    print("\n".join(lines(card)))
    print(", ".join(f"{name} threshold {figure['value']}" for name, figure in card["thresholds"].items()))
    print(f"{arguments.weights}: card.json and README.md; the thresholds stand in {options.stack}")


def _note(weights: Path, card: dict, tried: list[str]) -> None:
    """Puts what was tried on the card."""
    from vmc.mini.card.bars import BARS
    from vmc.mini.card.page import write_card
    from vmc.utils.errors import VmcError

    notes = dict(card.get("tried", {}))
    for note in tried:
        name, equals, text = note.partition("=")
        if name not in BARS or not equals:
            raise VmcError(f"--tried is '{note}'; give KEY=TEXT, KEY one of {', '.join(BARS)}")
        notes[name] = text.strip()
    write_card(weights, {**card, "tried": notes})
