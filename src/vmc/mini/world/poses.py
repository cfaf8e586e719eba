"""Poses of one hand, and how they follow each other in time.

Axes: F frames, K key poses, C the columns of a pose. A pose is one row of C = 13 numbers:

    x, y            place of the middle of the hand, in units of the picture's height; x = 0 is the person's middle,
                    y = 0 the picture's top, y = 1 its bottom
    scale           size, 1 = at the body; larger = nearer to the camera
    roll            turn in the picture's plane, degrees clockwise
    pitch           tilt of the fingers, degrees: 0 up, 90 towards the camera, 180 down (back of the hand in view)
    yaw             turn about the fingers' direction, degrees: 0 shows the palm, 90 the edge, 180 the back
    thumb, index, middle, ring, little   curl of the fingers, 0 = stretched, 1 = in the fist
    spread          angle between neighbouring fingers, degrees
    thumb_angle     angle of the stretched thumb from the fingers' direction, degrees
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

COLUMNS = (
    *("x", "y", "scale", "roll", "pitch", "yaw"),
    *("thumb", "index", "middle", "ring", "little", "spread", "thumb_angle"),
)
X, Y, SCALE, ROLL, PITCH, YAW, THUMB, INDEX, MIDDLE, RING, LITTLE, SPREAD, THUMB_ANGLE = range(len(COLUMNS))
SHAPE = slice(THUMB, THUMB_ANGLE + 1)
"""The columns of the hand's shape."""

Shape: TypeAlias = tuple[float, float, float, float, float, float, float]

FLAT: Shape = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 14.0)
OPEN: Shape = (0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 48.0)
SPREAD_WIDE: Shape = (0.0, 0.0, 0.0, 0.0, 0.0, 19.0, 66.0)
RELAXED: Shape = (0.2, 0.22, 0.25, 0.28, 0.3, 4.0, 30.0)
LOOSE: Shape = (0.4, 0.5, 0.5, 0.5, 0.5, 2.0, 30.0)
CUPPED: Shape = (0.3, 0.3, 0.3, 0.3, 0.3, 0.0, 34.0)
FIST: Shape = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 30.0)
BUNCH: Shape = (0.55, 0.62, 0.62, 0.62, 0.62, -3.0, 26.0)
CLAW: Shape = (0.15, 0.42, 0.42, 0.42, 0.42, 15.0, 62.0)
THUMB_OUT: Shape = (0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 88.0)
POINT: Shape = (1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 30.0)
TWO: Shape = (1.0, 0.0, 0.0, 1.0, 1.0, 9.0, 30.0)
TWO_APART: Shape = (1.0, 0.0, 0.0, 1.0, 1.0, 30.0, 30.0)
PINCH: Shape = (0.3, 0.5, 1.0, 1.0, 1.0, 10.0, 18.0)
PINCH_OPEN: Shape = (0.0, 0.0, 1.0, 1.0, 1.0, -12.0, 92.0)
GRIP: Shape = (0.5, 0.62, 0.62, 0.62, 0.62, 2.0, 40.0)


@dataclass(frozen=True)
class Key:
    """One key pose at `time` (0 = the action begins, 1 = it ends); see the module for units."""

    time: float
    x: float
    y: float
    shape: Shape
    scale: float = 1.0
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0

    def row(self) -> list[float]:
        """The pose as C numbers in the order of `COLUMNS`."""
        return [self.x, self.y, self.scale, self.roll, self.pitch, self.yaw, *self.shape]


def interpolate(time_F: Floats, times: Sequence[float], poses_KC: Floats) -> Floats:
    """poses_FC: the key poses joined by smooth steps, held before the first and after the last.

    Args:
        time_F: when to look.
        times: rising times of the K key poses.
        poses_KC: the key poses.
    """
    times_K = np.asarray(times, dtype=np.float32)
    right_F = np.clip(np.searchsorted(times_K, time_F, side="right"), 1, len(times_K) - 1)
    left_F = right_F - 1
    span_F = np.maximum(times_K[right_F] - times_K[left_F], 1e-6)
    part_F = np.clip((time_F - times_K[left_F]) / span_F, 0.0, 1.0)
    part_F1 = (part_F * part_F * (3.0 - 2.0 * part_F))[:, None]
    return np.asarray(poses_KC[left_F] * (1.0 - part_F1) + poses_KC[right_F] * part_F1, dtype=np.float32)


def mirrored(poses_FC: Floats, *, place: bool, turn: bool) -> Floats:
    """The same poses for the other hand: `place` flips x, `turn` flips roll and yaw."""
    result_FC = poses_FC.copy()
    if place:
        result_FC[:, X] *= -1
    if turn:
        result_FC[:, ROLL] *= -1
        result_FC[:, YAW] *= -1
    return result_FC
