"""Backgrounds: each a function of pen and generator, covering x from -1.4 to 1.4 and y from -0.4 to 1.6."""

from collections.abc import Callable

from numpy.random import Generator

from vmc.mini.world.pen import Pen, Rgb, mix, shade
from vmc.utils.errors import VmcError

LEFT, RIGHT, TOP, BOTTOM = -1.5, 1.5, -0.5, 1.8
_WALLS: dict[str, Rgb] = {
    "red": (186, 74, 70), "blue": (104, 144, 214), "green": (124, 182, 124), "yellow": (240, 216, 120),
    "white": (232, 232, 228), "grey": (150, 154, 160), "pink": (242, 176, 200), "turquoise": (110, 204, 200),
}  # fmt: skip


def _gradient(pen: Pen, above: Rgb, below: Rgb, y0: float = TOP, y1: float = BOTTOM, steps: int = 14) -> None:
    for step in range(steps):
        y = y0 + (y1 - y0) * step / steps
        pen.box(LEFT, y, RIGHT, y1, mix(above, below, step / (steps - 1)))


def _jitter(random: Generator, color: Rgb, size: int = 10) -> Rgb:
    red, green, blue = (min(max(value + int(random.integers(-size, size + 1)), 0), 255) for value in color)
    return red, green, blue


def _wall(name: str) -> Callable[[Pen, Generator], None]:
    def draw(pen: Pen, random: Generator) -> None:
        color = _jitter(random, _WALLS[name], 4 if name in ("white", "grey") else 9)
        _gradient(pen, shade(color, 1.12), shade(color, 0.92))

    return draw


def _kitchen(pen: Pen, random: Generator) -> None:
    _gradient(pen, (250, 240, 214), (238, 222, 190))
    shift = random.uniform(-0.12, 0.12)
    for column in range(-3, 4):
        x = column * 0.42 + shift
        pen.box(x + 0.015, TOP, x + 0.405, 0.20, (178, 120, 70))
        pen.box(x + 0.05, TOP, x + 0.37, 0.165, (204, 146, 92))
        pen.box(x + 0.32, 0.10, x + 0.35, 0.16, (80, 60, 40))
    pen.box(LEFT, 0.60, RIGHT, 0.67, (120, 124, 130))
    pen.box(LEFT, 0.67, RIGHT, BOTTOM, (196, 138, 84))
    pen.box(0.30 + shift, 0.42, 0.44 + shift, 0.60, (200, 60, 50), 0.02)
    pen.line(
        [(-0.42 + shift, 0.60), (-0.42 + shift, 0.42), (-0.33 + shift, 0.42), (-0.33 + shift, 0.47)],
        (150, 156, 164),
        0.028,
    )


def _living_room(pen: Pen, random: Generator) -> None:
    _gradient(pen, (232, 214, 196), (220, 198, 176))
    shift = random.uniform(-0.1, 0.1)
    pen.box(-0.47 + shift, 0.08, -0.20 + shift, 0.34, (96, 64, 40))
    pen.box(-0.445 + shift, 0.105, -0.225 + shift, 0.315, (130, 190, 220))
    pen.polygon([(-0.445 + shift, 0.315), (-0.35 + shift, 0.2), (-0.225 + shift, 0.315)], (80, 140, 90))
    pen.box(LEFT, 0.66, RIGHT, BOTTOM, (60, 110, 120), 0.04)
    pen.line([(0.40 + shift, 0.26), (0.40 + shift, 0.68)], (90, 70, 50), 0.02)
    pen.polygon(
        [(0.33 + shift, 0.28), (0.36 + shift, 0.12), (0.45 + shift, 0.12), (0.48 + shift, 0.28)], (250, 224, 130)
    )


