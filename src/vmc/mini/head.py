"""Heads: face, hair, beard and glasses; hats are in `vmc.mini.headwear`."""

from dataclasses import dataclass

from vmc.mini.headwear import HEADWEAR, HIDES_HAIR
from vmc.mini.pen import Pen, Rgb, mix, shade
from vmc.mini.people import Person
from vmc.mini.vocabulary import COLOURS

CENTRE_Y = 0.335
_DARK: Rgb = (36, 34, 40)
_WHITE: Rgb = (250, 250, 248)


@dataclass(frozen=True)
class Skull:
    """Half axes of the head, about (0, CENTRE_Y)."""

    across: float
    up: float

    @property
    def top(self) -> float:
        """y of the crown."""
        return CENTRE_Y - self.up


def skull(person: Person) -> Skull:
    """The size of a person's head; children's are rounder and larger beside their shoulders."""
    size = person.traits.head * (0.97 if person.young else 1.0)
    round_face = 1.06 if person.young else 0.97 if person.female else 1.0
    return Skull(0.110 * size * person.traits.face_width * round_face, 0.143 * size * (0.95 if person.young else 1.0))


def _hair_hidden(person: Person) -> bool:
    return person.outfit.headwear in HIDES_HAIR


def draw_behind(pen: Pen, person: Person) -> None:
    """What of the head lies behind the shoulders: long hair, buns, tails, a cape."""
    head = skull(person)
    if "red cape" in person.outfit.extras:
        pen.polygon(
            [(-0.22, 0.56), (0.22, 0.56), (0.42, 1.05), (0.46, 1.75), (-0.46, 1.75), (-0.42, 1.05)], COLOURS["red"]
        )
    if _hair_hidden(person):
        return
    hair, line = person.hair_rgb, shade(person.hair_rgb, 0.6)
    a, top = head.across, head.top
    if person.hair_style == "long":
        points = [(-a * 0.9, top + 0.03), (a * 0.9, top + 0.03), (a * 1.32, 0.42), (a * 1.45, 0.70), (a * 0.5, 0.74)]
        pen.polygon([*points, (-a * 0.5, 0.74), (-a * 1.45, 0.70), (-a * 1.32, 0.42)], hair, line, 0.008)
    elif person.hair_style == "curly":
        for x, y in ((-1.1, 0.33), (-1.2, 0.42), (-0.95, 0.25), (1.1, 0.33), (1.2, 0.42), (0.95, 0.25)):
            pen.oval(a * x, y, 0.058, 0.058, hair, line, 0.008)
    elif person.hair_style == "bun":
        pen.oval(0.0, top - 0.035, 0.062, 0.055, hair, line, 0.009)
    elif person.hair_style == "ponytail":
        side = person.traits.side
        tail = [(side * a * 0.6, top + 0.02), (side * a * 1.55, top + 0.03), (side * a * 1.95, 0.42)]
        pen.polygon([*tail, (side * a * 1.6, 0.56), (side * a * 1.35, 0.38)], hair, line, 0.009)
    elif person.hair_style == "pigtails":
        for side in (-1, 1):
            pen.oval(side * a * 1.35, 0.44, 0.045, 0.10, hair, line, 0.009)
            pen.oval(side * a * 1.18, 0.345, 0.025, 0.02, COLOURS["red"])


def draw_head(pen: Pen, person: Person) -> None:
    """Face, hair over it, beard, glasses and hat, back to front."""
    head = skull(person)
    skin = person.skin_rgb
    for side in (-1, 1):
        pen.oval(side * head.across, CENTRE_Y + 0.015, 0.022, 0.033, shade(skin, 0.9), shade(skin, 0.55), 0.007)
    pen.oval(0.0, CENTRE_Y, head.across, head.up, skin, shade(skin, 0.5), 0.009)
    _draw_face(pen, person, head)
    if not _hair_hidden(person):
        _draw_hair(pen, person, head)
    for accessory in (*person.accessories, *person.outfit.extras):
        _draw_accessory(pen, person, head, accessory)
    if person.outfit.headwear:
        HEADWEAR[person.outfit.headwear](pen, COLOURS.get(person.outfit.headwear_colour, skin), head.across, head.top)
    for accessory in person.accessories:
        colour, _, name = accessory.partition(" ")
        if name in HEADWEAR and colour in COLOURS:
            HEADWEAR[name](pen, COLOURS[colour], head.across, head.top)


