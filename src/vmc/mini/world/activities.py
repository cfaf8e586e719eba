"""The other things people do before a camera: what "Doing other things" shows."""

from vmc.mini.world.gestures import Gesture, Wave
from vmc.mini.world.poses import FIST, FLAT, GRIP, LOOSE, POINT, RELAXED, Key

ACTIVITIES: dict[str, Gesture] = {
    "scratching the head": Gesture(
        (Key(0.0, 0.13, 0.24, LOOSE, 0.95, -25), Key(1.0, 0.13, 0.24, LOOSE, 0.95, -25)),
        wave=Wave("rub", 3.0, 0.03),
        lasts=0.7,
    ),
    "drinking": Gesture(
        (
            Key(0.0, 0.2, 0.62, GRIP, 1.0, -30, 0, 180),
            Key(0.35, 0.06, 0.47, GRIP, 1.0, -60, 0, 180),
            Key(0.7, 0.06, 0.46, GRIP, 1.0, -70, 0, 180),
            Key(1.0, 0.2, 0.64, GRIP, 1.0, -30, 0, 180),
        ),
        lasts=0.8,
        prop="cup",
    ),
    "adjusting glasses": Gesture(
        (
            Key(0.0, 0.15, 0.38, LOOSE, 0.9, -35, 0, 180),
            Key(0.5, 0.14, 0.34, LOOSE, 0.9, -40, 0, 180),
            Key(1.0, 0.15, 0.37, LOOSE, 0.9, -35, 0, 180),
        ),
        (
            Key(0.0, 0.15, 0.38, LOOSE, 0.9, -35, 0, 180),
            Key(0.5, 0.14, 0.34, LOOSE, 0.9, -40, 0, 180),
            Key(1.0, 0.15, 0.37, LOOSE, 0.9, -35, 0, 180),
        ),
        lasts=0.55,
    ),
    "typing": Gesture(
        (Key(0.0, 0.16, 0.93, RELAXED, 1.1, -12, 150), Key(1.0, 0.12, 0.93, RELAXED, 1.1, -12, 150)),
        (Key(0.0, 0.16, 0.93, RELAXED, 1.1, -12, 150), Key(1.0, 0.12, 0.93, RELAXED, 1.1, -12, 150)),
        Wave("rub", 4.0, 0.025),
        Wave("rub", 4.0, 0.025, 0.5),
        lasts=0.8,
    ),
    "calling": Gesture(
        (Key(0.0, 0.16, 0.38, GRIP, 0.95, -8, 0, 90), Key(1.0, 0.16, 0.38, GRIP, 0.95, -8, 0, 90)),
        lasts=0.75,
        prop="phone",
    ),
    "covering the mouth": Gesture(
        (Key(0.0, 0.04, 0.47, FLAT, 0.95, -55, 0, 180), Key(1.0, 0.04, 0.47, FLAT, 0.95, -55, 0, 180)),
        lasts=0.45,
    ),
    "resting the chin": Gesture(
        (Key(0.0, 0.08, 0.52, FIST, 1.0, -20, 0, 180), Key(1.0, 0.08, 0.52, FIST, 1.0, -20, 0, 180)),
        lasts=0.75,
    ),
    "clapping": Gesture(
        (
            Key(0.0, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
            Key(0.25, 0.02, 0.64, FLAT, 1.0, -8, 0, 80),
            Key(0.5, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
            Key(0.75, 0.02, 0.64, FLAT, 1.0, -8, 0, 80),
            Key(1.0, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
        ),
        (
            Key(0.0, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
            Key(0.25, 0.02, 0.64, FLAT, 1.0, -8, 0, 80),
            Key(0.5, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
            Key(0.75, 0.02, 0.64, FLAT, 1.0, -8, 0, 80),
            Key(1.0, 0.16, 0.66, FLAT, 1.0, -12, 0, 80),
        ),
        lasts=0.65,
    ),
    "rubbing the eye": Gesture(
        (Key(0.0, 0.07, 0.34, FIST, 0.9, -30), Key(1.0, 0.07, 0.34, FIST, 0.9, -30)),
        wave=Wave("rub", 3.0, 0.02),
        lasts=0.6,
    ),
    "stretching": Gesture(
        (Key(0.0, 0.3, 0.5, FIST, 1.0), Key(0.4, 0.36, 0.12, FIST, 1.0, 10), Key(1.0, 0.36, 0.14, FIST, 1.0, 10)),
        (Key(0.0, 0.3, 0.5, FIST, 1.0), Key(0.4, 0.36, 0.12, FIST, 1.0, 10), Key(1.0, 0.36, 0.14, FIST, 1.0, 10)),
        lasts=0.7,
    ),
    "pointing at the own chest": Gesture(
        (Key(0.0, 0.13, 0.72, POINT, 1.0, -75, 0, 180), Key(1.0, 0.08, 0.72, POINT, 1.0, -75, 0, 180)),
        lasts=0.5,
    ),
    "crossing the arms": Gesture(
        (Key(0.0, -0.12, 0.80, FLAT, 0.95, -75, 0, 180), Key(1.0, -0.12, 0.80, FLAT, 0.95, -75, 0, 180)),
        (Key(0.0, -0.12, 0.86, FLAT, 0.95, -75, 0, 180), Key(1.0, -0.12, 0.86, FLAT, 0.95, -75, 0, 180)),
        lasts=0.75,
    ),
}
"""Each written for the hand on the picture's right, as in `vmc.mini.world.gestures`."""
