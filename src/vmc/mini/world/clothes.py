"""Clothes of every day, drawn over a torso of one colour.

Each takes the pen, the main colour, half the distance between the shoulders' outsides, and the person.
"""

from collections.abc import Callable

from vmc.mini.world.pen import Pen, Point, Rgb, shade
from vmc.mini.world.people import Person
from vmc.mini.world.vocabulary import COLORS

LINE = 0.010
BOTTOM = 1.75
"""How far down torsos are drawn."""
WHITE: Rgb = (244, 244, 240)
DARK: Rgb = (36, 36, 42)
GOLD: Rgb = (246, 208, 70)


def torso_width(person: Person) -> float:
    """Half the distance between the shoulders' outsides."""
    return 0.262 * person.traits.shoulders * (0.86 if person.young else 1.0)


def outline(width: float) -> list[Point]:
    """The torso's outline, clockwise from its lower left."""
    neck = 0.075
    right = [(neck, 0.545), (width * 0.72, 0.572), (width, 0.655), (width * 0.97, 0.85), (width * 0.86, BOTTOM)]
    return [(-x, y) for x, y in reversed(right)] + right


def collar(pen: Pen, color: Rgb) -> None:
    """Two collar points."""
    for side in (-1, 1):
        points = [(side * 0.085, 0.535), (side * 0.015, 0.575), (side * 0.06, 0.625), (side * 0.105, 0.575)]
        pen.polygon(points, shade(color, 1.3), shade(color, 0.6), 0.007)


def neckline(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A round neckline."""
    pen.arc(0.0, 0.555, 0.085, 0.05, 10, 170, shade(color, 0.6), 0.014)


def shirt(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Collar and buttons."""
    collar(pen, color)
    pen.line([(0.0, 0.60), (0.0, BOTTOM)], shade(color, 0.65), 0.008)
    for row in range(7):
        pen.oval(0.018, 0.67 + 0.1 * row, 0.009, 0.009, shade(color, 0.5))


def v_neck(pen: Pen, color: Rgb, width: float, person: Person, inner: Rgb | None = None, depth: float = 0.72) -> None:
    """A V neckline down to `depth`, filled with `inner` or the skin."""
    fill = inner or shade(person.skin_rgb, 0.92)
    pen.polygon([(-0.085, 0.545), (0.085, 0.545), (0.0, depth)], fill, shade(color, 0.6), 0.009)


def hoodie(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A hood round the neck, strings and a pocket."""
    pen.arc(0.0, 0.555, 0.115, 0.062, -5, 185, shade(color, 0.7), 0.04)
    for side in (-1, 1):
        pen.line([(side * 0.04, 0.60), (side * 0.045, 0.73)], WHITE, 0.012)
    pen.polygon([(-0.12, 0.98), (0.12, 0.98), (0.16, 1.1), (-0.16, 1.1)], shade(color, 0.85))


def jacket(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """An open jacket over white."""
    pen.polygon([(-0.075, 0.55), (0.075, 0.55), (0.055, BOTTOM), (-0.055, BOTTOM)], WHITE, shade(color, 0.5), 0.01)
    collar(pen, color)


def suit(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Shirt, tie and lapels."""
    v_neck(pen, color, width, person, WHITE, 0.84)
    tie = COLORS["red"] if person.outfit.color != "red" else DARK
    pen.polygon([(-0.022, 0.575), (0.022, 0.575), (0.028, 0.77), (0.0, 0.81), (-0.028, 0.77)], tie)
    for side in (-1, 1):
        lapel = [(side * 0.085, 0.54), (side * 0.02, 0.82), (side * 0.125, 0.70), (side * 0.11, 0.58)]
        pen.polygon(lapel, shade(color, 1.14), shade(color, 0.55), 0.007)


def dress(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """A wide neckline, a waist and bare shoulders."""
    pen.polygon([(-0.15, 0.56), (0.15, 0.56), (0.12, 0.66), (0.0, 0.70), (-0.12, 0.66)], person.skin_rgb)
    pen.line([(-0.12, 0.66), (0.0, 0.70), (0.12, 0.66)], shade(color, 0.6), 0.01)
    pen.line([(-width * 0.9, 0.93), (width * 0.9, 0.93)], shade(color, 0.6), 0.03)


def tank_top(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Bare shoulders."""
    skin = person.skin_rgb
    for side in (-1, 1):
        pen.polygon([(side * 0.15, 0.565), (side * width, 0.65), (side * width, 0.82), (side * 0.17, 0.74)], skin)
        pen.line([(side * 0.15, 0.57), (side * 0.165, 0.74), (side * width, 0.82)], shade(color, 0.6), 0.009)
    pen.polygon([(-0.09, 0.55), (0.09, 0.55), (0.05, 0.65), (-0.05, 0.65)], skin)


def overalls(pen: Pen, color: Rgb, width: float, person: Person) -> None:
    """Bib and braces over a shirt."""
    shirt = COLORS["white"] if person.outfit.color == "red" else COLORS["red"]
    inner = [(x * 0.98, y) for x, y in outline(width)]
    pen.polygon([point for point in inner if point[1] < 0.9], shirt)
    neckline(pen, shirt, width, person)
    pen.box(-0.13, 0.72, 0.13, BOTTOM, color, 0.02)
    for side in (-1, 1):
        pen.line([(side * 0.105, 0.74), (side * 0.145, 0.56)], color, 0.05)
        pen.oval(side * 0.105, 0.75, 0.018, 0.018, GOLD)


def pattern(kind: str) -> Callable[[Pen, Rgb, float, Person], None]:
    """Stripes, dots or checks in white over the whole torso."""

    def draw(pen: Pen, color: Rgb, width: float, person: Person) -> None:
        light = shade(color, 1.78) if sum(color) < 600 else shade(color, 0.55)
        edge = width * 0.93
        if kind in ("stripes", "checks"):
            for row in range(9):
                pen.box(-edge, 0.655 + 0.1 * row, edge, 0.70 + 0.1 * row, light)
        if kind == "checks":
            for column in range(-2, 3):
                pen.box(column * 0.1 - 0.014, 0.60, column * 0.1 + 0.014, BOTTOM, shade(color, 0.55))
            collar(pen, color)
        if kind == "dots":
            for row in range(9):
                for column in range(-2, 3):
                    x = column * 0.1 + (0.05 if row % 2 else 0.0)
                    if abs(x) < edge:
                        pen.oval(x, 0.66 + 0.075 * row, 0.025, 0.025, light)
        neckline(pen, color, width, person)

    return draw


def bow(pen: Pen, color: Rgb) -> None:
    """A bow tie."""
    for side in (-1, 1):
        pen.polygon([(0.0, 0.595), (side * 0.085, 0.555), (side * 0.085, 0.64)], color, shade(color, 0.5), 0.008)
    pen.oval(0.0, 0.597, 0.02, 0.022, shade(color, 0.75))


def scarf(pen: Pen, color: Rgb) -> None:
    """A scarf with a hanging end."""
    pen.box(-0.115, 0.50, 0.115, 0.585, color, 0.035)
    pen.arc(0.0, 0.51, 0.12, 0.07, 15, 165, shade(color, 0.6), 0.009)
    pen.polygon([(0.02, 0.56), (0.10, 0.56), (0.12, 0.80), (0.04, 0.80)], color, shade(color, 0.6), 0.008)
    for x in (0.05, 0.08, 0.11):
        pen.line([(x, 0.80), (x, 0.825)], color, 0.012)
