"""Faces, and what is worn on them."""

from collections.abc import Callable

from vmc.mini.world.pen import Pen, Rgb, mix, shade
from vmc.mini.world.people import Person
from vmc.mini.world.skull import CENTER_Y, Skull, eyes
from vmc.mini.world.vocabulary import COLORS

_DARK: Rgb = (36, 34, 40)
_WHITE: Rgb = (250, 250, 248)


def draw_face(pen: Pen, person: Person, head: Skull) -> None:
    """Eyes, brows, nose and mouth, and the lines and cheeks of age."""
    skin, size = person.skin_rgb, person.traits.eyes * (1.2 if person.young else 1.0)
    eye_x, eye_y = eyes(person, head)
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
            pen.oval(side * head.across * 0.62, CENTER_Y + 0.058, 0.024, 0.017, mix(skin, (240, 110, 110), 0.35))
    if person.old:
        for row in (0.0, 0.02):
            pen.line([(-0.04, head.top + 0.062 + row), (0.04, head.top + 0.062 + row)], shade(skin, 0.78), 0.006)
    pen.line(
        [(0.004, CENTER_Y + 0.01), (0.013, CENTER_Y + 0.042), (-0.006, CENTER_Y + 0.045)], shade(skin, 0.66), 0.009
    )
    lips = mix(skin, (190, 40, 60), 0.75) if person.female else shade(mix(skin, (150, 50, 50), 0.5), 0.8)
    mouth_y, bend = CENTER_Y + 0.083, 0.017 * person.traits.smile
    width = 0.038 if not person.young else 0.032
    points = [(-width, mouth_y - bend), (-width / 2, mouth_y + bend / 2), (0.0, mouth_y + bend)]
    pen.line(
        [*points, (width / 2, mouth_y + bend / 2), (width, mouth_y - bend)], lips, 0.015 if person.female else 0.011
    )


def _beard(length: float, color: Rgb | None = None) -> Callable[[Pen, Person, Skull], None]:
    """A beard that ends `length` under the chin, of the hair's colour or of `color`."""

    def draw(pen: Pen, person: Person, head: Skull) -> None:
        a, chin, fill = head.across, CENTER_Y + head.up, color or person.hair_rgb
        left = [(-a * 0.97, 0.355), (-a * 0.9, 0.43), (-a * 0.55, chin + length * 0.7), (0.0, chin + length)]
        right = [(-x, y) for x, y in reversed(left[:-1])]
        inner = [(a * 0.55, 0.392), (0.0, 0.388), (-a * 0.55, 0.392)]
        pen.polygon([*left, *right, *inner], fill, shade(fill, 0.6), 0.007)
        pen.oval(0.0, 0.422, 0.03, 0.011, (170, 70, 70))

    return draw


def _moustache(pen: Pen, person: Person, head: Skull) -> None:
    for side in (-1, 1):
        half = [(0.0, 0.388), (side * 0.04, 0.392), (side * 0.075, 0.42), (side * 0.03, 0.413)]
        pen.polygon(half, person.hair_rgb)


def _glasses(fill: Rgb | None) -> Callable[[Pen, Person, Skull], None]:
    def draw(pen: Pen, person: Person, head: Skull) -> None:
        eye_x, eye_y = eyes(person, head)
        for side in (-1, 1):
            pen.oval(side * eye_x * 1.05, eye_y + 0.004, 0.040, 0.035, fill, _DARK, 0.011)
            pen.line([(side * (eye_x + 0.036), eye_y), (side * head.across, eye_y - 0.004)], _DARK, 0.010)
        pen.line([(-0.014, eye_y), (0.014, eye_y)], _DARK, 0.011)

    return draw


def _headphones(pen: Pen, person: Person, head: Skull) -> None:
    pen.arc(0.0, CENTER_Y - 0.01, head.across * 1.12, head.up * 1.1, 180, 360, (50, 52, 60), 0.026)
    for side in (-1, 1):
        pen.oval(side * head.across * 1.08, CENTER_Y + 0.01, 0.036, 0.054, (226, 60, 60), (50, 52, 60), 0.012)


