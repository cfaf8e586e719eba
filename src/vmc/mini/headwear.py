"""Hats, helmets, wigs and hoods: each a function of pen, colour, half the head's width and the crown's height."""

from collections.abc import Callable

from vmc.mini.pen import Pen, Rgb, shade
from vmc.mini.vocabulary import COLOURS

_DARK: Rgb = (36, 36, 42)
_WHITE: Rgb = (244, 244, 240)
_GOLD: Rgb = (246, 208, 70)
_LINE = 0.009


def _dome(pen: Pen, colour: Rgb, a: float, top: float, *, rise: float = 0.03, low: float = 0.075) -> None:
    """A shell over the upper head, down to `low` under the crown."""
    height = low + rise
    pen.cap(0.0, top + low, a * 1.14 + _LINE, height + _LINE, 180, 360, shade(colour, 0.5))
    pen.cap(0.0, top + low, a * 1.14, height, 180, 360, colour)
    pen.cap(-a * 0.4, top + low * 0.4, a * 0.28, height * 0.35, 150, 300, shade(colour, 1.35))


def _brim(pen: Pen, colour: Rgb, width: float, y: float, thick: float = 0.022) -> None:
    pen.oval(0.0, y, width, thick, colour, shade(colour, 0.5), 0.008)


def _hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 0.82, top + 0.055), (-a * 0.72, top - 0.085), (a * 0.72, top - 0.085), (a * 0.82, top + 0.055)],
                colour, shade(colour, 0.5), _LINE)
    pen.box(-a * 0.81, top + 0.012, a * 0.81, top + 0.042, shade(colour, 0.45) if sum(colour) > 160 else (150, 40, 40))
    _brim(pen, colour, a * 1.65, top + 0.062)


def _cap(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a, top, rise=0.028, low=0.06)
    pen.oval(a * 0.35, top + 0.068, a * 1.05, 0.024, shade(colour, 0.8), shade(colour, 0.45), 0.008)


def _beanie(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a, top, rise=0.045, low=0.06)
    pen.box(-a * 1.14, top + 0.035, a * 1.14, top + 0.085, shade(colour, 0.75), 0.018)
    pen.oval(0.0, top - 0.055, 0.03, 0.03, _WHITE)


def _headband(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.box(-a * 1.02, top + 0.045, a * 1.02, top + 0.082, colour, 0.01)


def _fire_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a, top, rise=0.06, low=0.06)
    _brim(pen, colour, a * 1.55, top + 0.065, 0.026)
    pen.polygon([(-0.03, top - 0.02), (0.03, top - 0.02), (0.026, top + 0.045), (0.0, top + 0.06), (-0.026, top + 0.045)], _GOLD)


def _hard_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a, top, rise=0.05, low=0.06)
    pen.box(-0.02, top - 0.052, 0.02, top + 0.05, shade(colour, 0.86))
    _brim(pen, colour, a * 1.3, top + 0.064, 0.018)


def _toque(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    line = (150, 150, 156)
    for x, y, r in ((-0.075, -0.085, 0.06), (0.075, -0.085, 0.06), (0.0, -0.11, 0.07)):
        pen.oval(x, top + y, r, r, colour, line, 0.008)
    pen.box(-a * 0.86, top - 0.08, a * 0.86, top + 0.02, colour)
    pen.box(-a * 0.92, top + 0.0, a * 0.92, top + 0.06, colour, 0.008)
    pen.line([(-a * 0.92, top + 0.002), (a * 0.92, top + 0.002)], line, 0.008)
    pen.line([(-a * 0.92, top + 0.06), (a * 0.92, top + 0.06)], line, 0.008)


def _peaked_cap(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 0.95, top + 0.05), (-a * 1.4, top - 0.035), (0.0, top - 0.075), (a * 1.4, top - 0.035), (a * 0.95, top + 0.05)],
                colour, shade(colour, 0.5), _LINE)
    pen.box(-a * 0.97, top + 0.02, a * 0.97, top + 0.055, _DARK)
    pen.oval(0.0, top + 0.068, a * 0.9, 0.022, (20, 20, 24))
    pen.oval(0.0, top + 0.0, 0.026, 0.026, _GOLD)


def _nurse_cap(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 0.8, top + 0.035), (-a * 0.95, top - 0.05), (a * 0.95, top - 0.05), (a * 0.8, top + 0.035)],
                colour, (150, 160, 170), _LINE)
    pen.box(-0.011, top - 0.04, 0.011, top + 0.025, COLOURS["red"])
    pen.box(-0.033, top - 0.018, 0.033, top + 0.004, COLOURS["red"])


