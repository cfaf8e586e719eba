"""`python -m vmc.rates`: what the search for learning rates has found (`make search-rates`)."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError, told


@told
def main(words: Sequence[str] | None = None) -> int:
    """Write the tables, print them with the chosen rates, and put these into the stack where that is asked; the exit
    status: 0 done, 2 something the user can put right.
    """
    does = "Chooses each arm's learning rates from the runs of a search."
    parser = ArgumentParser(prog="python -m vmc.rates", description=does)
    add = parser.add_argument
    for name, default, what in (
        ("runs", "outputs/rates/mini", "folder of the search's runs"),
        ("output", "experiments/rates", "where the tables go"),
    ):
        add(f"--{name}", type=Path, default=Path(default), metavar="DIR", help=f"{what} ({default})")
    add("--threshold", type=float, metavar="SCORE", help="appearance to compare at (stop.appearance of the runs)")
    add("--write", action="store_true", help="put the chosen rates into the stack's YAML")
    add("--stack", type=Path, metavar="FILE", help="that YAML (conf/stack/STACK.yaml)")
    arguments = parser.parse_args(words)
    from vmc.config.folders import config_folder
    from vmc.tools.rates import read_search, text_table, write_search
    from vmc.utils.plain_yaml import write_values, written
    from vmc.utils.tables import to_terminal

    search = read_search(arguments.runs, threshold=arguments.threshold)
    table, files = text_table(search), write_search(search, arguments.output)
    print(to_terminal(table), *(f"  {note}" for note in table.notes), *files, sep="\n")
    stack = arguments.stack or config_folder() / "stack" / f"{table.name}.yaml"
    if not arguments.write:
        print(f"\nfor {stack} (--write puts them there):\nrates:")
        print("\n".join(f"  {key}: {written(rate)}" for key, rate in search.rates.items()))
        return 0
    for run in search.runs:
        if run.state.get("status") not in ("finished", "failed"):
            raise VmcError(f"{run.path} is {run.progress}; finish the search before --write")
    write_values(stack, {("rates", key): rate for key, rate in search.rates.items()})
    print(f"\n{stack}: {', '.join(search.rates)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
