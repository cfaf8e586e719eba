"""Torsos: everything from the neck down, but the arms."""

from collections.abc import Callable

from vmc.mini.pen import Pen, Point, Rgb, shade
from vmc.mini.people import Person
from vmc.mini.vocabulary import COLOURS

LINE = 0.010
BOTTOM = 1.75
_WHITE: Rgb = (244, 244, 240)
_DARK: Rgb = (36, 36, 42)
_GOLD: Rgb = (246, 208, 70)


def torso_width(person: Person) -> float:
    """Half the distance between the shoulders' outsides."""
    return 0.262 * person.traits.shoulders * (0.86 if person.young else 1.0)


def _outline(width: float) -> list[Point]:
    neck = 0.075
    right = [(neck, 0.545), (width * 0.72, 0.572), (width, 0.655), (width * 0.97, 0.85), (width * 0.86, BOTTOM)]
    return [(-x, y) for x, y in reversed(right)] + right


def draw_body(pen: Pen, person: Person) -> None:
    """Torso with its clothes, then the neck's front and what hangs round it."""
    outfit = person.outfit
    colour = person.clothes_rgb
    width = torso_width(person)
    pen.polygon(_outline(width), colour, shade(colour, 0.55), LINE)
    neck = shade(person.skin_rgb, 0.88)
    pen.box(-0.052, 0.42, 0.052, 0.575, neck, 0.02)
    pen.cap(0.0, 0.56, 0.078, 0.04, 0, 180, neck)
    drawing = _CLOTHES.get(outfit.clothes)
    if drawing is not None:
        drawing(pen, colour, width, person)
    for extra in outfit.extras:
        if extra in _EXTRAS:
            _EXTRAS[extra](pen, colour, width, person)
    for accessory in person.accessories:
        name = accessory.split(" ", 1)[-1]
        if name in _ROUND_NECK:
            _ROUND_NECK[name](pen, COLOURS[accessory.split(" ", 1)[0]])


def _collar(pen: Pen, colour: Rgb) -> None:
    for side in (-1, 1):
        points = [(side * 0.085, 0.535), (side * 0.015, 0.575), (side * 0.06, 0.625), (side * 0.105, 0.575)]
        pen.polygon(points, shade(colour, 1.3), shade(colour, 0.6), 0.007)


def _neckline(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.arc(0.0, 0.555, 0.085, 0.05, 10, 170, shade(colour, 0.6), 0.014)


def _shirt(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _collar(pen, colour)
    pen.line([(0.0, 0.60), (0.0, BOTTOM)], shade(colour, 0.65), 0.008)
    for row in range(7):
        pen.oval(0.018, 0.67 + 0.1 * row, 0.009, 0.009, shade(colour, 0.5))


def _v_neck(pen: Pen, colour: Rgb, width: float, person: Person, inner: Rgb | None = None, depth: float = 0.72) -> None:
    fill = inner or shade(person.skin_rgb, 0.92)
    pen.polygon([(-0.085, 0.545), (0.085, 0.545), (0.0, depth)], fill, shade(colour, 0.6), 0.009)


def _hoodie(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.arc(0.0, 0.555, 0.115, 0.062, -5, 185, shade(colour, 0.7), 0.04)
    for side in (-1, 1):
        pen.line([(side * 0.04, 0.60), (side * 0.045, 0.73)], _WHITE, 0.012)
    pen.polygon([(-0.12, 0.98), (0.12, 0.98), (0.16, 1.1), (-0.16, 1.1)], shade(colour, 0.85))


def _jacket(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.075, 0.55), (0.075, 0.55), (0.055, BOTTOM), (-0.055, BOTTOM)], _WHITE, shade(colour, 0.5), 0.01)
    _collar(pen, colour)


def _suit(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _v_neck(pen, colour, width, person, _WHITE, 0.84)
    tie = COLOURS["red"] if person.outfit.colour != "red" else _DARK
    pen.polygon([(-0.022, 0.575), (0.022, 0.575), (0.028, 0.77), (0.0, 0.81), (-0.028, 0.77)], tie)
    for side in (-1, 1):
        lapel = [(side * 0.085, 0.54), (side * 0.02, 0.82), (side * 0.125, 0.70), (side * 0.11, 0.58)]
        pen.polygon(lapel, shade(colour, 1.14), shade(colour, 0.55), 0.007)


def _dress(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.15, 0.56), (0.15, 0.56), (0.12, 0.66), (0.0, 0.70), (-0.12, 0.66)], person.skin_rgb)
    pen.line([(-0.12, 0.66), (0.0, 0.70), (0.12, 0.66)], shade(colour, 0.6), 0.01)
    pen.line([(-width * 0.9, 0.93), (width * 0.9, 0.93)], shade(colour, 0.6), 0.03)


