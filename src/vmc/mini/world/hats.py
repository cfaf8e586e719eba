"""Hats and helmets of every day and of work, and the two forms they are made of.

Each is drawn by pen and colour on a head `a` wide from its middle, whose crown is at `top`.
"""

from vmc.mini.world.pen import Pen, Rgb, shade
from vmc.mini.world.vocabulary import COLORS

_DARK: Rgb = (36, 36, 42)
_WHITE: Rgb = (244, 244, 240)
_GOLD: Rgb = (246, 208, 70)
LINE = 0.009


def dome(pen: Pen, color: Rgb, a: float, top: float, *, rise: float = 0.03, low: float = 0.075) -> None:
    """A shell over the upper head, down to `low` under the crown."""
    height = low + rise
    pen.cap(0.0, top + low, a * 1.14 + LINE, height + LINE, 180, 360, shade(color, 0.5))
    pen.cap(0.0, top + low, a * 1.14, height, 180, 360, color)
    pen.cap(-a * 0.4, top + low * 0.4, a * 0.28, height * 0.35, 150, 300, shade(color, 1.35))


def brim(pen: Pen, color: Rgb, width: float, y: float, thick: float = 0.022) -> None:
    """A brim seen a little from above."""
    pen.oval(0.0, y, width, thick, color, shade(color, 0.5), 0.008)


def hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A hat with a flat crown, a ribbon and a brim."""
    pen.polygon(
        [(-a * 0.82, top + 0.055), (-a * 0.72, top - 0.085), (a * 0.72, top - 0.085), (a * 0.82, top + 0.055)],
        color,
        shade(color, 0.5),
        LINE,
    )
    pen.box(-a * 0.81, top + 0.012, a * 0.81, top + 0.042, shade(color, 0.45) if sum(color) > 160 else (150, 40, 40))
    brim(pen, color, a * 1.65, top + 0.062)


def cap(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A cap with a peak to one side."""
    dome(pen, color, a, top, rise=0.028, low=0.06)
    pen.oval(a * 0.35, top + 0.068, a * 1.05, 0.024, shade(color, 0.8), shade(color, 0.45), 0.008)