def _face_mask(pen: Pen, person: Person, head: Skull) -> None:
    a = head.across
    cloth = [(-a * 0.9, 0.365), (a * 0.9, 0.365), (a * 0.62, 0.462), (-a * 0.62, 0.462)]
    pen.polygon(cloth, (206, 228, 240), (120, 150, 170), 0.008)
    pen.line([(-a * 0.8, 0.40), (a * 0.8, 0.40)], (150, 180, 200), 0.006)


def _eye_patch(pen: Pen, person: Person, head: Skull) -> None:
    eye_x, eye_y = eyes(person, head)
    pen.line([(-head.across * 0.95, CENTER_Y - 0.055), (head.across * 0.95, CENTER_Y + 0.02)], _DARK, 0.011)
    pen.oval(-eye_x, eye_y, 0.036, 0.033, _DARK)


def _hero_mask(pen: Pen, person: Person, head: Skull) -> None:
    a, (eye_x, eye_y) = head.across, eyes(person, head)
    cloth = [(-a * 0.95, 0.30), (a * 0.95, 0.30), (a * 0.75, 0.355), (0.0, 0.342), (-a * 0.75, 0.355)]
    pen.polygon(cloth, COLORS["red"])
    for side in (-1, 1):
        pen.oval(side * eye_x, eye_y, 0.021, 0.014, _WHITE)


def _diving_mask(pen: Pen, person: Person, head: Skull) -> None:
    a = head.across
    pen.box(-a * 0.85, 0.275, a * 0.85, 0.375, (240, 210, 50), 0.03)
    pen.box(-a * 0.7, 0.29, a * 0.7, 0.36, (150, 214, 240), 0.02)
    pen.line([(a * 0.9, 0.42), (a * 1.3, 0.36), (a * 1.3, 0.17)], (240, 120, 40), 0.026)


def _fangs(pen: Pen, person: Person, head: Skull) -> None:
    for side in (-1, 1):
        tooth = [(side * 0.014, 0.415), (side * 0.030, 0.415), (side * 0.022, 0.445)]
        pen.polygon(tooth, _WHITE, (150, 20, 30), 0.004)


def _scars(pen: Pen, person: Person, head: Skull) -> None:
    pen.line([(0.03, 0.26), (0.07, 0.31)], (70, 90, 60), 0.010)
    pen.line([(-0.07, 0.37), (-0.03, 0.40)], (150, 40, 40), 0.012)


def _clown_face(pen: Pen, person: Person, head: Skull) -> None:
    red = (226, 30, 36)
    for side in (-1, 1):
        x = side * head.across * 0.44
        pen.polygon([(x, 0.25), (x + 0.02, 0.328), (x, 0.40), (x - 0.02, 0.328)], (70, 130, 230))
        pen.oval(x, 0.328, 0.015, 0.015, _DARK)
    pen.oval(0.0, 0.421, 0.065, 0.030, red)
    pen.line([(-0.04, 0.418), (0.0, 0.43), (0.04, 0.418)], _WHITE, 0.010)
    pen.oval(0.0, 0.368, 0.032, 0.032, red, shade(red, 0.6), 0.007)


FACE_WEAR: dict[str, Callable[[Pen, Person, Skull], None]] = {
    "beard": _beard(0.055),
    "big beard": _beard(0.17),
    "white beard": _beard(0.17, (240, 240, 238)),
    "moustache": _moustache,
    "glasses": _glasses(None),
    "sunglasses": _glasses((26, 26, 34)),
    "headphones": _headphones,
    "face mask": _face_mask,
    "surgical mask": _face_mask,
    "eye patch": _eye_patch,
    "clown face": _clown_face,
    "hero mask": _hero_mask,
    "diving mask": _diving_mask,
    "fangs": _fangs,
    "scars": _scars,
}
"""Accessories and extras of outfits that sit on the face, by name."""
