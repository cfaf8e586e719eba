"""Arms with hands: polygons for all frames at once, painted frame by frame.

Axes: F frames. Units are the person's own (see `vmc.mini.world.poses`) until a view turns them into pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from vmc.mini.world.hand_paint import OUTLINE, Flatten, Polygon, order_hand, outline_hand
from vmc.mini.world.hands import HAND_LENGTH, form_hand, hulls
from vmc.mini.world.pen import Rgb, shade
from vmc.mini.world.people import Person
from vmc.mini.world.poses import SCALE, Floats
from vmc.mini.world.vocabulary import COLORS, SHORT_SLEEVED

SHOULDER_Y = 0.64
_UPPER = 0.30
"""Length of the upper arm."""
_UNDER_CLOTHES = {"overalls": "red", "waistcoat": "white", "safety vest": "blue"}
"""What is worn below clothes without sleeves."""


@dataclass(frozen=True)
class PaintedArm:
    """Polygons of one arm per frame, in drawing order; of two arms the one with larger `near_F` goes on top."""

    polygons: list[list[Polygon]]
    near_F: Floats


def paint_arm(
    poses_FC: Floats, *, person: Person, side: int, swapped_F: NDArray[np.bool_], view: tuple[float, float, float]
) -> PaintedArm:
    """All polygons of one arm in all frames.

    Args:
        poses_FC: the hand's poses.
        person: whose arm; gives skin, sleeve and sizes.
        side: 1 = on the picture's right, -1 = left.
        swapped_F: where the thumb is on the hand's other side.
        view: pixels per unit, and the pixel place (x, y) of the person's origin.
    """
    pixels, left, top = view
    origin_2 = np.array([left + 0.5, top + 0.5], dtype=np.float32)

    def flatten(points_ND2: Floats) -> list[list[float]]:
        flat: list[list[float]] = (points_ND2 * np.float32(pixels) + origin_2).reshape(len(points_ND2), -1).tolist()
        return flat

    unit = HAND_LENGTH * person.traits.hand * (0.92 if person.young else 1.0)
    form = form_hand(poses_FC, thumb_right_F=swapped_F != (side < 0))
    place_F2 = poses_FC[:, :2]
    wrist_F2 = place_F2 + unit * form.wrist_F2
    limbs = _paint_limbs(person, side, wrist_F2, poses_FC[:, SCALE], flatten)
    hand = outline_hand(form, place_F2, unit, flatten)
    polygons = [
        [(points[frame], color) for points, color in limbs] + order_hand(form, hand, frame, person)
        for frame in range(len(poses_FC))
    ]
    return PaintedArm(polygons, poses_FC[:, SCALE])


def draw_arm(draw: ImageDraw.ImageDraw, arm: PaintedArm, frame: int) -> None:
    """Paints one frame's polygons."""
    for points, color in arm.polygons[frame]:
        draw.polygon(points, fill=color)


def _elbows(shoulder_2: Floats, wrist_F2: Floats, side: int) -> Floats:
    """elbow_F2: hanging down and a little outwards, drawn along by the hand; it moves smoothly with the hand."""
    wish_F2 = np.array([0.30 * side, 1.0], dtype=np.float32) + 2.1 * (wrist_F2 - shoulder_2)
    length_F = np.maximum(np.hypot(wish_F2[:, 0], wish_F2[:, 1]), 0.35)
    return np.asarray(shoulder_2 + _UPPER * wish_F2 / length_F[:, None], dtype=np.float32)


def _sleeve(person: Person) -> tuple[Rgb, bool]:
    """Colour of the arm's cloth, and whether it ends above the elbow."""
    clothes = person.outfit.clothes
    short = clothes in (*SHORT_SLEEVED, "scrubs", "jersey")
    if clothes == "overalls" and person.outfit.color == "red":
        return COLORS["white"], short
    return COLORS[_UNDER_CLOTHES[clothes]] if clothes in _UNDER_CLOTHES else person.clothes_rgb, short


def _paint_limbs(
    person: Person, side: int, wrist_F2: Floats, scale_F: Floats, flatten: Flatten
) -> list[tuple[list[list[float]], Rgb]]:
    """Upper arm and forearm as (polygons of all frames, colour), back to front."""
    build = person.traits.shoulders * (0.88 if person.young else 1.0)
    shoulder_2 = np.array([side * 0.205 * build, SHOULDER_Y], dtype=np.float32)
    elbow_F2 = _elbows(shoulder_2, wrist_F2, side)
    shoulder_F2 = np.broadcast_to(shoulder_2, elbow_F2.shape)
    wrist_radius_F = np.asarray(0.036 * build * scale_F**0.8, dtype=np.float32)
    sleeve, short = _sleeve(person)
    skin, line = person.skin_rgb, 0.75 * OUTLINE

    def limb(
        ends: tuple[Floats, Floats], radii: tuple[float, float | Floats], color: Rgb, start: float = 0.0
    ) -> list[tuple[list[list[float]], Rgb]]:
        """A capsule over its dark line, which begins at `start` of its length."""
        first_F2, second_F2 = ends
        radii_F2 = np.stack([np.broadcast_to(np.float32(radius), len(scale_F)) for radius in radii], axis=1)
        line_F22 = np.stack([first_F2 + start * (second_F2 - first_F2), second_F2], axis=1)
        outline = flatten(hulls(line_F22, radii_F2 + np.float32(line), 14))
        inside = flatten(hulls(np.stack([first_F2, second_F2], axis=1), radii_F2, 14))
        return [(outline, shade(color, 0.5)), (inside, color)]

    elbow = 0.050 * build
    upper_radii = (0.062 * build, elbow)
    fore = limb((elbow_F2, wrist_F2), (elbow, wrist_radius_F), skin)
    if short:
        cuff_F2 = shoulder_F2 + 0.5 * (elbow_F2 - shoulder_F2)
        cuff = limb((shoulder_F2, cuff_F2), (0.066 * build, 0.064 * build), sleeve, start=0.5)
        return limb((shoulder_F2, elbow_F2), upper_radii, skin, start=0.4) + fore + cuff
    end_F2 = elbow_F2 + 0.86 * (wrist_F2 - elbow_F2)
    end_radius_F = 0.007 + elbow + 0.86 * (wrist_radius_F - elbow)
    upper = limb((shoulder_F2, elbow_F2), upper_radii, sleeve, start=0.4)
    return upper + fore + limb((elbow_F2, end_F2), (elbow, end_radius_F), sleeve)
