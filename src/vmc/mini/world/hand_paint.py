"""Hands in polygons: outlines of all frames at once, ordered by depth frame by frame.

Axes: F frames, P ten finger joints, D points of an outline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from vmc.mini.world.hands import HandForm, hulls
from vmc.mini.world.pen import Rgb, mix, shade
from vmc.mini.world.people import Person
from vmc.mini.world.poses import Floats

Polygon: TypeAlias = tuple[list[float], Rgb]
Flatten: TypeAlias = Callable[[Floats], list[list[float]]]
"""Turns outlines (N, D, 2) in the person's units into N flat lists of pixel coordinates."""

OUTLINE = 0.0135
"""Width of the dark line round hands, in picture heights: what keeps a hand apart from face and shirt."""
_BEHIND = -0.10
"""A finger whose two joints lie this much deeper than the palm, in hand lengths together, is hidden by it."""


@dataclass(frozen=True)
class HandOutlines:
    """Flat pixel coordinates: [frame] for the palm, [frame][joint] for the fingers; `crease` is the thin line."""

    palm_line: list[list[float]]
    palm: list[list[float]]
    line: list[list[list[float]]]
    crease: list[list[list[float]]]
    joints: list[list[list[float]]]


def outline_hand(form: HandForm, place_F2: Floats, unit: float, flatten: Flatten) -> HandOutlines:
    """Outlines of one hand in all frames.

    Args:
        form: the hand in hand lengths.
        place_F2: middle of the hand, in the person's units.
        unit: hand length in the person's units.
        flatten: the way to pixels.
    """

    def palm(extra: float) -> list[list[float]]:
        return flatten(hulls(form.palm_FK2 * unit + place_F2[:, None], form.palm_radii_FK * unit + extra, 18))

    def joints(extra: float) -> list[list[list[float]]]:
        points_FPD2 = hulls(form.joints_FPK2 * unit + place_F2[:, None, None], form.joint_radii_FPK * unit + extra, 12)
        frames, parts = points_FPD2.shape[:2]
        flat = flatten(points_FPD2.reshape(frames * parts, -1, 2))
        return [flat[frame * parts : (frame + 1) * parts] for frame in range(frames)]

    return HandOutlines(palm(OUTLINE), palm(0.0), joints(OUTLINE), joints(0.45 * OUTLINE), joints(0.0))


def order_hand(form: HandForm, hand: HandOutlines, frame: int, person: Person) -> list[Polygon]:
    """One frame's polygons: the silhouette's line, fingers behind the palm, the palm, fingers before it."""
    palm_part = float(np.clip(form.facing_F[frame] * 1.6, -1.0, 1.0)) * 0.5 + 0.5
    skin = mix(person.skin_rgb, person.palm_rgb, palm_part)
    line = shade(person.skin_rgb, 0.30)
    rows: list[Polygon] = [(hand.palm_line[frame], line)] + [(points, line) for points in hand.line[frame]]
    depth_P = form.depth_FP[frame].tolist()
    depth_of = [depth_P[2 * finger] + depth_P[2 * finger + 1] for finger in range(5)]
    fingers = sorted(range(5), key=depth_of.__getitem__)
    for finger in fingers:
        if depth_of[finger] < _BEHIND:
            rows += [(hand.joints[frame][2 * finger + joint], shade(skin, 0.9)) for joint in (0, 1)]
    rows.append((hand.palm[frame], skin))
    for finger in fingers:
        if depth_of[finger] >= _BEHIND:
            rows += _finger(hand, frame, finger, depth_P, skin, shade(person.skin_rgb, 0.52))
    return rows


def _finger(hand: HandOutlines, frame: int, finger: int, depth_P: list[float], skin: Rgb, crease: Rgb) -> list[Polygon]:
    """A finger before the palm: bent, each joint with its own line; stretched, with a line round its tip alone."""
    first, second = 2 * finger, 2 * finger + 1
    joints, creases = hand.joints[frame], hand.crease[frame]
    if abs(depth_P[second] - depth_P[first]) <= 0.05 and depth_P[second] <= 0.08:
        return [(creases[second], crease), (joints[first], skin), (joints[second], skin)]
    order = (first, second) if depth_P[second] >= depth_P[first] else (second, first)
    rows: list[Polygon] = []
    for joint in order:
        rows += [(creases[joint], crease), (joints[joint], skin)]
    return rows
