"""The miniature's prompt suites, in the words its base model was taught.

`python -m vmc.mini.world.applications` prints the file that ships as `vmc/data/applications_mini.csv`.
"""

import csv
import io
from collections.abc import Iterator

from vmc.mini.world import vocabulary as words
from vmc.mini.world.captions import sign_name
from vmc.mini.world.gestures import KNOWN
from vmc.mini.world.people import generator
from vmc.mini.world.phrases import article
from vmc.mini.world.test_set import subjects

EACH = 24
"""Prompts of a suite."""
SEEDS = 3
NON_HUMAN = ("robot", "alien", "zombie", "vampire")
COLUMNS = ("suite", "subject", "manner", "then", *(f"seed_{place}" for place in range(1, SEEDS + 1)))


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Suite, subject, manner and second gesture of every prompt."""
    single = [phrase for phrase in subjects() if phrase.split(" ", 1)[1] not in NON_HUMAN]
    chosen = [single[place * len(single) // (2 * EACH)] for place in range(2 * EACH)]
    working = [article(name) for name in words.OCCUPATIONS if name not in NON_HUMAN]
    for place in range(EACH):
        other = working[(place + len(working) // 2) % len(working)]
        yield "people", f"{working[place].capitalize()} and {other}", "", ""
    for subject in chosen[::2]:
        yield "slow", subject, "very slowly", ""
    for subject in chosen[::2]:
        yield "quick", subject, "quickly", ""
    for place, subject in enumerate(chosen[1::2]):
        then = KNOWN[place * 5 % len(KNOWN)]
        yield "sequence", subject, f"and then the {sign_name(then)} sign", then
    for place in range(EACH):
        subject = article(NON_HUMAN[place % len(NON_HUMAN)]).capitalize()
        yield "non_human", subject, words.PLACES[place % len(words.PLACES)], ""


def table() -> str:
    """The suites as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    # A slow prompt and its quick one have the same seeds: they begin with the same noise.
    for place, row in enumerate(rows()):
        name = ("tempo", row[1]) if row[0] in ("slow", "quick") else (row[0], place)
        random = generator("applications", *name)
        writer.writerow([*row, *(int(random.integers(1, 10**6)) for _ in range(SEEDS))])
    return stream.getvalue()


if __name__ == "__main__":
    print(table(), end="")
