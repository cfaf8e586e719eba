"""Clothes of occupations and what is worn with them; arguments as in `vmc.mini.world.clothes`."""

from vmc.mini.world.clothes import BOTTOM, DARK, GOLD, WHITE, bow, collar, neckline, shirt, v_neck
from vmc.mini.world.pen import Pen, Rgb, shade
from vmc.mini.world.people import Person
from vmc.mini.world.vocabulary import COLORS


def uniform(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A buttoned shirt with two breast pockets."""
    shirt(pen, color, width, person)
    for side in (-1, 1):
        pen.box(side * 0.11 - 0.045, 0.72, side * 0.11 + 0.045, 0.79, shade(color, 0.7))


def chef(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A double-breasted jacket."""
    pen.line([(-0.07, 0.58), (0.06, 0.66), (0.06, BOTTOM)], shade(color, 0.65), 0.009)
    for row in range(6):
        for side in (-1, 1):
            pen.oval(side * 0.075, 0.68 + 0.1 * row, 0.013, 0.013, DARK)


def coat(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """An open white coat."""
    v_neck(pen, color, width, person, COLORS["blue"], 0.92)
    for side in (-1, 1):
        lapel = [(side * 0.085, 0.54), (side * 0.012, 0.9), (side * 0.12, 0.72), (side * 0.11, 0.58)]
        pen.polygon(lapel, color, shade(color, 0.6), 0.008)


def camouflage(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Spots of three greens and browns."""
    spots = ((-0.15, 0.66), (0.05, 0.64), (0.16, 0.74), (-0.06, 0.76), (-0.17, 0.86), (0.1, 0.88), (-0.02, 0.97))
    for index, (x, y) in enumerate(spots):
        pen.oval(x, y, 0.05, 0.033, ((96, 78, 48), (40, 62, 38), (150, 150, 96))[index % 3])
    collar(pen, color)


def sailor(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A broad collar with a white line and a knot."""
    blue = COLORS["blue"]
    for side in (-1, 1):
        pen.polygon([(side * 0.08, 0.53), (side * 0.21, 0.585), (side * 0.16, 0.70), (0.0, 0.76)], blue)
        pen.line([(side * 0.19, 0.59), (side * 0.15, 0.68), (0.0, 0.735)], WHITE, 0.009)
    v_neck(pen, blue, width, person, None, 0.68)
    pen.polygon([(-0.05, 0.76), (0.05, 0.76), (0.0, 0.72)], COLORS["red"])


def space_suit(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A neck ring and a control panel."""
    pen.arc(0.0, 0.555, 0.14, 0.05, 0, 180, (150, 156, 164), 0.03)
    pen.box(-0.1, 0.74, 0.1, 0.90, (186, 190, 198), 0.02)
    for x, light in ((-0.06, "red"), (0.0, "green"), (0.06, "blue")):
        pen.oval(x, 0.79, 0.02, 0.02, COLORS[light])
    pen.box(-0.07, 0.84, 0.07, 0.87, DARK)


def wetsuit(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A zip and yellow stripes."""
    pen.box(-0.05, 0.42, 0.05, 0.58, color)
    for side in (-1, 1):
        pen.line([(side * 0.1, 0.58), (side * 0.16, 0.8), (side * 0.14, BOTTOM)], COLORS["yellow"], 0.03)
    pen.line([(0.0, 0.56), (0.0, BOTTOM)], (120, 124, 130), 0.012)


def ermine(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A white fur cape with dark spots."""
    pen.polygon([(-0.09, 0.53), (0.09, 0.53), (width, 0.64), (0.15, 0.72), (-0.15, 0.72), (-width, 0.64)], WHITE)
    for x, y in ((-0.15, 0.635), (-0.06, 0.66), (0.06, 0.66), (0.15, 0.635), (0.0, 0.61)):
        pen.oval(x, y, 0.012, 0.016, DARK)
    pen.line([(0.0, 0.72), (0.0, BOTTOM)], GOLD, 0.03)


def armour(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Shoulder plates and a breastplate."""
    for side in (-1, 1):
        pen.oval(side * width * 0.86, 0.64, 0.085, 0.075, shade(color, 1.3), shade(color, 0.5), 0.01)
        pen.arc(side * 0.09, 0.74, 0.1, 0.12, 20, 160, shade(color, 0.55), 0.012)
    pen.line([(0.0, 0.6), (0.0, BOTTOM)], shade(color, 1.6), 0.02)


def clown(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Coloured dots and a ruff."""
    for index, (x, y) in enumerate(((-0.14, 0.72), (0.14, 0.72), (-0.1, 0.95), (0.12, 0.95), (0.0, 0.84))):
        pen.oval(x, y, 0.042, 0.042, COLORS[("red", "blue", "green", "purple", "red")[index]])
    for x in (-0.12, -0.06, 0.0, 0.06, 0.12):
        pen.oval(x, 0.565, 0.045, 0.033, WHITE, COLORS["red"], 0.009)


def safety_vest(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Reflecting stripes."""
    v_neck(pen, color, width, person, COLORS["blue"], 0.86)
    for side in (-1, 1):
        pen.line([(side * 0.155, 0.57), (side * 0.155, BOTTOM)], (250, 250, 120), 0.042)
    pen.box(-width * 0.9, 0.90, width * 0.9, 0.945, (250, 250, 120))


def waistcoat(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """An open waistcoat with a star."""
    pen.polygon([(-0.11, 0.55), (0.11, 0.55), (0.07, BOTTOM), (-0.07, BOTTOM)], WHITE, shade(color, 0.5), 0.01)
    pen.oval(0.15, 0.72, 0.026, 0.026, GOLD)


def robe(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A robe, with what monks, ninjas, wizards and nuns add to it."""
    if person.occupation in ("monk", "ninja"):
        v_neck(pen, color, width, person, None, 0.70)
    if person.occupation == "monk":
        pen.line([(-0.17, 0.57), (0.16, 1.05)], shade(color, 0.62), 0.05)
    if person.occupation == "wizard":
        for x, y in ((-0.15, 0.70), (0.12, 0.78), (-0.06, 0.95), (0.17, 0.95)):
            pen.oval(x, y, 0.022, 0.022, GOLD)
    if person.occupation == "nun":
        pen.oval(0.0, 0.58, 0.13, 0.06, WHITE)
    pen.line([(0.0, 0.72), (0.0, BOTTOM)], shade(color, 0.6) if sum(color) > 200 else (90, 90, 98), 0.01)


def striped(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A sailor's stripes under an open waistcoat."""
    for row in range(6):
        pen.box(-width * 0.93, 0.66 + 0.13 * row, width * 0.93, 0.715 + 0.13 * row, COLORS["blue"])
    for side in (-1, 1):
        pen.polygon([(side * 0.1, 0.55), (side * 0.2, 0.575), (side * 0.2, BOTTOM), (side * 0.15, BOTTOM)], DARK)


def hero(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """An emblem on the breast."""
    if person.occupation == "superhero":
        pen.polygon([(-0.1, 0.68), (0.1, 0.68), (0.13, 0.74), (0.0, 0.90), (-0.13, 0.74)], GOLD, COLORS["red"], 0.02)
    else:
        pen.oval(0.0, 0.76, 0.055, 0.055, (130, 250, 220), (60, 70, 80), 0.012)


def santa(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """White trimming and a belt."""
    pen.line([(0.0, 0.58), (0.0, BOTTOM)], WHITE, 0.07)
    pen.line([(-width * 0.9, 1.0), (width * 0.9, 1.0)], DARK, 0.06)
    pen.box(-0.05, 0.96, 0.05, 1.04, GOLD)


def torn(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Holes and a stain."""
    for x, y in ((-0.12, 0.70), (0.1, 0.82), (-0.04, 0.95)):
        pen.polygon([(x - 0.04, y), (x, y - 0.03), (x + 0.05, y + 0.01), (x, y + 0.045)], person.skin_rgb)
    pen.oval(0.14, 0.68, 0.035, 0.05, (130, 30, 34))


def robot(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A panel with lamps."""
    pen.box(-0.13, 0.66, 0.13, 0.86, shade(color, 0.7), 0.015)
    for x, light in ((-0.07, "red"), (0.0, "yellow"), (0.07, "green")):
        pen.oval(x, 0.72, 0.024, 0.024, COLORS[light])
    pen.box(-0.09, 0.78, 0.09, 0.82, (60, 220, 230))
    pen.box(-0.04, 0.46, 0.04, 0.58, (96, 100, 108))


def smock(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Spots of paint."""
    neckline(pen, color, width, person)
    spots = (
        (-0.14, 0.68, "red"),
        (0.06, 0.74, "blue"),
        (0.15, 0.66, "yellow"),
        (-0.07, 0.86, "green"),
        (0.12, 0.92, "red"),
        (-0.16, 0.98, "blue"),
    )
    for x, y, name in spots:
        pen.oval(x, y, 0.03, 0.024, COLORS[name])


def jersey(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A number on the breast and stripes on the shoulders."""
    v_neck(pen, color, width, person, None, 0.64)
    pen.line([(-0.075, 0.70), (-0.02, 0.70), (-0.06, 0.88)], WHITE, 0.03)
    pen.line([(0.07, 0.70), (0.02, 0.70), (0.02, 0.79), (0.075, 0.79), (0.075, 0.87), (0.015, 0.87)], WHITE, 0.026)
    for side in (-1, 1):
        pen.line([(side * 0.18, 0.575), (side * 0.235, 0.70)], WHITE, 0.03)


def scrubs(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A V neckline and a pocket."""
    v_neck(pen, color, width, person, None, 0.69)
    pen.box(0.05, 0.76, 0.15, 0.86, shade(color, 0.8))


def stethoscope(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A stethoscope round the neck."""
    gray = (70, 74, 82)
    pen.line([(-0.085, 0.53), (-0.09, 0.68), (-0.03, 0.76), (0.02, 0.70), (0.085, 0.64), (0.085, 0.53)], gray, 0.02)
    pen.line([(-0.03, 0.76), (-0.03, 0.83)], gray, 0.02)
    pen.oval(-0.03, 0.86, 0.032, 0.032, (190, 196, 204), gray, 0.01)


def stripes_yellow(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Two reflecting stripes."""
    for y in (0.74, 0.92):
        pen.box(-width * 0.92, y, width * 0.92, y + 0.05, (238, 232, 70))


def badge(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A golden badge."""
    pen.oval(0.12, 0.70, 0.032, 0.036, GOLD)


def tie(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A dark tie."""
    pen.polygon([(-0.02, 0.58), (0.02, 0.58), (0.03, 0.80), (0.0, 0.84), (-0.03, 0.80)], DARK)


def epaulettes(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Golden epaulettes."""
    for side in (-1, 1):
        pen.line([(side * 0.17, 0.585), (side * width * 0.97, 0.65)], GOLD, 0.035)


def neckerchief(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A red neckerchief."""
    pen.polygon([(-0.10, 0.54), (0.10, 0.54), (0.0, 0.655)], COLORS["red"], shade(COLORS["red"], 0.6), 0.008)


def jabot(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Two white bands at the neck."""
    for side in (-1, 1):
        pen.polygon([(side * 0.005, 0.56), (side * 0.05, 0.56), (side * 0.06, 0.74), (side * 0.015, 0.74)], WHITE)


def high_collar(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A stand-up collar, red inside."""
    for side in (-1, 1):
        pen.polygon([(side * 0.06, 0.58), (side * 0.19, 0.44), (side * 0.23, 0.60)], COLORS["red"], DARK, 0.012)


def stole(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A golden stole."""
    for side in (-1, 1):
        pen.line([(side * 0.085, 0.55), (side * 0.06, 0.68), (side * 0.06, BOTTOM)], GOLD, 0.05)


def red_bow(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A red bow tie."""
    bow(pen, COLORS["red"])