def _draw_face(pen: Pen, person: Person, head: Skull) -> None:
    skin, size = person.skin_rgb, person.traits.eyes * (1.2 if person.young else 1.0)
    eye_y, eye_x = CENTRE_Y - (-0.012 if person.young else 0.008), head.across * 0.44
    brow = person.hair_rgb if sum(person.hair_rgb) < sum(skin) else shade(skin, 0.6)
    for side in (-1, 1):
        pen.oval(side * eye_x, eye_y, 0.024 * size, 0.018 * size, _WHITE, shade(skin, 0.55), 0.004)
        pen.oval(side * eye_x, eye_y, 0.0125 * size, 0.0145 * size, _DARK)
        lift = 0.036 * size
        inner, outer = (side * eye_x * 0.55, eye_y - lift), (side * eye_x * 1.5, eye_y - lift + 0.004)
        pen.line([inner, (side * eye_x, eye_y - lift - 0.007), outer], brow, 0.009 if person.female else 0.015)
        if person.female:
            pen.line([(side * eye_x * 0.5, eye_y - 0.015), (side * eye_x * 1.6, eye_y - 0.017)], _DARK, 0.009)
        if person.old:
            pen.line(
                [(side * eye_x * 0.6, eye_y + 0.032), (side * eye_x * 1.4, eye_y + 0.030)], shade(skin, 0.74), 0.007
            )
            pen.line([(side * 0.036, 0.385), (side * 0.056, 0.425)], shade(skin, 0.7), 0.008)
        if person.young:
            pen.oval(side * head.across * 0.62, CENTRE_Y + 0.058, 0.024, 0.017, mix(skin, (240, 110, 110), 0.35))
    if person.old:
        for row in (0.0, 0.02):
            pen.line([(-0.04, head.top + 0.062 + row), (0.04, head.top + 0.062 + row)], shade(skin, 0.78), 0.006)
    pen.line(
        [(0.004, CENTRE_Y + 0.01), (0.013, CENTRE_Y + 0.042), (-0.006, CENTRE_Y + 0.045)], shade(skin, 0.66), 0.009
    )
    lips = mix(skin, (190, 40, 60), 0.75) if person.female else shade(mix(skin, (150, 50, 50), 0.5), 0.8)
    mouth_y, bend = CENTRE_Y + 0.083, 0.017 * person.traits.smile
    width = 0.038 if not person.young else 0.032
    points = [(-width, mouth_y - bend), (-width / 2, mouth_y + bend / 2), (0.0, mouth_y + bend)]
    pen.line(
        [*points, (width / 2, mouth_y + bend / 2), (width, mouth_y - bend)], lips, 0.015 if person.female else 0.011
    )


def _draw_hair(pen: Pen, person: Person, head: Skull) -> None:
    hair, line = person.hair_rgb, shade(person.hair_rgb, 0.6)
    a, up, top, style = head.across, head.up, head.top, person.hair_style
    if style == "bald":
        pen.cap(-a * 0.3, top + 0.05, 0.03, 0.016, 150, 330, shade(person.skin_rgb, 1.5))
        if person.old:
            for side in (-1, 1):
                pen.oval(side * a * 1.0, CENTRE_Y - 0.01, 0.02, 0.045, hair)
        return
    if style == "mohawk":
        spikes = [
            (-0.035, top + 0.05),
            (-0.045, top - 0.05),
            (0.0, top - 0.075),
            (0.045, top - 0.05),
            (0.035, top + 0.05),
        ]
        pen.polygon(spikes, hair, line, 0.009)
        return
    fringe = {
        "long": 0.34,
        "bun": 0.30,
        "ponytail": 0.30,
        "pigtails": 0.42,
        "short": 0.36,
        "curly": 0.38,
        "spiky": 0.30,
    }
    low = top + up * fringe[style] * 1.25
    outer = [(-a * 1.06, CENTRE_Y - 0.005), (-a * 1.05, CENTRE_Y - up * 0.55), (-a * 0.68, top - 0.005)]
    crown = [
        (0.0, top - 0.022),
        (a * 0.68, top - 0.005),
        (a * 1.05, CENTRE_Y - up * 0.55),
        (a * 1.06, CENTRE_Y - 0.005),
    ]
    part = person.traits.side * a * 0.3
    inner = [(a * 0.86, low + 0.025), (part, low - 0.02), (-a * 0.86, low + 0.025)]
    pen.polygon([*outer, *crown, *inner], hair, line, 0.008)
    if style == "spiky":
        for index in range(-2, 3):
            x = index * a * 0.42
            pen.polygon([(x - 0.03, top + 0.03), (x + index * 0.012, top - 0.065), (x + 0.03, top + 0.03)], hair)
    elif style == "curly":
        for index in range(-2, 3):
            pen.oval(index * a * 0.48, top + 0.012 * index * index, 0.045, 0.04, hair, line, 0.006)
    elif style == "long":
        for side in (-1, 1):
            edge = [(side * a * 0.9, low), (side * a * 1.12, CENTRE_Y - 0.02), (side * a * 1.25, 0.5)]
            pen.polygon([*edge, (side * a * 0.93, 0.46)], hair)


