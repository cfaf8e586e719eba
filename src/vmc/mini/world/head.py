"""Heads: face, hair and what is worn on them, back to front."""

from vmc.mini.world.face import FACE_WEAR, draw_face
from vmc.mini.world.hair import draw_hair, draw_hair_behind
from vmc.mini.world.headwear import HEADWEAR, HIDES_HAIR
from vmc.mini.world.pen import Pen, shade
from vmc.mini.world.people import Person
from vmc.mini.world.skull import CENTER_Y, skull
from vmc.mini.world.vocabulary import COLORS


def draw_behind(pen: Pen, person: Person) -> None:
    """What lies behind the shoulders: long hair and tails, a cape."""
    if "red cape" in person.outfit.extras:
        right = [(0.22, 0.56), (0.42, 1.05), (0.46, 1.75)]
        pen.polygon([*right, *((-x, y) for x, y in reversed(right))], COLORS["red"])
    if person.outfit.headwear not in HIDES_HAIR:
        draw_hair_behind(pen, person, skull(person))


def draw_head(pen: Pen, person: Person) -> None:
    """Face, hair over it, beard, glasses and hat, back to front."""
    head = skull(person)
    skin = person.skin_rgb
    for side in (-1, 1):
        pen.oval(side * head.across, CENTER_Y + 0.015, 0.022, 0.033, shade(skin, 0.9), shade(skin, 0.55), 0.007)
    pen.oval(0.0, CENTER_Y, head.across, head.up, skin, shade(skin, 0.5), 0.009)
    draw_face(pen, person, head)
    if person.outfit.headwear not in HIDES_HAIR:
        draw_hair(pen, person, head)
    for accessory in (*person.accessories, *person.outfit.extras):
        if accessory in FACE_WEAR:
            FACE_WEAR[accessory](pen, person, head)
    if person.outfit.headwear:
        HEADWEAR[person.outfit.headwear](pen, COLORS.get(person.outfit.headwear_color, skin), head.across, head.top)
    for accessory in person.accessories:
        color, _, name = accessory.partition(" ")
        if name in HEADWEAR and color in COLORS:
            HEADWEAR[name](pen, COLORS[color], head.across, head.top)
