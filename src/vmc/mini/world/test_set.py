"""The miniature's test set: 100 subjects that look different from each other, three seeds each.

`python -m vmc.mini.world.test_set` prints the file that ships as `test_set.csv`.
"""

import csv
import io
from pathlib import Path

from numpy.random import Generator

from vmc.mini.world import vocabulary as words
from vmc.mini.world.people import generator
from vmc.mini.world.phrases import article, hair_phrase

TEST_SET = Path(__file__).with_name("test_set.csv")
"""The shipped file; columns subject, seed_1, seed_2, seed_3."""
SUBJECTS = 100
_SEED_LIMITS = (100_000_000, 1_000_000, 100_000)


def test_set_file() -> Path:
    """The shipped file, for configs."""
    return TEST_SET


def _hair(kind: str, random: Generator) -> str:
    if kind in words.OLD:
        colors = ("grey", "white")
    else:
        unsaid = (*words.RESERVED_HAIR_COLORS, "grey", "white")
        colors = tuple(name for name in words.HAIR_COLORS if name not in unsaid)  # type: ignore[assignment]
    if kind in words.FEMALE:
        styles = ("long", "curly", "bun", "ponytail", "pigtails")
    else:
        styles = ("spiky", "curly", "mohawk", "long", "short")
    style, color = styles[int(random.integers(len(styles)))], colors[int(random.integers(len(colors)))]
    return hair_phrase(style, color)


def _accessory(kind: str, random: Generator) -> str:
    if random.random() < 0.5:
        grown_man = kind in ("man", "old man")
        options = tuple(name for name in words.PLAIN_ACCESSORIES if grown_man or name not in words.MALE_ACCESSORIES)
        return article(options[int(random.integers(len(options)))])
    name = words.COLORED_ACCESSORIES[int(random.integers(len(words.COLORED_ACCESSORIES)))]
    return article(f"{words.FREE_COLORS[int(random.integers(len(words.FREE_COLORS)))]} {name}")


def _clothes(kind: str, random: Generator) -> str:
    options = [name for name in words.CLOTHES if name not in ("shirt", "dress") or kind in words.FEMALE]
    color = words.FREE_COLORS[int(random.integers(len(words.FREE_COLORS)))]
    return article(f"{color} {options[int(random.integers(len(options)))]}")


def subjects() -> list[str]:
    """100 phrases: every occupation, then kinds of people with two features that no other phrase shares."""
    phrases = [article(name).capitalize() for name in words.OCCUPATIONS]
    random, taken = generator("test set", "subjects"), set[str]()
    while len(phrases) < SUBJECTS:
        kind = words.KINDS[len(phrases) % len(words.KINDS)]
        hair, accessory, clothes = (draw(kind, random) for draw in (_hair, _accessory, _clothes))
        pattern = (len(phrases) // len(words.KINDS)) % 3
        first, second = ((hair, clothes), (accessory, clothes), (hair, accessory))[pattern]
        features = f"{first} / {second}"
        said_colors = [word for word in features.split() if word in words.COLORS]
        if features in taken or len(said_colors) != len(set(said_colors)):
            continue
        taken.add(features)
        joint = "and" if pattern == 2 else "in"
        phrases.append(f"{article(kind)} with {first} {joint} {second}".capitalize())
    return phrases


def table() -> str:
    """The test set as CSV text: columns subject, seed_1, seed_2, seed_3."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["subject", "seed_1", "seed_2", "seed_3"])
    for index, phrase in enumerate(subjects()):
        random = generator("test set", "seeds", index)
        writer.writerow([phrase, *(int(random.integers(1, limit)) for limit in _SEED_LIMITS)])
    return stream.getvalue()


if __name__ == "__main__":
    print(table(), end="")
