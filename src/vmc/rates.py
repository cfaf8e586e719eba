"""`python -m vmc.rates`: what the search for learning rates has found (`make search-rates`)."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status: 0 done, 2 something the user can put right."""
    parser = ArgumentParser(
        prog="python -m vmc.rates", description="Chooses each arm's learning rates from the runs of a search."
    )
    runs, output = Path("outputs/rates/mini"), Path("experiments/rates")
    parser.add_argument("--runs", type=Path, default=runs, metavar="DIR", help=f"folder of the search's runs ({runs})")
    parser.add_argument("--output", type=Path, default=output, metavar="DIR", help=f"where the tables go ({output})")
    parser.add_argument(
        "--threshold", type=float, metavar="SCORE", help="appearance to compare at (stop.appearance of the runs)"
    )
    parser.add_argument("--write", action="store_true", help="put the chosen rates into the stack's YAML")
    parser.add_argument("--stack", type=Path, metavar="FILE", help="that YAML (conf/stack/STACK.yaml)")
    try:
        report(parser.parse_args(words))
    except VmcError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def report(arguments: Namespace) -> None:
    """Writes the tables, prints them with the chosen rates, and puts these into the stack where that is asked.

    Raises:
        VmcError: see `vmc.tools.rates.read_search`; or rates are to be written while runs are not at their end.
    """
    from vmc.config.folders import config_folder
    from vmc.tools.rates import read_search, text_table, write_search
    from vmc.utils.plain_yaml import write_values, written
    from vmc.utils.tables import to_terminal

    search = read_search(arguments.runs, threshold=arguments.threshold)
    table = text_table(search)
    files = write_search(search, arguments.output)
    print("\n".join([to_terminal(table), *(f"  {note}" for note in table.notes), *map(str, files)]))
    stack = arguments.stack or config_folder() / "stack" / f"{search.stack}.yaml"
    if not arguments.write:
        print(f"\nfor {stack} (--write puts them there):\nrates:")
        print("\n".join(f"  {key}: {written(rate)}" for key, rate in search.rates.items()))
        return
    if ongoing := [trial for trial in search.trials if trial.ongoing]:
        raise VmcError(f"{ongoing[0].run.path} is {ongoing[0].status}; finish the search before --write")
    write_values(stack, {("rates", key): rate for key, rate in search.rates.items()})
    print(f"\n{stack}: {', '.join(search.rates)}")


if __name__ == "__main__":
    sys.exit(main())