def _classroom(pen: Pen, random: Generator) -> None:
    _gradient(pen, (228, 222, 204), (216, 208, 188))
    pen.box(-1.2, 0.02, 1.2, 0.72, (130, 90, 56))
    pen.box(-1.17, 0.05, 1.17, 0.68, (38, 84, 66))
    shift = random.uniform(-0.05, 0.05)
    for x, y in ((-0.44, 0.16), (-0.42, 0.30), (0.20, 0.14), (0.24, 0.28), (0.21, 0.42), (-0.45, 0.46)):
        pen.line([(x + shift, y), (x + 0.07 + shift, y - 0.02), (x + 0.22 + shift, y + 0.01)], (226, 232, 226), 0.014)


def _office(pen: Pen, random: Generator) -> None:
    _gradient(pen, (206, 214, 222), (190, 198, 208))
    shift = random.uniform(-0.1, 0.1)
    pen.box(-0.95 + shift, -0.1, 0.95 + shift, 0.52, (170, 210, 240))
    for x in (-0.95, -0.48, 0.0, 0.48, 0.95):
        pen.line([(x + shift, -0.1), (x + shift, 0.52)], (120, 126, 134), 0.02)
    for row in range(5):
        pen.line([(-0.95 + shift, 0.0 + 0.075 * row), (0.95 + shift, 0.0 + 0.075 * row)], (228, 232, 238), 0.018)
    pen.box(LEFT, 0.72, RIGHT, BOTTOM, (132, 138, 148))


def _beach(pen: Pen, random: Generator) -> None:
    _gradient(pen, (90, 170, 236), (190, 226, 246), TOP, 0.45)
    pen.oval(random.uniform(0.28, 0.42), 0.12, 0.075, 0.075, (255, 240, 140))
    pen.box(LEFT, 0.44, RIGHT, 0.66, (38, 128, 190))
    pen.line([(LEFT, 0.655), (RIGHT, 0.655)], (240, 250, 250), 0.02)
    pen.box(LEFT, 0.66, RIGHT, BOTTOM, (238, 214, 150))


def _forest(pen: Pen, random: Generator) -> None:
    _gradient(pen, (146, 196, 140), (64, 118, 62))
    for column in range(-4, 5):
        x = column * 0.3 + random.uniform(-0.06, 0.06)
        pen.box(x - 0.035, TOP, x + 0.035, BOTTOM, (92, 66, 42))
    for column in range(-5, 6):
        for row in (0, 1):
            pen.oval(
                column * 0.28 + random.uniform(-0.08, 0.08), -0.05 + row * 0.14, 0.17, 0.11, (38 + 14 * row, 104, 48)
            )
    pen.box(LEFT, 0.80, RIGHT, BOTTOM, (58, 98, 44))


def _desert(pen: Pen, random: Generator) -> None:
    _gradient(pen, (250, 196, 120), (254, 232, 190), TOP, 0.6)
    shift = random.uniform(-0.1, 0.1)
    pen.oval(-0.5 + shift, 0.95, 0.9, 0.42, (222, 158, 84))
    pen.oval(0.65 + shift, 1.0, 0.95, 0.42, (206, 140, 70))
    pen.box(LEFT, 0.86, RIGHT, BOTTOM, (214, 150, 78))
    green = (72, 128, 66)
    pen.line([(0.40 + shift, 0.28), (0.40 + shift, 0.75)], green, 0.05)
    pen.line([(0.40 + shift, 0.52), (0.49 + shift, 0.50), (0.49 + shift, 0.38)], green, 0.036)
    pen.line([(0.40 + shift, 0.58), (0.31 + shift, 0.56), (0.31 + shift, 0.45)], green, 0.036)


def _snow(pen: Pen, random: Generator) -> None:
    _gradient(pen, (158, 184, 214), (214, 226, 238), TOP, 0.7)
    for column in range(-4, 5):
        x, y = column * 0.34 + random.uniform(-0.08, 0.08), 0.70
        for step in range(3):
            pen.polygon(
                [
                    (x - 0.12 + 0.03 * step, y - 0.12 * step),
                    (x + 0.12 - 0.03 * step, y - 0.12 * step),
                    (x, y - 0.18 - 0.12 * step),
                ],
                (70, 112, 96),
            )
    pen.box(LEFT, 0.68, RIGHT, BOTTOM, (246, 248, 252))
    for _ in range(60):
        x, y = random.uniform(-1.0, 1.0), random.uniform(-0.2, 0.7)
        pen.oval(x, y, 0.012, 0.012, (255, 255, 255))


