"""Headwear of costumes: crowns, wigs, hoods, helmets and other heads; arguments as in `vmc.mini.world.hats`."""

from vmc.mini.world.hats import LINE, brim, dome
from vmc.mini.world.pen import Pen, Rgb, shade
from vmc.mini.world.vocabulary import COLORS

_DARK: Rgb = (36, 36, 42)
_WHITE: Rgb = (244, 244, 240)
_GOLD: Rgb = (246, 208, 70)


def space_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A white ring round the whole head, clear inside."""
    pen.oval(0.0, top + 0.14, 0.195, 0.205, None, (222, 226, 232), 0.042)
    pen.oval(0.0, top + 0.14, 0.197, 0.207, None, (120, 126, 136), 0.009)
    pen.arc(0.0, top + 0.14, 0.135, 0.145, 200, 250, _WHITE, 0.014)
    for side in (-1, 1):
        pen.box(side * 0.19 - 0.02, top + 0.10, side * 0.19 + 0.02, top + 0.19, (200, 60, 50), 0.01)


def crown(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A golden crown with jewels."""
    teeth = [
        (-a * 0.9, top + 0.045),
        (-a * 1.05, top - 0.085),
        (-a * 0.48, top - 0.02),
        (0.0, top - 0.11),
        (a * 0.48, top - 0.02),
        (a * 1.05, top - 0.085),
        (a * 0.9, top + 0.045),
    ]
    pen.polygon(teeth, _GOLD, (170, 120, 20), LINE)
    for x, name in ((-0.055, "blue"), (0.0, "red"), (0.055, "green")):
        pen.oval(x, top + 0.012, 0.015, 0.015, COLORS[name])


def knight_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A steel helmet with a nose guard and a red plume."""
    steel = (176, 182, 192)
    dome(pen, steel, a * 1.05, top, rise=0.03, low=0.09)
    for side in (-1, 1):
        pen.polygon(
            [
                (side * a * 1.2, top + 0.085),
                (side * a * 0.72, top + 0.10),
                (side * a * 0.66, top + 0.24),
                (side * a * 0.95, top + 0.27),
            ],
            steel,
            shade(steel, 0.5),
            LINE,
        )
    pen.box(-0.014, top + 0.06, 0.014, top + 0.185, shade(steel, 0.85))
    pen.polygon([(-0.01, top - 0.03), (0.01, top - 0.03), (0.07, top - 0.13), (-0.05, top - 0.12)], COLORS["red"])


def clown_wig(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """Curls at the sides and a small blue cone."""
    for side in (-1, 1):
        for x, y, r in ((1.25, 0.13, 0.06), (1.35, 0.07, 0.065), (1.1, 0.02, 0.06)):
            pen.oval(side * a * x, top + y, r, r, color, shade(color, 0.6), 0.008)
    pen.polygon([(-0.055, top + 0.01), (0.0, top - 0.11), (0.055, top + 0.01)], COLORS["blue"], _DARK, 0.007)
    pen.oval(0.0, top - 0.11, 0.022, 0.022, _GOLD)


def wizard_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A pointed hat; a blue one has stars, another one a ribbon."""
    pen.polygon(
        [(-a * 0.95, top + 0.055), (0.02, top - 0.185), (a * 0.95, top + 0.055)], color, shade(color, 0.5), LINE
    )
    blue = color[2] > color[0] + 60
    if blue:
        for x, y in ((-0.03, 0.0), (0.035, 0.01), (0.01, -0.07)):
            pen.oval(x, top + y, 0.015, 0.015, _GOLD)
    else:
        pen.box(-a * 0.86, top + 0.015, a * 0.86, top + 0.045, COLORS["purple"])
    brim(pen, color, a * 1.75, top + 0.062, 0.024)


def santa_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A cap with white trimming and a bobble."""
    pen.polygon(
        [
            (-a * 0.98, top + 0.03),
            (-a * 0.3, top - 0.10),
            (a * 0.7, top - 0.10),
            (a * 1.55, top + 0.06),
            (a * 0.95, top + 0.03),
        ],
        color,
        shade(color, 0.55),
        LINE,
    )
    pen.box(-a * 1.15, top + 0.02, a * 1.15, top + 0.075, _WHITE, 0.025)
    pen.oval(a * 1.55, top + 0.075, 0.036, 0.036, _WHITE, (190, 190, 190), 0.007)


def pirate_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A black hat with a skull."""
    pen.polygon(
        [
            (-a * 1.6, top + 0.06),
            (-a * 1.2, top - 0.03),
            (0.0, top - 0.12),
            (a * 1.2, top - 0.03),
            (a * 1.6, top + 0.06),
            (0.0, top + 0.035),
        ],
        _DARK,
        (235, 220, 140),
        LINE,
    )
    pen.oval(0.0, top - 0.04, 0.03, 0.028, _WHITE)
    pen.box(-0.015, top - 0.025, 0.015, top + 0.0, _WHITE)