def _draw_accessory(pen: Pen, person: Person, head: Skull, accessory: str) -> None:
    hair, a = person.hair_rgb, head.across
    eye_x, eye_y = a * 0.44, CENTRE_Y - (-0.012 if person.young else 0.008)
    if accessory in ("beard", "white beard", "big beard"):
        colour = (240, 240, 238) if accessory == "white beard" else hair
        _beard(pen, colour, head, 0.17 if accessory != "beard" else 0.055)
    elif accessory == "moustache":
        for side in (-1, 1):
            pen.polygon([(0.0, 0.388), (side * 0.04, 0.392), (side * 0.075, 0.42), (side * 0.03, 0.413)], hair)
    elif accessory in ("glasses", "sunglasses"):
        dark = accessory == "sunglasses"
        for side in (-1, 1):
            fill = (26, 26, 34) if dark else None
            pen.oval(side * eye_x * 1.05, eye_y + 0.004, 0.040, 0.035, fill, _DARK, 0.011)
            pen.line([(side * (eye_x + 0.036), eye_y), (side * a, eye_y - 0.004)], _DARK, 0.010)
        pen.line([(-0.014, eye_y), (0.014, eye_y)], _DARK, 0.011)
    elif accessory == "headphones":
        pen.arc(0.0, CENTRE_Y - 0.01, a * 1.12, head.up * 1.1, 180, 360, (50, 52, 60), 0.026)
        for side in (-1, 1):
            pen.oval(side * a * 1.08, CENTRE_Y + 0.01, 0.036, 0.054, (226, 60, 60), (50, 52, 60), 0.012)
    elif accessory in ("face mask", "surgical mask"):
        pen.polygon(
            [(-a * 0.9, 0.365), (a * 0.9, 0.365), (a * 0.62, 0.462), (-a * 0.62, 0.462)],
            (206, 228, 240),
            (120, 150, 170),
            0.008,
        )
        pen.line([(-a * 0.8, 0.40), (a * 0.8, 0.40)], (150, 180, 200), 0.006)
    elif accessory == "eye patch":
        pen.line([(-a * 0.95, CENTRE_Y - 0.055), (a * 0.95, CENTRE_Y + 0.02)], _DARK, 0.011)
        pen.oval(-eye_x, eye_y, 0.036, 0.033, _DARK)
    elif accessory == "clown face":
        _clown_face(pen, head)
    elif accessory == "hero mask":
        pen.polygon(
            [(-a * 0.95, 0.30), (a * 0.95, 0.30), (a * 0.75, 0.355), (0.0, 0.342), (-a * 0.75, 0.355)], COLOURS["red"]
        )
        for side in (-1, 1):
            pen.oval(side * eye_x, eye_y, 0.021, 0.014, _WHITE)
    elif accessory == "diving mask":
        pen.box(-a * 0.85, 0.275, a * 0.85, 0.375, (240, 210, 50), 0.03)
        pen.box(-a * 0.7, 0.29, a * 0.7, 0.36, (150, 214, 240), 0.02)
        pen.line([(a * 0.9, 0.42), (a * 1.3, 0.36), (a * 1.3, 0.17)], (240, 120, 40), 0.026)
    elif accessory == "fangs":
        for side in (-1, 1):
            pen.polygon(
                [(side * 0.014, 0.415), (side * 0.030, 0.415), (side * 0.022, 0.445)], _WHITE, (150, 20, 30), 0.004
            )
    elif accessory == "scars":
        pen.line([(0.03, 0.26), (0.07, 0.31)], (70, 90, 60), 0.010)
        pen.line([(-0.07, 0.37), (-0.03, 0.40)], (150, 40, 40), 0.012)


def _beard(pen: Pen, colour: Rgb, head: Skull, length: float) -> None:
    a, chin = head.across, CENTRE_Y + head.up
    left = [(-a * 0.97, 0.355), (-a * 0.9, 0.43), (-a * 0.55, chin + length * 0.7), (0.0, chin + length)]
    right = [(-x, y) for x, y in reversed(left[:-1])]
    inner = [(a * 0.55, 0.392), (0.0, 0.388), (-a * 0.55, 0.392)]
    pen.polygon([*left, *right, *inner], colour, shade(colour, 0.6), 0.007)
    pen.oval(0.0, 0.422, 0.03, 0.011, (170, 70, 70))


def _clown_face(pen: Pen, head: Skull) -> None:
    red = (226, 30, 36)
    for side in (-1, 1):
        x = side * head.across * 0.44
        pen.polygon([(x, 0.25), (x + 0.02, 0.328), (x, 0.40), (x - 0.02, 0.328)], (70, 130, 230))
        pen.oval(x, 0.328, 0.015, 0.015, _DARK)
    pen.oval(0.0, 0.421, 0.065, 0.030, red)
    pen.line([(-0.04, 0.418), (0.0, 0.43), (0.04, 0.418)], _WHITE, 0.010)
    pen.oval(0.0, 0.368, 0.032, 0.032, red, shade(red, 0.6), 0.007)