def _surgical_cap(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a, top, rise=0.03, low=0.085)


def _army_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    olive = (86, 100, 58)
    _dome(pen, olive, a * 1.08, top, rise=0.045, low=0.085)
    for x, y in ((-0.06, 0.0), (0.03, -0.02), (0.07, 0.04), (-0.02, 0.045)):
        pen.oval(x, top + y, 0.03, 0.02, (58, 72, 42))
    _brim(pen, olive, a * 1.24, top + 0.086, 0.013)


def _sailor_cap(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a * 0.8, top - 0.02, rise=0.05, low=0.03)
    pen.box(-a * 0.98, top - 0.015, a * 0.98, top + 0.045, colour, 0.02)
    pen.line([(-a * 0.9, top + 0.04), (a * 0.9, top + 0.04)], COLOURS["blue"], 0.014)


def _space_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.oval(0.0, top + 0.14, 0.195, 0.205, None, (222, 226, 232), 0.042)
    pen.oval(0.0, top + 0.14, 0.197, 0.207, None, (120, 126, 136), 0.009)
    pen.arc(0.0, top + 0.14, 0.135, 0.145, 200, 250, _WHITE, 0.014)
    for side in (-1, 1):
        pen.box(side * 0.19 - 0.02, top + 0.10, side * 0.19 + 0.02, top + 0.19, (200, 60, 50), 0.01)


def _crown(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    teeth = [(-a * 0.9, top + 0.045), (-a * 1.05, top - 0.085), (-a * 0.48, top - 0.02), (0.0, top - 0.11),
             (a * 0.48, top - 0.02), (a * 1.05, top - 0.085), (a * 0.9, top + 0.045)]
    pen.polygon(teeth, _GOLD, (170, 120, 20), _LINE)
    for x, name in ((-0.055, "blue"), (0.0, "red"), (0.055, "green")):
        pen.oval(x, top + 0.012, 0.015, 0.015, COLOURS[name])


def _knight_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    steel = (176, 182, 192)
    _dome(pen, steel, a * 1.05, top, rise=0.03, low=0.09)
    for side in (-1, 1):
        pen.polygon([(side * a * 1.2, top + 0.085), (side * a * 0.72, top + 0.10), (side * a * 0.66, top + 0.24),
                     (side * a * 0.95, top + 0.27)], steel, shade(steel, 0.5), _LINE)
    pen.box(-0.014, top + 0.06, 0.014, top + 0.185, shade(steel, 0.85))
    pen.polygon([(-0.01, top - 0.03), (0.01, top - 0.03), (0.07, top - 0.13), (-0.05, top - 0.12)], COLOURS["red"])


def _clown_wig(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    for side in (-1, 1):
        for x, y, r in ((1.25, 0.13, 0.06), (1.35, 0.07, 0.065), (1.1, 0.02, 0.06)):
            pen.oval(side * a * x, top + y, r, r, colour, shade(colour, 0.6), 0.008)
    pen.polygon([(-0.055, top + 0.01), (0.0, top - 0.11), (0.055, top + 0.01)], COLOURS["blue"], _DARK, 0.007)
    pen.oval(0.0, top - 0.11, 0.022, 0.022, _GOLD)


def _straw_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    straw = (232, 200, 110)
    _dome(pen, straw, a * 0.85, top, rise=0.06, low=0.05)
    pen.box(-a * 0.95, top + 0.012, a * 0.95, top + 0.042, COLOURS["red"])
    _brim(pen, straw, a * 1.95, top + 0.06, 0.03)


def _cowboy_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    brown = (150, 98, 52)
    pen.polygon([(-a * 0.85, top + 0.05), (-a * 0.7, top - 0.10), (-a * 0.2, top - 0.075), (a * 0.2, top - 0.075), (a * 0.7, top - 0.10), (a * 0.85, top + 0.05)],
                brown, shade(brown, 0.5), _LINE)
    pen.polygon([(-a * 2.0, top - 0.015), (-a * 1.3, top + 0.045), (a * 1.3, top + 0.045), (a * 2.0, top - 0.015),
                 (a * 1.4, top + 0.085), (-a * 1.4, top + 0.085)], brown, shade(brown, 0.5), 0.008)
    pen.box(-a * 0.83, top + 0.012, a * 0.83, top + 0.038, _DARK)


def _wizard_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 0.95, top + 0.055), (0.02, top - 0.185), (a * 0.95, top + 0.055)], colour, shade(colour, 0.5), _LINE)
    blue = colour[2] > colour[0] + 60
    if blue:
        for x, y in ((-0.03, 0.0), (0.035, 0.01), (0.01, -0.07)):
            pen.oval(x, top + y, 0.015, 0.015, _GOLD)
    else:
        pen.box(-a * 0.86, top + 0.015, a * 0.86, top + 0.045, COLOURS["purple"])
    _brim(pen, colour, a * 1.75, top + 0.062, 0.024)


