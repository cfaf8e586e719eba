"""Arms with hands: polygons for all frames at once, painted frame by frame.

Axes: F frames, S sides (picture's left, right), P parts, D points of an outline. Units are the person's own (see
`vmc.mini.poses`) until a view turns them into pixels.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import ImageDraw

from vmc.mini.hands import HAND_LENGTH, form_hand, hulls
from vmc.mini.people import Person
from vmc.mini.poses import SCALE, Floats
from vmc.mini.vocabulary import COLOURS, SHORT_SLEEVED

Rgb: TypeAlias = tuple[int, int, int]

OUTLINE = 0.0135
"""Width of the dark line round hands, in picture heights: what keeps a hand apart from face and shirt."""
SHOULDER_Y = 0.625
"""Height of the shoulder joints."""


@dataclass(frozen=True)
class Painted:
    """Polygons of one arm in drawing order: per frame, (flattened points, colour) pairs; larger `near_F` goes on top."""

    polygons: list[list[tuple[list[float], Rgb]]]
    near_F: Floats


def shade(colour: Rgb, factor: float) -> Rgb:
    """The colour made darker (factor < 1) or lighter (factor > 1, towards white)."""
    if factor <= 1:
        return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))
    part = factor - 1
    red, green, blue = (int(value + (255 - value) * part) for value in colour)
    return red, green, blue


def mix(first: Rgb, second: Rgb, part: float) -> Rgb:
    """`part` of the second colour, the rest of the first."""
    red, green, blue = (int(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shoulder_x(person: Person) -> float:
    """Distance of the shoulder joints from the person's middle."""
    return 0.205 * person.traits.shoulders * (0.86 if person.young else 1.0)


def _elbows(shoulder_2: Floats, wrist_F2: Floats, side: int) -> Floats:
    """elbow_F2, bent outwards and down; where both fail it points to the camera and the arm looks straight."""
    reach_F2 = wrist_F2 - shoulder_2
    distance_F = np.maximum(np.hypot(reach_F2[:, 0], reach_F2[:, 1]), 1e-3)
    length_F = np.maximum(0.31, 0.515 * distance_F)
    bend_F = np.sqrt(np.maximum(length_F**2 - (distance_F / 2) ** 2, 0.0))
    normal_F2 = np.stack([-reach_F2[:, 1], reach_F2[:, 0]], axis=-1) / distance_F[:, None]
    wish_F = normal_F2 @ np.array([0.55 * side, 1.0], dtype=np.float32)
    offset_F = bend_F * np.clip(2.5 * wish_F, -1.0, 1.0)
    return np.asarray(shoulder_2 + reach_F2 / 2 + normal_F2 * offset_F[:, None], dtype=np.float32)


def paint_arm(
    poses_FC: Floats, *, person: Person, side: int, swapped: bool, view: tuple[float, float, float]
) -> Painted:
    """All polygons of one arm in all frames.

    Args:
        poses_FC: the hand's poses.
        person: whose arm; gives skin, sleeve and sizes.
        side: 1 = on the picture's right, -1 = left.
        swapped: the thumb is on the hand's other side.
        view: pixels per unit, and the pixel place (x, y) of the person's origin.
    """
    pixels, left, top = view
    origin_2 = np.array([left, top], dtype=np.float32)
    unit = HAND_LENGTH * person.traits.hand * (0.92 if person.young else 1.0)
    form = form_hand(poses_FC, thumb_right=(side < 0) != swapped)
    place_F2 = poses_FC[:, :2]
    wrist_F2 = place_F2 + unit * form.wrist_F2
    shoulder_2 = np.array([side * shoulder_x(person), SHOULDER_Y], dtype=np.float32)
    elbow_F2 = _elbows(shoulder_2, wrist_F2, side)

    def flatten(points_F2: Floats) -> list[list[float]]:
        pixels_F2 = points_F2 * pixels + (origin_2 + 0.5)
        flat: list[list[float]] = pixels_F2.reshape(len(points_F2), -1).tolist()
        return flat

    limbs = _limbs(shoulder_2, elbow_F2, wrist_F2, poses_FC[:, SCALE], person, flatten)
    hands = _hand_parts(form, place_F2, unit, person, flatten)
    bottom = [min(row[1::2]) for row in hands[0][1]]
    limit = top + 1.45 * pixels
    polygons = []
    for frame in range(len(poses_FC)):
        rows = [(points[frame], colour) for points, colour in limbs]
        if bottom[frame] < limit:
            rows += _order_hand(form, hands, frame, person)
        polygons.append(rows)
    return Painted(polygons, poses_FC[:, SCALE])


def _sleeve(person: Person) -> tuple[Rgb, bool]:
    """Colour of the arm's cloth, and whether it ends above the elbow."""
    outfit = person.outfit
    colour = person.clothes_rgb
    if outfit.clothes == "ermine":
        colour = shade(COLOURS[outfit.colour], 0.95)
    short = outfit.clothes in (*SHORT_SLEEVED, "scrubs", "jersey")
    if outfit.clothes in ("overalls", "waistcoat", "safety vest"):
        colour = {"overalls": COLOURS["red"], "waistcoat": COLOURS["white"]}.get(outfit.clothes, COLOURS["blue"])
    return colour, short