def _mountains(pen: Pen, random: Generator) -> None:
    _gradient(pen, (110, 176, 238), (214, 234, 248), TOP, 0.7)
    for x, peak, width in ((-0.75, 0.10, 0.5), (-0.28, 0.16, 0.42), (0.36, 0.05, 0.52), (0.95, 0.18, 0.45)):
        x += random.uniform(-0.06, 0.06)
        pen.polygon([(x - width, 0.78), (x, peak), (x + width, 0.78)], (116, 120, 144))
        pen.polygon(
            [(x - width * 0.22, peak + 0.15), (x, peak), (x + width * 0.22, peak + 0.15), (x, peak + 0.11)],
            (250, 250, 252),
        )
    pen.box(LEFT, 0.74, RIGHT, BOTTOM, (106, 168, 90))


def _park(pen: Pen, random: Generator) -> None:
    _gradient(pen, (134, 200, 246), (210, 236, 250), TOP, 0.55)
    pen.box(LEFT, 0.55, RIGHT, BOTTOM, (112, 190, 84))
    for x in (-0.85, -0.40, 0.42, 0.9):
        x += random.uniform(-0.05, 0.05)
        pen.box(x - 0.025, 0.36, x + 0.025, 0.66, (120, 82, 48))
        pen.oval(x, 0.24, 0.13, 0.15, (62, 150, 62))
    for _ in range(16):
        pen.oval(random.uniform(-0.9, 0.9), random.uniform(0.68, 1.1), 0.016, 0.016, (250, 230, 90))


def _towers(pen: Pen, random: Generator, wall: tuple[Rgb, ...], window: Rgb, lit: float) -> None:
    for column in range(-6, 7):
        x, top = column * 0.23 + random.uniform(-0.02, 0.02), random.uniform(0.05, 0.36)
        pen.box(x - 0.105, top, x + 0.105, BOTTOM, wall[column % len(wall)])
        for row in range(8):
            for place in (-0.06, 0.0, 0.06):
                if random.random() < lit:
                    y = top + 0.04 + 0.085 * row
                    pen.box(x + place - 0.017, y, x + place + 0.017, y + 0.042, window)


def _city(pen: Pen, random: Generator) -> None:
    _gradient(pen, (150, 200, 240), (226, 236, 244), TOP, 0.7)
    _towers(pen, random, ((176, 170, 166), (150, 156, 168), (196, 178, 156)), (104, 132, 160), 0.9)


def _night_city(pen: Pen, random: Generator) -> None:
    _gradient(pen, (16, 18, 50), (52, 44, 92), TOP, 0.8)
    pen.oval(random.uniform(-0.42, -0.28), 0.06, 0.05, 0.05, (240, 240, 214))
    _towers(pen, random, ((28, 30, 52), (36, 38, 64), (22, 24, 44)), (252, 216, 110), 0.5)


def _space(pen: Pen, random: Generator) -> None:
    _gradient(pen, (8, 8, 26), (26, 16, 54))
    for _ in range(70):
        x, y, r = random.uniform(-1.0, 1.0), random.uniform(-0.3, 1.3), random.uniform(0.004, 0.011)
        pen.oval(x, y, r, r, (250, 250, 236))
    x = random.uniform(0.30, 0.42)
    pen.oval(x, 0.20, 0.10, 0.10, (222, 150, 90))
    pen.line([(x - 0.17, 0.24), (x, 0.21), (x + 0.17, 0.16)], (240, 214, 160), 0.018)


def _stage(pen: Pen, random: Generator) -> None:
    pen.box(LEFT, TOP, RIGHT, BOTTOM, (120, 18, 34))
    shift = random.uniform(-0.05, 0.05)
    for column in range(-9, 10):
        x = column * 0.16 + shift
        pen.box(x - 0.03, TOP, x + 0.02, BOTTOM, (158, 28, 46))
        pen.box(x + 0.05, TOP, x + 0.07, BOTTOM, (86, 10, 24))
    for column in range(-4, 5):
        pen.oval(column * 0.32 + shift, 0.0, 0.17, 0.09, (176, 34, 50), (236, 196, 80), 0.014)


