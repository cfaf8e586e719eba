"""`python -m vmc.rates`: the learning rates, and the threshold, that a search has found (`make search-rates`)."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from vmc.utils.errors import VmcError, print_errors


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Write the tables, print them with rates and threshold, and put these into the stack where that is asked; the exit
    status: 0 done, 2 something the user can put right.
    """
    does = "Chooses each arm's learning rates, and the appearance threshold, from the runs of a search."
    parser = ArgumentParser(prog="python -m vmc.rates", description=does)
    add = parser.add_argument
    for name, default, what in (
        ("runs", "outputs/rates/mini", "folder of the search's runs"),
        ("output", "experiments/rates", "where the tables go"),
    ):
        add(f"--{name}", type=Path, default=Path(default), metavar="DIR", help=f"{what} ({default})")
    add("--floor", type=float, metavar="SCORE", help="appearance to compare down to (stop.appearance of the runs)")
    add("--write", action="store_true", help="put the chosen rates into the stack's YAML")
    add("--threshold", action="store_true", help="put the threshold, stop.appearance, into it")
    add("--stack", type=Path, metavar="FILE", help="that YAML (conf/stack/STACK.yaml)")
    arguments = parser.parse_args(words)
    from vmc.config.folders import config_folder
    from vmc.tools.rates import read_search, text_table, write_search
    from vmc.utils.plain_yaml import write_values, yaml_number
    from vmc.utils.tables import to_terminal

    search = read_search(arguments.runs, floor=arguments.floor)
    table, files = text_table(search), write_search(search, arguments.output)
    print(to_terminal(table), *(f"  {note}" for note in table.notes), *files, sep="\n")
    stack = arguments.stack or config_folder() / "stack" / f"{table.name}.yaml"
    wanted = {("rates", key): rate for key, rate in search.rates.items()} if arguments.write else {}
    if arguments.threshold:
        if search.threshold is None:
            raise VmcError(f"{arguments.runs} has no finished runs of the method, which set the threshold; search them")
        wanted["stop", "appearance"] = search.threshold
    if arguments.write and not search.rates:
        raise VmcError(f"{arguments.runs} has no finished runs that count, and so chooses no rates; search them")
    if not wanted:
        print(f"\nfor {stack} (--write puts the rates there, --threshold the threshold):\nrates:")
        print("\n".join(f"  {key}: {yaml_number(rate)}" for key, rate in search.rates.items()))
        if search.threshold is not None:
            print(f"stop: {{appearance: {search.threshold}}}")
        return 0
    for run in search.runs:
        if run.state.get("status") not in ("finished", "failed"):
            raise VmcError(f"{run.path} is {run.progress}; finish the search before --write or --threshold")
    write_values(stack, wanted)
    print(f"\n{stack}: {', '.join('.'.join(place) for place in wanted)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