def beanie(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A knitted cap with a bobble."""
    dome(pen, color, a, top, rise=0.045, low=0.06)
    pen.box(-a * 1.14, top + 0.035, a * 1.14, top + 0.085, shade(color, 0.75), 0.018)
    pen.oval(0.0, top - 0.055, 0.03, 0.03, _WHITE)


def headband(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A band over the forehead."""
    pen.box(-a * 1.02, top + 0.045, a * 1.02, top + 0.082, color, 0.01)


def fire_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A helmet with a broad brim and a golden shield."""
    dome(pen, color, a, top, rise=0.06, low=0.06)
    brim(pen, color, a * 1.55, top + 0.065, 0.026)
    pen.polygon(
        [(-0.03, top - 0.02), (0.03, top - 0.02), (0.026, top + 0.045), (0.0, top + 0.06), (-0.026, top + 0.045)], _GOLD
    )


def hard_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A builder's helmet."""
    dome(pen, color, a, top, rise=0.05, low=0.06)
    pen.box(-0.02, top - 0.052, 0.02, top + 0.05, shade(color, 0.86))
    brim(pen, color, a * 1.3, top + 0.064, 0.018)


def toque(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A cook's high hat."""
    line = (150, 150, 156)
    for x, y, r in ((-0.075, -0.085, 0.06), (0.075, -0.085, 0.06), (0.0, -0.11, 0.07)):
        pen.oval(x, top + y, r, r, color, line, 0.008)
    pen.box(-a * 0.86, top - 0.08, a * 0.86, top + 0.02, color)
    pen.box(-a * 0.92, top + 0.0, a * 0.92, top + 0.06, color, 0.008)
    pen.line([(-a * 0.92, top + 0.002), (a * 0.92, top + 0.002)], line, 0.008)
    pen.line([(-a * 0.92, top + 0.06), (a * 0.92, top + 0.06)], line, 0.008)


def peaked_cap(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A uniform's cap with a black peak and a golden badge."""
    pen.polygon(
        [
            (-a * 0.95, top + 0.05),
            (-a * 1.4, top - 0.035),
            (0.0, top - 0.075),
            (a * 1.4, top - 0.035),
            (a * 0.95, top + 0.05),
        ],
        color,
        shade(color, 0.5),
        LINE,
    )
    pen.box(-a * 0.97, top + 0.02, a * 0.97, top + 0.055, _DARK)
    pen.oval(0.0, top + 0.068, a * 0.9, 0.022, (20, 20, 24))
    pen.oval(0.0, top + 0.0, 0.026, 0.026, _GOLD)


def nurse_cap(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A white cap with a red cross."""
    pen.polygon(
        [(-a * 0.8, top + 0.035), (-a * 0.95, top - 0.05), (a * 0.95, top - 0.05), (a * 0.8, top + 0.035)],
        color,
        (150, 160, 170),
        LINE,
    )
    pen.box(-0.011, top - 0.04, 0.011, top + 0.025, COLORS["red"])
    pen.box(-0.033, top - 0.018, 0.033, top + 0.004, COLORS["red"])


def surgical_cap(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A cap over all the hair."""
    dome(pen, color, a, top, rise=0.03, low=0.085)


def army_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A camouflaged helmet."""
    olive = (86, 100, 58)
    dome(pen, olive, a * 1.08, top, rise=0.045, low=0.085)
    for x, y in ((-0.06, 0.0), (0.03, -0.02), (0.07, 0.04), (-0.02, 0.045)):
        pen.oval(x, top + y, 0.03, 0.02, (58, 72, 42))
    brim(pen, olive, a * 1.24, top + 0.086, 0.013)


def sailor_cap(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A round cap with a blue line."""
    dome(pen, color, a * 0.8, top - 0.02, rise=0.05, low=0.03)
    pen.box(-a * 0.98, top - 0.015, a * 0.98, top + 0.045, color, 0.02)
    pen.line([(-a * 0.9, top + 0.04), (a * 0.9, top + 0.04)], COLORS["blue"], 0.014)


def straw_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A straw hat with a red ribbon and a wide brim."""
    straw = (232, 200, 110)
    dome(pen, straw, a * 0.85, top, rise=0.06, low=0.05)
    pen.box(-a * 0.95, top + 0.012, a * 0.95, top + 0.042, COLORS["red"])
    brim(pen, straw, a * 1.95, top + 0.06, 0.03)


def cowboy_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A brown hat with a bent-up brim."""
    brown = (150, 98, 52)
    pen.polygon(
        [
            (-a * 0.85, top + 0.05),
            (-a * 0.7, top - 0.10),
            (-a * 0.2, top - 0.075),
            (a * 0.2, top - 0.075),
            (a * 0.7, top - 0.10),
            (a * 0.85, top + 0.05),
        ],
        brown,
        shade(brown, 0.5),
        LINE,
    )
    pen.polygon(
        [
            (-a * 2.0, top - 0.015),
            (-a * 1.3, top + 0.045),
            (a * 1.3, top + 0.045),
            (a * 2.0, top - 0.015),
            (a * 1.4, top + 0.085),
            (-a * 1.4, top + 0.085),
        ],
        brown,
        shade(brown, 0.5),
        0.008,
    )
    pen.box(-a * 0.83, top + 0.012, a * 0.83, top + 0.038, _DARK)


def beret(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A beret to one side."""
    pen.oval(-a * 0.22, top + 0.0, a * 1.28, 0.058, color, shade(color, 0.5), LINE)
    pen.line([(-a * 0.2, top - 0.05), (-a * 0.14, top - 0.085)], shade(color, 0.6), 0.014)


def mortarboard(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A square cap with a golden tassel."""
    dome(pen, _DARK, a * 0.9, top, rise=0.01, low=0.07)
    pen.polygon(
        [(-a * 1.7, top - 0.02), (0.0, top - 0.075), (a * 1.7, top - 0.02), (0.0, top + 0.035)],
        _DARK,
        (100, 100, 110),
        0.008,
    )
    pen.line([(0.0, top - 0.02), (a * 1.3, top + 0.0), (a * 1.3, top + 0.12)], _GOLD, 0.016)
    pen.box(a * 1.3 - 0.018, top + 0.11, a * 1.3 + 0.018, top + 0.165, _GOLD)


def boxing_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A padded helmet that covers the ears."""
    dome(pen, color, a * 1.06, top, rise=0.035, low=0.07)
    for side in (-1, 1):
        pen.box(side * a * 1.02 - 0.037, top + 0.06, side * a * 1.02 + 0.037, top + 0.225, color, 0.025)
    pen.box(-a * 0.6, top + 0.015, a * 0.6, top + 0.05, _WHITE, 0.01)


def football_helmet(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A helmet with a white stripe and a face guard."""
    dome(pen, color, a * 1.12, top, rise=0.045, low=0.10)
    pen.box(-0.018, top - 0.045, 0.018, top + 0.085, _WHITE)
    for side in (-1, 1):
        pen.box(side * a * 1.08 - 0.035, top + 0.09, side * a * 1.08 + 0.035, top + 0.21, color, 0.02)
    for y in (0.195, 0.24):
        pen.line([(-a * 1.05, top + y), (a * 1.05, top + y)], (190, 194, 200), 0.017)
    pen.line([(0.0, top + 0.195), (0.0, top + 0.25)], (190, 194, 200), 0.015)


def bee_hat(pen: Pen, color: Rgb, a: float, top: float) -> None:
    """A straw hat with a net."""
    gray = (92, 96, 104)
    for index in range(-3, 4):
        pen.line([(index * 0.052, top + 0.05), (index * 0.05, top + 0.36)], gray, 0.007)
    for row in range(6):
        pen.line([(-0.165, top + 0.08 + 0.05 * row), (0.165, top + 0.08 + 0.05 * row)], gray, 0.007)
    pen.line([(-0.17, top + 0.05), (-0.16, top + 0.36), (0.16, top + 0.36), (0.17, top + 0.05)], gray, 0.014)
    cream = (240, 226, 170)
    dome(pen, cream, a * 0.85, top, rise=0.05, low=0.04)
    brim(pen, cream, a * 1.95, top + 0.05, 0.028)