def _limbs(shoulder_2, elbow_F2, wrist_F2, scale_F, person, flatten):  # type: ignore[no-untyped-def]
    """Upper arm and forearm as (polygons of all frames, colour), outlines first."""
    sleeve, short = _sleeve(person)
    skin = person.skin_rgb
    build = person.traits.shoulders
    shoulder_F2 = np.broadcast_to(shoulder_2, elbow_F2.shape)
    ones_F = np.ones(len(elbow_F2), dtype=np.float32)
    wrist_radius_F = 0.036 * build * scale_F**0.8

    def capsule(first_F2, second_F2, first_F, second_F, extra, colour):  # type: ignore[no-untyped-def]
        centres = np.stack([first_F2, second_F2], axis=1)
        radii = np.stack([first_F, second_F], axis=1) + extra
        return flatten(hulls(centres, radii.astype(np.float32), 14)), colour

    upper = (shoulder_F2, elbow_F2, 0.062 * build * ones_F, 0.050 * build * ones_F)
    fore = (elbow_F2, wrist_F2, 0.050 * build * ones_F, wrist_radius_F)
    line = OUTLINE * 0.75
    dark_sleeve, dark_skin = shade(sleeve, 0.55), shade(skin, 0.5)
    parts = [capsule(*upper, line, dark_sleeve)]
    if short:
        middle_F2 = shoulder_F2 + 0.55 * (elbow_F2 - shoulder_F2)
        parts += [capsule(*upper, line * 0.9, dark_skin), capsule(*upper, 0.0, skin)]
        parts += [capsule(*fore, line, dark_skin), capsule(*fore, 0.0, skin)]
        cuff = (shoulder_F2, middle_F2, 0.066 * build * ones_F, 0.064 * build * ones_F)
        parts += [capsule(*cuff, line * 0.8, dark_sleeve), capsule(*cuff, 0.0, sleeve)]
        return parts
    cuff_F2 = elbow_F2 + 0.86 * (wrist_F2 - elbow_F2)
    radius_F = 0.050 * build + 0.86 * (wrist_radius_F - 0.050 * build)
    parts += [capsule(*upper, 0.0, sleeve)]
    parts += [capsule(*fore, line, dark_skin), capsule(*fore, 0.0, skin)]
    sleeve_end = (elbow_F2, cuff_F2, 0.054 * build * ones_F, radius_F + 0.007)
    parts += [capsule(*sleeve_end, line, dark_sleeve), capsule(*sleeve_end, 0.0, sleeve)]
    return parts


def _hand_parts(form, place_F2, unit, person, flatten):  # type: ignore[no-untyped-def]
    """Outlines of palm and joints at three widths: (outline, fill) of the palm, (outline, crease, fill) of the joints."""

    def palm(extra: float) -> list[list[float]]:
        points = hulls(form.palm_FK2 * unit + place_F2[:, None], form.palm_radii_FK * unit + extra, 18)
        rows: list[list[float]] = flatten(points)
        return rows

    def joints(extra: float) -> list[list[list[float]]]:
        centres = form.joints_FPK2 * unit + place_F2[:, None, None]
        points = hulls(centres, form.joint_radii_FPK * unit + extra, 12)
        frames, parts = points.shape[:2]
        rows: list[list[float]] = flatten(points.reshape(frames * parts, -1, 2))
        return [rows[frame * parts : (frame + 1) * parts] for frame in range(frames)]

    width = OUTLINE
    return (palm(width), palm(0.0)), (palm(width), joints(width), joints(0.45 * width), joints(0.0))


def _order_hand(form, hands, frame: int, person: Person) -> list[tuple[list[float], Rgb]]:  # type: ignore[no-untyped-def]
    """One frame's polygons: the silhouette's line, what lies behind the palm, the palm, what lies before it."""
    (palm_line, palm_fill), (_, joint_line, joint_crease, joint_fill) = hands
    palm_part = float(np.clip(form.facing_F[frame] * 1.6, -1.0, 1.0)) * 0.5 + 0.5
    skin = mix(person.skin_rgb, person.palm_rgb, palm_part)
    line, crease = shade(person.skin_rgb, 0.30), shade(person.skin_rgb, 0.52)
    rows = [(palm_line[frame], line)] + [(points, line) for points in joint_line[frame]]
    depth_P = form.depth_FP[frame]
    fingers = sorted(range(5), key=lambda finger: float(depth_P[2 * finger] + depth_P[2 * finger + 1]))
    behind = [finger for finger in fingers if depth_P[2 * finger] + depth_P[2 * finger + 1] < -0.10]
    for finger in behind:
        rows += [(joint_fill[frame][2 * finger + joint], shade(skin, 0.9)) for joint in (0, 1)]
    rows.append((palm_fill[frame], skin))
    for finger in fingers:
        if finger in behind:
            continue
        first, second = 2 * finger, 2 * finger + 1
        order = (first, second) if depth_P[second] >= depth_P[first] else (second, first)
        bent = abs(float(depth_P[second] - depth_P[first])) > 0.05
        if bent or depth_P[second] > 0.08:
            for joint in order:
                rows += [(joint_crease[frame][joint], crease), (joint_fill[frame][joint], skin)]
            continue
        rows.append((joint_crease[frame][second], crease))
        rows += [(joint_fill[frame][joint], skin) for joint in (first, second)]
    return rows


def draw_arm(draw: ImageDraw.ImageDraw, painted: Painted, frame: int) -> None:
    """Paints one frame's polygons."""
    for points, colour in painted.polygons[frame]:
        draw.polygon(points, fill=colour)