def ninja_hood(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A hood that leaves the eyes free."""
    pen.cap(0.0, top + 0.145, a * 1.18, 0.175, 190, 350, color)
    pen.cap(0.0, top + 0.14, a * 1.16, 0.19, 5, 175, color)
    for side in (-1, 1):
        pen.polygon(
            [
                (side * a * 0.86, top + 0.08),
                (side * a * 1.16, top + 0.10),
                (side * a * 1.16, top + 0.17),
                (side * a * 0.86, top + 0.17),
            ],
            color,
        )
    pen.box(-a * 1.1, top + 0.055, a * 1.1, top + 0.085, COLORS["red"])


def veil(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A black veil with a white edge."""
    for side in (-1, 1):
        pen.polygon(
            [
                (0.0, top - 0.035),
                (side * a * 1.2, top + 0.03),
                (side * a * 1.6, top + 0.42),
                (side * a * 0.95, top + 0.36),
                (side * a * 0.9, top + 0.07),
                (0.0, top + 0.05),
            ],
            color,
        )
        pen.line([(0.0, top + 0.052), (side * a * 0.85, top + 0.09), (side * a * 0.93, top + 0.25)], _WHITE, 0.03)


def judge_wig(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """White curls."""
    line = (150, 150, 150)
    for side in (-1, 1):
        for row in range(5):
            pen.oval(side * a * 1.16, top + 0.07 + 0.065 * row, 0.045, 0.042, _WHITE, line, 0.008)
    for index in range(-2, 3):
        pen.oval(index * a * 0.45, top + 0.012 + 0.01 * index * index, 0.046, 0.042, _WHITE, line, 0.008)


def robot_head(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A steel box with lit eyes and an aerial, in place of the face."""
    steel = (170, 178, 190)
    pen.line([(0.0, top), (0.0, top - 0.08)], shade(steel, 0.6), 0.014)
    pen.oval(0.0, top - 0.085, 0.024, 0.024, COLORS["red"])
    for side in (-1, 1):
        pen.box(side * 0.135 - 0.022, top + 0.09, side * 0.135 + 0.022, top + 0.17, shade(steel, 0.6))
    pen.box(-0.132, top - 0.008, 0.132, top + 0.288, shade(steel, 0.5), 0.03)
    pen.box(-0.123, top + 0.0, 0.123, top + 0.28, steel, 0.025)
    for side in (-1, 1):
        pen.oval(side * 0.055, top + 0.11, 0.036, 0.036, _DARK)
        pen.oval(side * 0.055, top + 0.11, 0.022, 0.022, (70, 240, 250))
    pen.box(-0.07, top + 0.195, 0.07, top + 0.24, _DARK)
    for x in (-0.04, 0.0, 0.04):
        pen.line([(x, top + 0.195), (x, top + 0.24)], steel, 0.009)


def alien_head(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A green head with large eyes and feelers, in place of the face."""
    green = (120, 214, 110)
    for side in (-1, 1):
        pen.line([(side * 0.05, top + 0.02), (side * 0.1, top - 0.09)], shade(green, 0.6), 0.014)
        pen.oval(side * 0.1, top - 0.09, 0.022, 0.022, green)
    pen.polygon(
        [
            (-0.15, top + 0.06),
            (-0.10, top - 0.01),
            (0.0, top - 0.03),
            (0.10, top - 0.01),
            (0.15, top + 0.06),
            (0.11, top + 0.18),
            (0.045, top + 0.285),
            (-0.045, top + 0.285),
            (-0.11, top + 0.18),
        ],
        green,
        shade(green, 0.5),
        LINE,
    )
    for side in (-1, 1):
        pen.polygon(
            [
                (side * 0.02, top + 0.15),
                (side * 0.05, top + 0.09),
                (side * 0.115, top + 0.07),
                (side * 0.09, top + 0.135),
            ],
            _DARK,
        )
    pen.line([(-0.025, top + 0.232), (0.025, top + 0.232)], shade(green, 0.5), 0.010)


def top_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A black top hat with a red ribbon."""
    pen.box(-a * 0.86, top - 0.16, a * 0.86, top + 0.05, (28, 28, 34), 0.012)
    pen.box(-a * 0.86, top + 0.0, a * 0.86, top + 0.035, COLORS["red"])
    brim(pen, (28, 28, 34), a * 1.45, top + 0.055, 0.017)


def bald_head(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A shaven head with two spots."""
    pen.cap(-a * 0.3, top + 0.05, 0.03, 0.016, 150, 330, shade(color, 1.5))
    for x in (-0.018, 0.018):
        pen.oval(x, top + 0.035, 0.007, 0.007, (120, 40, 30))
