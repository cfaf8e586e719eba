"""The form of a hand: eleven rounded parts in space, turned, projected and outlined for all frames at once.

Axes: F frames, P parts (the palm, then two joints of each finger), K discs that a part is the hull of, D points of an
outline, 2 = x to the right and y down, 3 = x, y up the fingers and z out of the palm. Lengths inside this file are in
hand lengths (wrist to the tip of the middle finger = 1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmc.mini.world.poses import LITTLE, PITCH, ROLL, SCALE, SPREAD, THUMB, THUMB_ANGLE, YAW, Floats

HAND_LENGTH = 0.255
"""Of an average hand at the body, in picture heights; drawn a little larger than life, so that fingers can be seen."""
MIDDLE = 0.42
"""The middle of the hand, about which it turns, up from the wrist."""

_BASES = np.array([[0.19, 0.17], [0.175, 0.47], [0.06, 0.51], [-0.06, 0.50], [-0.17, 0.45]], dtype=np.float32)
"""Where thumb, index, middle, ring and little finger begin, for a thumb at positive x."""
_LENGTHS = np.array([0.40, 0.44, 0.50, 0.45, 0.35], dtype=np.float32)
_RADII = np.array([0.070, 0.062, 0.064, 0.062, 0.056], dtype=np.float32)
_FAN = np.array([0.0, 1.5, 0.5, -0.5, -1.5], dtype=np.float32)
"""Where each finger stands in the fan that `spread` opens."""
_PALM = np.array([[0.15, 0.06], [-0.14, 0.06], [-0.165, 0.40], [0.165, 0.43]], dtype=np.float32)
_PALM_RADIUS = 0.07
_PROXIMAL, _DISTAL = 95.0, 115.0
"""Degrees that a fully curled finger bends at its first joint and at its second one."""
_PERSPECTIVE = 0.45
"""How much larger a point one hand length nearer to the camera looks."""


@dataclass(frozen=True)
class HandForm:
    """Discs whose hulls are the parts of one hand, relative to its middle, in hand lengths, y down.

    Attributes:
        palm_FK2, palm_radii_FK: the palm, K = 4.
        joints_FPK2, joint_radii_FPK: fingers, P = 10 (thumb first; nearer joint, then tip), K = 2.
        depth_FP: mean depth of the ten joints; the palm's is 0, larger is nearer to the camera.
        wrist_F2: where the forearm ends.
        facing_F: 1 = the palm is seen, -1 = the back of the hand, 0 = the edge.
    """

    palm_FK2: Floats
    palm_radii_FK: Floats
    joints_FPK2: Floats
    joint_radii_FPK: Floats
    depth_FP: Floats
    wrist_F2: Floats
    facing_F: Floats


def hulls(centers_K2: Floats, radii_K: Floats, points: int) -> Floats:
    """Outlines (..., D, 2) of the convex hulls of discs: centres (..., K, 2), radii (..., K), D = `points`.

    In every direction the farthest point of the farthest disc lies on the hull.
    """
    angles_D = np.arange(points, dtype=np.float32) * np.float32(2 * np.pi / points)
    directions_D2 = np.stack([np.cos(angles_D), np.sin(angles_D)], axis=-1)
    reach_KD = centers_K2 @ directions_D2.T + radii_K[..., None]
    farthest_D = reach_KD.argmax(axis=-2)
    center_D2 = np.take_along_axis(centers_K2, farthest_D[..., None], axis=-2)
    radius_D = np.take_along_axis(radii_K, farthest_D, axis=-1)
    return np.asarray(center_D2 + radius_D[..., None] * directions_D2, dtype=np.float32)


def _finger_points(poses_FC: Floats) -> Floats:
    """Base, knuckle and tip of the five fingers in space, shape (F, 5 fingers, 3 points, 3)."""
    curl_F5 = poses_FC[:, THUMB : LITTLE + 1]
    fan_F5 = np.radians(_FAN * poses_FC[:, SPREAD, None])
    fan_F5[:, 0] = np.radians(poses_FC[:, THUMB_ANGLE] - 85.0 * curl_F5[:, 0])
    first_F5 = np.radians(_PROXIMAL) * curl_F5
    second_F5 = first_F5 + np.radians(_DISTAL) * curl_F5
    # The thumb folds across the palm instead of rolling in.
    first_F5[:, 0] = np.radians(40.0) * curl_F5[:, 0]
    second_F5[:, 0] = np.radians(20.0) * curl_F5[:, 0]
    base_F53 = np.zeros((*curl_F5.shape, 3), dtype=np.float32)
    base_F53[..., :2] = _BASES
    points = [base_F53]
    for bend_F5 in (first_F5, second_F5):
        along_F5 = np.cos(bend_F5) * _LENGTHS * 0.52
        step_F53 = np.stack(
            [along_F5 * np.sin(fan_F5), along_F5 * np.cos(fan_F5), np.sin(bend_F5) * _LENGTHS * 0.52], axis=-1
        )
        points.append(points[-1] + step_F53.astype(np.float32))
    return np.stack(points, axis=2)


def _rotations(poses_FC: Floats) -> Floats:
    """rotation_F33: yaw about the fingers, then pitch towards the camera, then roll in the picture."""
    yaw_F, pitch_F, roll_F = (np.radians(poses_FC[:, column]) for column in (YAW, PITCH, ROLL))
    zero_F, one_F = np.zeros_like(yaw_F), np.ones_like(yaw_F)

    def matrix(*entries_F: Floats) -> Floats:
        return np.stack(entries_F, axis=-1).reshape(-1, 3, 3)

    cos, sin = np.cos, np.sin
    about_y = matrix(cos(yaw_F), zero_F, sin(yaw_F), zero_F, one_F, zero_F, -sin(yaw_F), zero_F, cos(yaw_F))
    about_x = matrix(one_F, zero_F, zero_F, zero_F, cos(pitch_F), -sin(pitch_F), zero_F, sin(pitch_F), cos(pitch_F))
    about_z = matrix(cos(roll_F), sin(roll_F), zero_F, -sin(roll_F), cos(roll_F), zero_F, zero_F, zero_F, one_F)
    return np.asarray(about_z @ about_x @ about_y, dtype=np.float32)


def form_hand(poses_FC: Floats, *, thumb_right_F: NDArray[np.bool_]) -> HandForm:
    """The parts of one hand in all its poses; `thumb_right_F`: with its palm in view the thumb is on the right."""
    hand_F1 = np.where(thumb_right_F, np.float32(1), np.float32(-1))[:, None]
    fingers_F533 = _finger_points(poses_FC)
    frames = len(poses_FC)
    corners_F43 = np.zeros((frames, 5, 3), dtype=np.float32)
    corners_F43[:, :4, :2] = _PALM
    points_FN3 = np.concatenate([corners_F43, fingers_F533.reshape(frames, 15, 3)], axis=1)
    points_FN3[..., 1] -= MIDDLE
    points_FN3[..., 0] *= hand_F1
    rotation_F33 = _rotations(poses_FC)
    turned_FN3 = points_FN3 @ rotation_F33.transpose(0, 2, 1)
    size_FN = poses_FC[:, SCALE, None] * (1.0 + _PERSPECTIVE * turned_FN3[..., 2])
    flat_FN2 = turned_FN3[..., :2] * size_FN[..., None] * np.array([1.0, -1.0], dtype=np.float32)
    joint = np.arange(15).reshape(5, 3) + 5
    segments = np.stack([joint[:, :2], joint[:, 1:]], axis=1).reshape(10, 2)
    taper_PK = np.repeat(_RADII, 2)[:, None] * np.tile([[1.08, 1.0], [1.0, 0.86]], (5, 1))
    depth_FN = turned_FN3[..., 2]
    return HandForm(
        palm_FK2=flat_FN2[:, :4],
        palm_radii_FK=(_PALM_RADIUS * size_FN[:, :4]).astype(np.float32),
        joints_FPK2=flat_FN2[:, segments],
        joint_radii_FPK=(taper_PK * size_FN[:, segments]).astype(np.float32),
        depth_FP=depth_FN[:, segments].mean(axis=-1) - depth_FN[:, :4].mean(axis=-1, keepdims=True),
        wrist_F2=flat_FN2[:, 4],
        facing_F=rotation_F33[:, 2, 2],
    )
