"""Hair: what lies behind the shoulders, and what lies over the face."""

from vmc.mini.world.pen import Pen, Rgb, shade
from vmc.mini.world.people import Person
from vmc.mini.world.skull import CENTER_Y, Skull
from vmc.mini.world.vocabulary import COLORS

_FRINGE = {"long": 0.34, "bun": 0.30, "ponytail": 0.30, "pigtails": 0.42, "short": 0.36, "curly": 0.38, "spiky": 0.30}
"""How far hair covers the forehead, share of half the head's height."""


def draw_hair_behind(pen: Pen, person: Person, head: Skull) -> None:
    """Long hair, curls, buns and tails."""
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
            pen.oval(side * a * 1.18, 0.345, 0.025, 0.02, COLORS["red"])


def draw_hair(pen: Pen, person: Person, head: Skull) -> None:
    """Hair over the head."""
    hair, line = person.hair_rgb, shade(person.hair_rgb, 0.6)
    if person.hair_style == "bald":
        _bald(pen, person, head)
    elif person.hair_style == "mohawk":
        top = head.top
        comb = [(-0.035, top + 0.05), (-0.045, top - 0.05), (0.0, top - 0.075), (0.045, top - 0.05)]
        pen.polygon([*comb, (0.035, top + 0.05)], hair, line, 0.009)
    else:
        low = head.top + head.up * _FRINGE[person.hair_style] * 1.25
        _cover(pen, person, head, low)
        _ends(pen, person.hair_style, head, low, hair)


def _bald(pen: Pen, person: Person, head: Skull) -> None:
    pen.cap(-head.across * 0.3, head.top + 0.05, 0.03, 0.016, 150, 330, shade(person.skin_rgb, 1.5))
    if person.old:
        for side in (-1, 1):
            pen.oval(side * head.across, CENTER_Y - 0.01, 0.02, 0.045, person.hair_rgb)


def _cover(pen: Pen, person: Person, head: Skull, low: float) -> None:
    """Hair from ear to ear, its parting on the person's side."""
    a, up, top = head.across, head.up, head.top
    outer = [(-a * 1.06, CENTER_Y - 0.005), (-a * 1.05, CENTER_Y - up * 0.55), (-a * 0.68, top - 0.005)]
    inner = [(a * 0.86, low + 0.025), (person.traits.side * a * 0.3, low - 0.02), (-a * 0.86, low + 0.025)]
    crown = [(0.0, top - 0.022), *((-x, y) for x, y in reversed(outer))]
    pen.polygon([*outer, *crown, *inner], person.hair_rgb, shade(person.hair_rgb, 0.6), 0.008)


def _ends(pen: Pen, style: str, head: Skull, low: float, hair: Rgb) -> None:
    """Spikes, curls, or strands beside the face."""
    a, top, line = head.across, head.top, shade(hair, 0.6)
    if style == "spiky":
        for index in range(-2, 3):
            x = index * a * 0.42
            pen.polygon([(x - 0.03, top + 0.03), (x + index * 0.012, top - 0.065), (x + 0.03, top + 0.03)], hair)
    elif style == "curly":
        for index in range(-2, 3):
            pen.oval(index * a * 0.48, top + 0.012 * index * index, 0.045, 0.04, hair, line, 0.006)
    elif style == "long":
        for side in (-1, 1):
            edge = [(side * a * 0.9, low), (side * a * 1.12, CENTER_Y - 0.02), (side * a * 1.25, 0.5)]
            pen.polygon([*edge, (side * a * 0.93, 0.46)], hair)
