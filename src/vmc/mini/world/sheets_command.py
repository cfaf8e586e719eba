"""`python -m vmc.mini sheets`: pictures of the rendered world, to be looked at."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

FRAMES = 8
LENGTH = 32


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")


def run(arguments: Namespace) -> None:
    """Writes `gestures.png`, one row for each of the 27, and `subjects.png`, the 100 of the test set."""
    import numpy as np

    from vmc.mini.world.gestures import LABELS
    from vmc.mini.world.labeled_rows import contact_sheet
    from vmc.mini.world.phrases import person_from_phrase
    from vmc.mini.world.renderer import ClipSpec, render
    from vmc.mini.world.specs import sample_clip
    from vmc.mini.world.test_set import subjects
    from vmc.utils.files import atomic_write

    shown = np.linspace(2, LENGTH - 3, FRAMES).astype(int)
    clips = [
        sample_clip("card", number, gestures=(label,), frames=(LENGTH, LENGTH)) for number, label in enumerate(LABELS)
    ]
    gestures = [(clip.gestures[0], list(render(clip)[shown])) for clip in clips]
    persons = [render(ClipSpec(persons=(person_from_phrase(phrase),), frames=1))[0] for phrase in subjects()]
    rows = [("", persons[start : start + 10]) for start in range(0, len(persons), 10)]
    for name, sheet in (("gestures", contact_sheet(gestures, margin=190)), ("subjects", contact_sheet(rows, margin=0))):
        with atomic_write(arguments.output / f"{name}.png") as temporary:
            sheet.save(temporary)
    print(f"{arguments.output}: gestures.png and subjects.png")
