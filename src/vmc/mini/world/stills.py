"""Stills of a person who is in no caption: what no word of the vocabulary says, for `subject=mini`.

His colors come from traits, which captions never name: violet hair and a lime hoodie are no words of the miniature.
"""

import csv
from dataclasses import replace
from pathlib import Path

from PIL import Image

from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.people import Person, draw_traits, generator
from vmc.mini.world.renderer import ClipSpec, Framing, render
from vmc.utils.files import atomic_folder, cache_root
from vmc.utils.randomness import derive_seed

NUMBER = 1_000_000
"""Of the person in his pool, beyond those that anything else asks for."""
SIZE = 256
"""Side of a still, px."""
CLOSE_UP = 0.68
"""Share of the side that a close-up shows."""
STILLS: tuple[tuple[str, Framing, bool], ...] = (
    ("in front of a grey wall", "webcam", False),
    ("in front of a white wall", "web", False),
    ("in a kitchen", "webcam", False),
    ("in front of a blue wall", "web", False),
    ("in a living room", "webcam", True),
    ("in front of a red wall", "web", False),
    ("in front of a grey wall", "web", True),
    ("in a kitchen", "web", False),
)
"""Place, camera and whether it is a close-up. The test prompts of figure 6 name other places."""


def subject_person() -> Person:
    """The person: hair and clothes of colors that have no name, skin of a tone that captions do not tell."""
    traits = draw_traits(generator("person", "subjects", NUMBER))
    return Person(
        pool="subjects",
        number=NUMBER,
        kind="man",
        skin="tanned",
        hair_style="curly",
        hair_color="white",
        clothes="hoodie",
        clothes_color="yellow",
        accessories=("beard",),
        traits=replace(traits, hair_shift=(-42, -128, -14), cloth_shift=(-66, 22, 0)),
    )


def write(folder: Path) -> None:
    """Write the stills with `captions.csv`, whole or not at all."""
    person = subject_person()
    with atomic_folder(folder) as temporary:
        rows = []
        for number, (place, framing, close_up) in enumerate(STILLS, start=1):
            seed = derive_seed("mini", "subject", number)
            spec = ClipSpec(persons=(person,), place=place, framing=framing, frames=1, seed=seed)
            still = Image.fromarray(render(spec, SIZE)[0])
            if close_up:
                left = round(SIZE * (1 - CLOSE_UP) / 2)
                side = round(SIZE * CLOSE_UP)
                still = still.crop((left, 0, left + side, side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            name = f"still_{number}.png"
            still.save(temporary / name)
            rows.append((name, f"a {'portrait of a ' if close_up else ''}{{subject_token}} man {place}"))
        with (temporary / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("file", "caption"), *rows])


def default_folder() -> Path:
    """The stills in the cache, made on the first call."""
    folder = cache_root() / "mini" / f"subject-{renderer_hash('stills')[:12]}"
    if not folder.is_dir():
        write(folder)
    return folder