def _tank_top(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    skin = person.skin_rgb
    for side in (-1, 1):
        pen.polygon([(side * 0.15, 0.565), (side * width, 0.65), (side * width, 0.82), (side * 0.17, 0.74)], skin)
        pen.line([(side * 0.15, 0.57), (side * 0.165, 0.74), (side * width, 0.82)], shade(colour, 0.6), 0.009)
    pen.polygon([(-0.09, 0.55), (0.09, 0.55), (0.05, 0.65), (-0.05, 0.65)], skin)


def _overalls(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    shirt = COLOURS["white"] if person.outfit.colour == "red" else COLOURS["red"]
    inner = [(x * 0.98, y) for x, y in _outline(width)]
    pen.polygon([point for point in inner if point[1] < 0.9], shirt)
    _neckline(pen, shirt, width, person)
    pen.box(-0.13, 0.72, 0.13, BOTTOM, colour, 0.02)
    for side in (-1, 1):
        pen.line([(side * 0.105, 0.74), (side * 0.145, 0.56)], colour, 0.05)
        pen.oval(side * 0.105, 0.75, 0.018, 0.018, _GOLD)


def _pattern(kind: str) -> Callable[[Pen, Rgb, float, Person], None]:
    """Stripes, dots or checks in white over the whole torso."""

    def draw(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
        light = shade(colour, 1.78) if sum(colour) < 600 else shade(colour, 0.55)
        edge = width * 0.93
        if kind in ("stripes", "checks"):
            for row in range(9):
                pen.box(-edge, 0.655 + 0.1 * row, edge, 0.70 + 0.1 * row, light)
        if kind == "checks":
            for column in range(-2, 3):
                pen.box(column * 0.1 - 0.014, 0.60, column * 0.1 + 0.014, BOTTOM, shade(colour, 0.55))
            _collar(pen, colour)
        if kind == "dots":
            for row in range(9):
                for column in range(-2, 3):
                    x = column * 0.1 + (0.05 if row % 2 else 0.0)
                    if abs(x) < edge:
                        pen.oval(x, 0.66 + 0.075 * row, 0.025, 0.025, light)
        _neckline(pen, colour, width, person)

    return draw


def _uniform(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _shirt(pen, colour, width, person)
    for side in (-1, 1):
        pen.box(side * 0.11 - 0.045, 0.72, side * 0.11 + 0.045, 0.79, shade(colour, 0.7))


def _chef(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.line([(-0.07, 0.58), (0.06, 0.66), (0.06, BOTTOM)], shade(colour, 0.65), 0.009)
    for row in range(6):
        for side in (-1, 1):
            pen.oval(side * 0.075, 0.68 + 0.1 * row, 0.013, 0.013, _DARK)


def _coat(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _v_neck(pen, colour, width, person, COLOURS["blue"], 0.92)
    for side in (-1, 1):
        lapel = [(side * 0.085, 0.54), (side * 0.012, 0.9), (side * 0.12, 0.72), (side * 0.11, 0.58)]
        pen.polygon(lapel, colour, shade(colour, 0.6), 0.008)


def _camouflage(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    spots = ((-0.15, 0.66), (0.05, 0.64), (0.16, 0.74), (-0.06, 0.76), (-0.17, 0.86), (0.1, 0.88), (-0.02, 0.97))
    for index, (x, y) in enumerate(spots):
        pen.oval(x, y, 0.05, 0.033, ((96, 78, 48), (40, 62, 38), (150, 150, 96))[index % 3])
    _collar(pen, colour)


def _sailor(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    blue = COLOURS["blue"]
    for side in (-1, 1):
        pen.polygon([(side * 0.08, 0.53), (side * 0.21, 0.585), (side * 0.16, 0.70), (0.0, 0.76)], blue)
        pen.line([(side * 0.19, 0.59), (side * 0.15, 0.68), (0.0, 0.735)], _WHITE, 0.009)
    _v_neck(pen, blue, width, person, None, 0.68)
    pen.polygon([(-0.05, 0.76), (0.05, 0.76), (0.0, 0.72)], COLOURS["red"])


def _space_suit(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.arc(0.0, 0.555, 0.14, 0.05, 0, 180, (150, 156, 164), 0.03)
    pen.box(-0.1, 0.74, 0.1, 0.90, (186, 190, 198), 0.02)
    for x, light in ((-0.06, "red"), (0.0, "green"), (0.06, "blue")):
        pen.oval(x, 0.79, 0.02, 0.02, COLOURS[light])
    pen.box(-0.07, 0.84, 0.07, 0.87, _DARK)


def _wetsuit(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.box(-0.05, 0.42, 0.05, 0.58, colour)
    for side in (-1, 1):
        pen.line([(side * 0.1, 0.58), (side * 0.16, 0.8), (side * 0.14, BOTTOM)], COLOURS["yellow"], 0.03)
    pen.line([(0.0, 0.56), (0.0, BOTTOM)], (120, 124, 130), 0.012)


def _ermine(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.09, 0.53), (0.09, 0.53), (width, 0.64), (0.15, 0.72), (-0.15, 0.72), (-width, 0.64)], _WHITE)
    for x, y in ((-0.15, 0.635), (-0.06, 0.66), (0.06, 0.66), (0.15, 0.635), (0.0, 0.61)):
        pen.oval(x, y, 0.012, 0.016, _DARK)
    pen.line([(0.0, 0.72), (0.0, BOTTOM)], _GOLD, 0.03)


def _armour(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for side in (-1, 1):
        pen.oval(side * width * 0.86, 0.64, 0.085, 0.075, shade(colour, 1.3), shade(colour, 0.5), 0.01)
        pen.arc(side * 0.09, 0.74, 0.1, 0.12, 20, 160, shade(colour, 0.55), 0.012)
    pen.line([(0.0, 0.6), (0.0, BOTTOM)], shade(colour, 1.6), 0.02)


def _clown(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for index, (x, y) in enumerate(((-0.14, 0.72), (0.14, 0.72), (-0.1, 0.95), (0.12, 0.95), (0.0, 0.84))):
        pen.oval(x, y, 0.042, 0.042, COLOURS[("red", "blue", "green", "purple", "red")[index]])
    for x in (-0.12, -0.06, 0.0, 0.06, 0.12):
        pen.oval(x, 0.565, 0.045, 0.033, _WHITE, COLOURS["red"], 0.009)


def _safety_vest(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _v_neck(pen, colour, width, person, COLOURS["blue"], 0.86)
    for side in (-1, 1):
        pen.line([(side * 0.155, 0.57), (side * 0.155, BOTTOM)], (250, 250, 120), 0.042)
    pen.box(-width * 0.9, 0.90, width * 0.9, 0.945, (250, 250, 120))


def _waistcoat(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.11, 0.55), (0.11, 0.55), (0.07, BOTTOM), (-0.07, BOTTOM)], _WHITE, shade(colour, 0.5), 0.01)
    pen.oval(0.15, 0.72, 0.026, 0.026, _GOLD)


def _robe(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    if person.occupation in ("monk", "ninja"):
        _v_neck(pen, colour, width, person, None, 0.70)
    if person.occupation == "monk":
        pen.line([(-0.17, 0.57), (0.16, 1.05)], shade(colour, 0.62), 0.05)
    if person.occupation == "wizard":
        for x, y in ((-0.15, 0.70), (0.12, 0.78), (-0.06, 0.95), (0.17, 0.95)):
            pen.oval(x, y, 0.022, 0.022, _GOLD)
    if person.occupation == "nun":
        pen.oval(0.0, 0.58, 0.13, 0.06, _WHITE)
    pen.line([(0.0, 0.72), (0.0, BOTTOM)], shade(colour, 0.6) if sum(colour) > 200 else (90, 90, 98), 0.01)


def _striped(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for row in range(6):
        pen.box(-width * 0.93, 0.66 + 0.13 * row, width * 0.93, 0.715 + 0.13 * row, COLOURS["blue"])
    for side in (-1, 1):
        pen.polygon([(side * 0.1, 0.55), (side * 0.2, 0.575), (side * 0.2, BOTTOM), (side * 0.15, BOTTOM)], _DARK)


def _hero(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    if person.occupation == "superhero":
        pen.polygon([(-0.1, 0.68), (0.1, 0.68), (0.13, 0.74), (0.0, 0.90), (-0.13, 0.74)], _GOLD, COLOURS["red"], 0.02)
    else:
        pen.oval(0.0, 0.76, 0.055, 0.055, (130, 250, 220), (60, 70, 80), 0.012)


def _santa(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.line([(0.0, 0.58), (0.0, BOTTOM)], _WHITE, 0.07)
    pen.line([(-width * 0.9, 1.0), (width * 0.9, 1.0)], _DARK, 0.06)
    pen.box(-0.05, 0.96, 0.05, 1.04, _GOLD)


def _torn(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for x, y in ((-0.12, 0.70), (0.1, 0.82), (-0.04, 0.95)):
        pen.polygon([(x - 0.04, y), (x, y - 0.03), (x + 0.05, y + 0.01), (x, y + 0.045)], person.skin_rgb)
    pen.oval(0.14, 0.68, 0.035, 0.05, (130, 30, 34))


def _robot(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.box(-0.13, 0.66, 0.13, 0.86, shade(colour, 0.7), 0.015)
    for x, light in ((-0.07, "red"), (0.0, "yellow"), (0.07, "green")):
        pen.oval(x, 0.72, 0.024, 0.024, COLOURS[light])
    pen.box(-0.09, 0.78, 0.09, 0.82, (60, 220, 230))
    pen.box(-0.04, 0.46, 0.04, 0.58, (96, 100, 108))


def _smock(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _neckline(pen, colour, width, person)
    spots = ((-0.14, 0.68, "red"), (0.06, 0.74, "blue"), (0.15, 0.66, "yellow"), (-0.07, 0.86, "green"),
             (0.12, 0.92, "red"), (-0.16, 0.98, "blue"))
    for x, y, name in spots:
        pen.oval(x, y, 0.03, 0.024, COLOURS[name])


def _jersey(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _v_neck(pen, colour, width, person, None, 0.64)
    pen.line([(-0.075, 0.70), (-0.02, 0.70), (-0.06, 0.88)], _WHITE, 0.03)
    pen.line([(0.07, 0.70), (0.02, 0.70), (0.02, 0.79), (0.075, 0.79), (0.075, 0.87), (0.015, 0.87)], _WHITE, 0.026)
    for side in (-1, 1):
        pen.line([(side * 0.18, 0.575), (side * 0.235, 0.70)], _WHITE, 0.03)


def _scrubs(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    _v_neck(pen, colour, width, person, None, 0.69)
    pen.box(0.05, 0.76, 0.15, 0.86, shade(colour, 0.8))


def _stethoscope(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    grey = (70, 74, 82)
    pen.line([(-0.085, 0.53), (-0.09, 0.68), (-0.03, 0.76), (0.02, 0.70), (0.085, 0.64), (0.085, 0.53)], grey, 0.02)
    pen.line([(-0.03, 0.76), (-0.03, 0.83)], grey, 0.02)
    pen.oval(-0.03, 0.86, 0.032, 0.032, (190, 196, 204), grey, 0.01)


def _stripes_yellow(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for y in (0.74, 0.92):
        pen.box(-width * 0.92, y, width * 0.92, y + 0.05, (238, 232, 70))


def _badge(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.oval(0.12, 0.70, 0.032, 0.036, _GOLD)


def _tie(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.02, 0.58), (0.02, 0.58), (0.03, 0.80), (0.0, 0.84), (-0.03, 0.80)], _DARK)


def _epaulettes(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.17, 0.585), (side * width * 0.97, 0.65)], _GOLD, 0.035)


def _neckerchief(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    pen.polygon([(-0.10, 0.54), (0.10, 0.54), (0.0, 0.655)], COLOURS["red"], shade(COLOURS["red"], 0.6), 0.008)


def _jabot(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for side in (-1, 1):
        pen.polygon([(side * 0.005, 0.56), (side * 0.05, 0.56), (side * 0.06, 0.74), (side * 0.015, 0.74)], _WHITE)


def _high_collar(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for side in (-1, 1):
        pen.polygon([(side * 0.06, 0.58), (side * 0.19, 0.44), (side * 0.23, 0.60)], COLOURS["red"], _DARK, 0.012)


def _bow(pen: Pen, colour: Rgb) -> None:
    for side in (-1, 1):
        pen.polygon([(0.0, 0.595), (side * 0.085, 0.555), (side * 0.085, 0.64)], colour, shade(colour, 0.5), 0.008)
    pen.oval(0.0, 0.597, 0.02, 0.022, shade(colour, 0.75))


def _scarf(pen: Pen, colour: Rgb) -> None:
    pen.box(-0.115, 0.50, 0.115, 0.585, colour, 0.035)
    pen.arc(0.0, 0.51, 0.12, 0.07, 15, 165, shade(colour, 0.6), 0.009)
    pen.polygon([(0.02, 0.56), (0.10, 0.56), (0.12, 0.80), (0.04, 0.80)], colour, shade(colour, 0.6), 0.008)
    for x in (0.05, 0.08, 0.11):
        pen.line([(x, 0.80), (x, 0.825)], colour, 0.012)


def _stole(pen: Pen, colour: Rgb, width: float, person: Person) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.085, 0.55), (side * 0.06, 0.68), (side * 0.06, BOTTOM)], _GOLD, 0.05)


_CLOTHES: dict[str, Callable[[Pen, Rgb, float, Person], None]] = {
    "t-shirt": _neckline, "sweater": _neckline, "shirt": _shirt, "hoodie": _hoodie, "jacket": _jacket, "suit": _suit,
    "dress": _dress, "tank top": _tank_top, "overalls": _overalls, "striped sweater": _pattern("stripes"),
    "polka dot shirt": _pattern("dots"), "checked shirt": _pattern("checks"), "uniform": _uniform,
    "chef jacket": _chef, "coat": _coat, "scrubs": _scrubs, "camouflage": _camouflage, "sailor suit": _sailor,
    "space suit": _space_suit, "wetsuit": _wetsuit, "ermine": _ermine, "armour": _armour, "clown suit": _clown,
    "safety vest": _safety_vest, "waistcoat": _waistcoat, "robe": _robe, "striped shirt": _striped,
    "hero suit": _hero, "santa coat": _santa, "torn shirt": _torn, "robot body": _robot, "smock": _smock,
    "jersey": _jersey,
}  # fmt: skip
_EXTRAS: dict[str, Callable[[Pen, Rgb, float, Person], None]] = {
    "stethoscope": _stethoscope, "yellow stripes": _stripes_yellow, "badge": _badge, "tie": _tie,
    "epaulettes": _epaulettes, "red neckerchief": _neckerchief, "jabot": _jabot, "vampire collar": _high_collar,
    "red bow": lambda pen, colour, width, person: _bow(pen, COLOURS["red"]), "yellow stole": _stole,
}  # fmt: skip
_ROUND_NECK: dict[str, Callable[[Pen, Rgb], None]] = {"scarf": _scarf, "bow tie": _bow}
