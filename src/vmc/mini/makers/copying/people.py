"""Clips of the pool `copying`, in groups whose members are easily taken for one another.

Members of a group do the same gesture before the same camera in the same place; in some groups they also wear the same,
or have the same build, skin and hair. What is left then is what no word names: proportions, shades and the scene's
own details.
"""

from dataclasses import replace

from numpy.random import Generator

from vmc.mini.world import people
from vmc.mini.world.gestures import LABELS, TARGETS
from vmc.mini.world.people import Person, draw_clothes, draw_hair_color, draw_hair_style, draw_kind, generator
from vmc.mini.world.renderer import ClipSpec, Framing
from vmc.mini.world.specs import Variety, sample_clip
from vmc.mini.world.vocabulary import PLACES, RESERVED_ACCESSORIES, RESERVED_COLORS, RESERVED_PLACES, SKINS

GROUP = 4
"""Clips of a group."""
RESERVED, WEBCAM, SAME_CLOTHES, SAME_BODY = 0.5, 0.5, 0.5, 0.25
"""Shares of groups: dressed and placed as exemplars are, filmed as they are, and alike in clothes or in body."""
ACCESSORY = 0.4
"""How often somebody dressed as exemplars are wears an accessory."""
FRAMES = 12
"""Of a clip: the shortest, because single frames are learned from."""
VARIETY = Variety(still=0.0, two_people=0.06, tempo=0.0, sequence=0.0)
VALIDATION = 900_000
"""Numbers from here on are measured and never trained on."""
SETS, EXEMPLARS, OTHERS = 6, 10, 30
"""Of the validation: sets of exemplars of one gesture, and other persons doing it."""
LENGTHS = (29, 40)
"""Shortest and longest clip of the validation."""


def training_clip(number: int) -> ClipSpec:
    """Clip `number`, the same gesture and place as its group's."""
    group = number // GROUP
    random = generator("copying", "group", group)
    reserved = random.random() < RESERVED
    framing: Framing = "webcam" if reserved or random.random() < WEBCAM else "web"
    places = RESERVED_PLACES if reserved else PLACES
    place, gesture = _choice(random, places), _choice(random, LABELS)
    spec = sample_clip(
        "copying", number, gestures=(gesture,), framing=framing, frames=(FRAMES, FRAMES), variety=VARIETY
    )
    persons = [_as_exemplar(person) if reserved else person for person in spec.persons]
    if random.random() < SAME_CLOTHES:
        clothes, color = draw_clothes(random, "man", reserved=reserved)
        persons = [replace(person, clothes=clothes, clothes_color=color, occupation="") for person in persons]
    if random.random() < SAME_BODY:
        persons = [_in_body(generator("copying", "body", group), person, reserved=reserved) for person in persons]
    return replace(spec, persons=tuple(persons), place=place)


def validation_clip(number: int) -> ClipSpec:
    """Clip `number`, from `VALIDATION` on: dressed, placed and filmed as exemplars are, each set doing one target."""
    gesture = TARGETS[(number - VALIDATION) // (EXEMPLARS + OTHERS) % len(TARGETS)]
    spec = sample_clip("copying", number, gestures=(gesture,), framing="webcam", frames=LENGTHS)
    place = _choice(generator("copying", "place", number), RESERVED_PLACES)
    return replace(spec, persons=tuple(_as_exemplar(person) for person in spec.persons), place=place)


def _as_exemplar(person: Person) -> Person:
    """The person in reserved clothes and with reserved hair."""
    random = generator("copying", "dress", person.number)
    clothes, color = draw_clothes(random, person.kind, reserved=True)
    accessory = f"{_choice(random, RESERVED_COLORS)} {_choice(random, RESERVED_ACCESSORIES)}"
    return replace(
        person,
        occupation="",
        clothes=clothes,
        clothes_color=color,
        hair_color=draw_hair_color(random, person.kind, reserved=True),
        accessories=(accessory,) if random.random() < ACCESSORY else (),
    )


def _in_body(random: Generator, person: Person, *, reserved: bool) -> Person:
    """The person with kind, skin and hair as drawn; traits and accessories stay."""
    kind = draw_kind(random)
    return replace(
        person,
        kind=kind,
        skin=_choice(random, tuple(SKINS)),
        hair_style=draw_hair_style(random, kind),
        hair_color=draw_hair_color(random, kind, reserved=reserved),
        occupation="",
    )


def _choice(random: Generator, options: tuple[str, ...]) -> str:
    return options[int(random.integers(len(options)))]


def settings() -> tuple[object, ...]:
    """All of this module that decides pictures."""
    shares = (RESERVED, WEBCAM, SAME_CLOTHES, SAME_BODY, ACCESSORY, people.RESERVED_SHARE)
    return (GROUP, shares, FRAMES, VARIETY, VALIDATION, SETS, EXEMPLARS, OTHERS, LENGTHS)