def _santa_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 0.98, top + 0.03), (-a * 0.3, top - 0.10), (a * 0.7, top - 0.10), (a * 1.55, top + 0.06), (a * 0.95, top + 0.03)],
                colour, shade(colour, 0.55), _LINE)
    pen.box(-a * 1.15, top + 0.02, a * 1.15, top + 0.075, _WHITE, 0.025)
    pen.oval(a * 1.55, top + 0.075, 0.036, 0.036, _WHITE, (190, 190, 190), 0.007)


def _pirate_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.polygon([(-a * 1.6, top + 0.06), (-a * 1.2, top - 0.03), (0.0, top - 0.12), (a * 1.2, top - 0.03), (a * 1.6, top + 0.06), (0.0, top + 0.035)],
                _DARK, (235, 220, 140), _LINE)
    pen.oval(0.0, top - 0.04, 0.03, 0.028, _WHITE)
    pen.box(-0.015, top - 0.025, 0.015, top + 0.0, _WHITE)


def _ninja_hood(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.cap(0.0, top + 0.145, a * 1.18, 0.175, 190, 350, colour)
    pen.cap(0.0, top + 0.14, a * 1.16, 0.19, 5, 175, colour)
    for side in (-1, 1):
        pen.polygon([(side * a * 0.86, top + 0.08), (side * a * 1.16, top + 0.10), (side * a * 1.16, top + 0.17), (side * a * 0.86, top + 0.17)], colour)
    pen.box(-a * 1.1, top + 0.055, a * 1.1, top + 0.085, COLOURS["red"])


def _veil(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    for side in (-1, 1):
        pen.polygon([(0.0, top - 0.035), (side * a * 1.2, top + 0.03), (side * a * 1.6, top + 0.42), (side * a * 0.95, top + 0.36),
                     (side * a * 0.9, top + 0.07), (0.0, top + 0.05)], colour)
        pen.line([(0.0, top + 0.052), (side * a * 0.85, top + 0.09), (side * a * 0.93, top + 0.25)], _WHITE, 0.03)


def _judge_wig(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    line = (150, 150, 150)
    for side in (-1, 1):
        for row in range(5):
            pen.oval(side * a * 1.16, top + 0.07 + 0.065 * row, 0.045, 0.042, _WHITE, line, 0.008)
    for index in range(-2, 3):
        pen.oval(index * a * 0.45, top + 0.012 + 0.01 * index * index, 0.046, 0.042, _WHITE, line, 0.008)


def _robot_head(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    steel = (170, 178, 190)
    pen.line([(0.0, top), (0.0, top - 0.08)], shade(steel, 0.6), 0.014)
    pen.oval(0.0, top - 0.085, 0.024, 0.024, COLOURS["red"])
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


def _alien_head(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    green = (120, 214, 110)
    for side in (-1, 1):
        pen.line([(side * 0.05, top + 0.02), (side * 0.1, top - 0.09)], shade(green, 0.6), 0.014)
        pen.oval(side * 0.1, top - 0.09, 0.022, 0.022, green)
    pen.polygon([(-0.15, top + 0.06), (-0.10, top - 0.01), (0.0, top - 0.03), (0.10, top - 0.01), (0.15, top + 0.06), (0.11, top + 0.18),
                 (0.045, top + 0.285), (-0.045, top + 0.285), (-0.11, top + 0.18)], green, shade(green, 0.5), _LINE)
    for side in (-1, 1):
        pen.polygon([(side * 0.02, top + 0.15), (side * 0.05, top + 0.09), (side * 0.115, top + 0.07), (side * 0.09, top + 0.135)], _DARK)
    pen.line([(-0.025, top + 0.232), (0.025, top + 0.232)], shade(green, 0.5), 0.010)


def _top_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.box(-a * 0.86, top - 0.16, a * 0.86, top + 0.05, (28, 28, 34), 0.012)
    pen.box(-a * 0.86, top + 0.0, a * 0.86, top + 0.035, COLOURS["red"])
    _brim(pen, (28, 28, 34), a * 1.45, top + 0.055, 0.017)


def _beret(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.oval(-a * 0.22, top + 0.0, a * 1.28, 0.058, colour, shade(colour, 0.5), _LINE)
    pen.line([(-a * 0.2, top - 0.05), (-a * 0.14, top - 0.085)], shade(colour, 0.6), 0.014)


def _boxing_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a * 1.06, top, rise=0.035, low=0.07)
    for side in (-1, 1):
        pen.box(side * a * 1.02 - 0.037, top + 0.06, side * a * 1.02 + 0.037, top + 0.225, colour, 0.025)
    pen.box(-a * 0.6, top + 0.015, a * 0.6, top + 0.05, _WHITE, 0.01)


def _mortarboard(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, _DARK, a * 0.9, top, rise=0.01, low=0.07)
    pen.polygon([(-a * 1.7, top - 0.02), (0.0, top - 0.075), (a * 1.7, top - 0.02), (0.0, top + 0.035)], _DARK, (100, 100, 110), 0.008)
    pen.line([(0.0, top - 0.02), (a * 1.3, top + 0.0), (a * 1.3, top + 0.12)], _GOLD, 0.016)
    pen.box(a * 1.3 - 0.018, top + 0.11, a * 1.3 + 0.018, top + 0.165, _GOLD)


def _football_helmet(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    _dome(pen, colour, a * 1.12, top, rise=0.045, low=0.10)
    pen.box(-0.018, top - 0.045, 0.018, top + 0.085, _WHITE)
    for side in (-1, 1):
        pen.box(side * a * 1.08 - 0.035, top + 0.09, side * a * 1.08 + 0.035, top + 0.21, colour, 0.02)
    for y in (0.195, 0.24):
        pen.line([(-a * 1.05, top + y), (a * 1.05, top + y)], (190, 194, 200), 0.017)
    pen.line([(0.0, top + 0.195), (0.0, top + 0.25)], (190, 194, 200), 0.015)


def _bee_hat(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    grey = (92, 96, 104)
    for index in range(-3, 4):
        pen.line([(index * 0.052, top + 0.05), (index * 0.05, top + 0.36)], grey, 0.007)
    for row in range(6):
        pen.line([(-0.165, top + 0.08 + 0.05 * row), (0.165, top + 0.08 + 0.05 * row)], grey, 0.007)
    pen.line([(-0.17, top + 0.05), (-0.16, top + 0.36), (0.16, top + 0.36), (0.17, top + 0.05)], grey, 0.014)
    cream = (240, 226, 170)
    _dome(pen, cream, a * 0.85, top, rise=0.05, low=0.04)
    _brim(pen, cream, a * 1.95, top + 0.05, 0.028)


def _bald_head(pen: Pen, colour: Rgb, a: float, top: float) -> None:
    pen.cap(-a * 0.3, top + 0.05, 0.03, 0.016, 150, 330, shade(colour, 1.5))
    for x in (-0.018, 0.018):
        pen.oval(x, top + 0.035, 0.007, 0.007, (120, 40, 30))


HEADWEAR: dict[str, Callable[[Pen, Rgb, float, float], None]] = {
    "hat": _hat, "cap": _cap, "beanie": _beanie, "headband": _headband, "fire helmet": _fire_helmet,
    "hard hat": _hard_hat, "toque": _toque, "peaked cap": _peaked_cap, "nurse cap": _nurse_cap,
    "surgical cap": _surgical_cap, "army helmet": _army_helmet, "sailor cap": _sailor_cap,
    "space helmet": _space_helmet, "crown": _crown, "knight helmet": _knight_helmet, "clown wig": _clown_wig,
    "straw hat": _straw_hat, "cowboy hat": _cowboy_hat, "wizard hat": _wizard_hat, "santa hat": _santa_hat,
    "pirate hat": _pirate_hat, "ninja hood": _ninja_hood, "veil": _veil, "judge wig": _judge_wig,
    "robot head": _robot_head, "alien head": _alien_head, "top hat": _top_hat, "beret": _beret,
    "boxing helmet": _boxing_helmet, "mortarboard": _mortarboard, "football helmet": _football_helmet,
    "bee hat": _bee_hat, "bald head": _bald_head,
}  # fmt: skip

HIDES_HAIR = (
    "surgical cap", "space helmet", "knight helmet", "clown wig", "ninja hood", "veil", "judge wig", "robot head",
    "alien head", "bald head", "boxing helmet", "football helmet", "army helmet",
)  # fmt: skip
"""Headwear under which no hair shows."""