def _brick(pen: Pen, random: Generator) -> None:
    pen.box(LEFT, TOP, RIGHT, BOTTOM, (206, 196, 186))
    shift = random.uniform(-0.1, 0.1)
    for row in range(-5, 19):
        for column in range(-7, 8):
            x, y = column * 0.22 + (0.11 if row % 2 else 0.0) + shift, row * 0.095
            pen.box(x, y, x + 0.2, y + 0.078, _jitter(random, (172, 86, 66), 12))


def _bookshelf(pen: Pen, random: Generator) -> None:
    pen.box(LEFT, TOP, RIGHT, BOTTOM, (84, 54, 32))
    colors = ((150, 48, 44), (52, 82, 130), (196, 164, 96), (64, 106, 78), (110, 70, 110), (206, 196, 176))
    for row in range(-1, 5):
        x, floor = LEFT, 0.27 + row * 0.30
        while x < RIGHT:
            width, height = random.uniform(0.035, 0.065), random.uniform(0.18, 0.25)
            pen.box(x, floor - height, x + width - 0.006, floor, colors[int(random.integers(len(colors)))])
            x += width
        pen.box(LEFT, floor, RIGHT, floor + 0.03, (128, 86, 52))


def _wallpaper(pen: Pen, random: Generator) -> None:
    pen.box(LEFT, TOP, RIGHT, BOTTOM, (236, 228, 206))
    shift = random.uniform(-0.08, 0.08)
    for column in range(-9, 10):
        pen.box(column * 0.17 + shift, TOP, column * 0.17 + 0.085 + shift, BOTTOM, (168, 146, 186))


def _wood(pen: Pen, random: Generator) -> None:
    shift = random.uniform(-0.05, 0.05)
    for row in range(-4, 12):
        color = _jitter(random, (176, 128, 80), 12)
        pen.box(LEFT, row * 0.16 + shift, RIGHT, row * 0.16 + 0.16 + shift, color)
        pen.box(LEFT, row * 0.16 + 0.148 + shift, RIGHT, row * 0.16 + 0.16 + shift, shade(color, 0.6))


def _tiles(pen: Pen, random: Generator) -> None:
    shift = random.uniform(-0.06, 0.06)
    pen.box(LEFT, TOP, RIGHT, BOTTOM, (238, 240, 240))
    for row in range(-4, 13):
        for column in range(-11, 12):
            x, y = column * 0.14 + shift, row * 0.14 + shift
            tone = (96, 150, 168) if (row + column) % 2 else (204, 222, 226)
            pen.box(x, y, x + 0.128, y + 0.128, tone)


PLACES: dict[str, Callable[[Pen, Generator], None]] = {
    **{f"in front of a {name} wall": _wall(name) for name in _WALLS},
    "in a kitchen": _kitchen, "in a living room": _living_room, "in a classroom": _classroom,
    "in an office": _office, "on a beach": _beach, "in a forest": _forest, "in the desert": _desert,
    "in the snow": _snow, "in the mountains": _mountains, "in a park": _park, "in a city at night": _night_city,
    "in a city": _city, "in outer space": _space, "on a stage": _stage, "in front of a brick wall": _brick,
    "in front of a bookshelf": _bookshelf, "in front of striped wallpaper": _wallpaper,
    "in front of a wooden wall": _wood, "in front of a tiled wall": _tiles,
}  # fmt: skip


def draw_place(pen: Pen, place: str, random: Generator) -> None:
    """Paints a background over the whole picture.

    Raises:
        VmcError: no such place is drawn.
    """
    if place not in PLACES:
        raise VmcError(f"there is no place {place!r}; choose one of {', '.join(sorted(PLACES))}")
    PLACES[place](pen, random)
