"""Jester's 27 gestures: their names, how English says them, and how hands perform them.

Left, right, clockwise and counterclockwise are as the picture shows them. A gesture is written for the hand on the
picture's right; the other hand mirrors it, except where the direction is the gesture's meaning.
"""

from dataclasses import dataclass, replace

from vmc.mini.world.poses import (
    BUNCH,
    CLAW,
    CUPPED,
    FLAT,
    LOOSE,
    OPEN,
    PINCH,
    PINCH_OPEN,
    SPREAD_WIDE,
    THUMB_OUT,
    TWO,
    TWO_APART,
    Key,
    Shape,
)

TARGETS = ("Swiping Down", "Drumming Fingers", "Rolling Hand Forward", "Shaking Hand", "Sliding Two Fingers Up")
"""The motions to be learned."""
REGULARIZATION = ("Doing other things", "No gesture")
"""The related classes that regularize learning."""
RELATIVES = (
    "Rolling Hand Backward",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
)
"""So near to a target that a base model that had seen them would know it."""


@dataclass(frozen=True)
class Wave:
    """An oscillation added to the key poses while the action lasts.

    `shake` rolls the hand by `size` degrees; `drum` curls one finger after the other by `size`; `orbit` moves the
    hand round a circle of radius `size` that stands upright and points to the camera, coming nearer at the top for
    `cycles` > 0 and at the bottom for `cycles` < 0; `rub` moves it up and down by `size`. `phase` is in turns.
    """

    kind: str
    cycles: float
    size: float
    phase: float = 0.0


@dataclass(frozen=True)
class Gesture:
    """How one gesture is done.

    Attributes:
        keys: poses of the leading hand in time.
        other: poses of the other hand, written for the picture's right too; none leaves it at rest.
        wave, other_wave: what oscillates.
        directed: x is the picture's, the same for either hand; else the left hand mirrors it.
        directed_turn: the same for roll and yaw.
        swapped: the thumb is on the hand's other side, for views that only a crossed arm would give.
        lasts: share of a clip the action takes at an ordinary tempo.
        prop: a thing in the leading hand.
        nods: size of the head's own movement, 1 = a little.
    """

    keys: tuple[Key, ...] = ()
    other: tuple[Key, ...] = ()
    wave: Wave | None = None
    other_wave: Wave | None = None
    directed: bool = False
    directed_turn: bool = False
    swapped: bool = False
    lasts: float = 0.55
    prop: str = ""
    nods: float = 1.0


def _still(x: float, y: float, shape: Shape, *, scale: float, roll: float = 0.0, pitch: float = 0.0) -> tuple[Key, ...]:
    key = Key(0.0, x, y, shape, scale, roll, pitch)
    return key, replace(key, time=1.0)


def _swipe(direction: int) -> Gesture:
    """The flat hand, its palm half turned to where it goes, from one side to the other."""
    first = Key(0.0, -0.34 * direction, 0.50, FLAT, 1.12, -24.0 * direction, 0.0, 38.0)
    last = replace(first, time=1.0, x=0.34 * direction, roll=26.0 * direction, yaw=-38.0)
    return Gesture((first, last), directed=True, directed_turn=True, lasts=0.45)


def _slide(dx: float, dy: float, roll: float, *, directed: bool) -> Gesture:
    """Two closed fingers, back of the hand in view, lying across the picture or standing up, moved by (dx, dy)."""
    x, y = (0.0, 0.56) if directed else (0.12, 0.56)
    first = Key(0.0, x - dx / 2, y - dy / 2, TWO, 1.1, roll, 0.0, 180.0)
    return Gesture((first, replace(first, time=1.0, x=x + dx / 2, y=y + dy / 2)), directed=directed, lasts=0.5)


def _turn(direction: int) -> Gesture:
    """A hand that grips a knob, turned in the picture's plane."""
    first = Key(0.0, 0.2, 0.48, CLAW, 1.2, -75.0 * direction)
    return Gesture((first, replace(first, time=1.0, roll=75.0 * direction)), directed_turn=True)


def _roll(direction: int) -> Gesture:
    """Two loose fists circling round each other before the chest, towards the camera at the top or at the bottom."""
    key = Key(0.0, 0.03, 0.65, CUPPED, 1.12, -78.0, 0.0, 180.0)
    other = replace(key, x=0.03)
    wave = Wave("orbit", 1.5 * direction, 0.12)
    return Gesture(
        (key, replace(key, time=1.0)),
        (other, replace(other, time=1.0)),
        wave,
        replace(wave, phase=0.5),
        lasts=0.7,
    )


def _zoom(shut: Shape, wide: Shape, *, opening: bool) -> Gesture:
    first, last = (shut, wide) if opening else (wide, shut)
    keys = (Key(0.12, 0.2, 0.46, first, 1.4), Key(0.85, 0.2, 0.46, last, 1.4))
    return Gesture((replace(keys[0], time=0.0), *keys, replace(keys[1], time=1.0)))


def _approach(shape: Shape, *, yaw: float, away: bool, shape_end: Shape | None = None) -> Gesture:
    """The hand moves along the line of sight: away from the body it grows, in towards the body it shrinks."""
    near = Key(0.0, 0.16, 0.50, shape, 1.62, yaw=yaw)
    far = Key(0.0, 0.24, 0.58, shape_end or shape, 0.70, yaw=yaw)
    first, last = (far, near) if away else (near, far)
    return Gesture((first, replace(last, time=1.0)), lasts=0.6)


GESTURES: dict[str, Gesture] = {
    "Swiping Left": _swipe(-1),
    "Swiping Right": _swipe(1),
    "Swiping Up": Gesture(
        (Key(0.0, 0.18, 0.86, FLAT, 1.05, 0, 0, 180), Key(1.0, 0.18, 0.28, FLAT, 1.05, 0, -25, 180)), lasts=0.45
    ),
    "Swiping Down": Gesture(
        (
            Key(0.0, 0.18, 0.28, OPEN, 1.1, 0, 5),
            Key(0.3, 0.18, 0.36, OPEN, 1.15, 0, 50),
            Key(0.8, 0.18, 0.80, OPEN, 1.15, 0, 165),
            Key(1.0, 0.18, 0.86, OPEN, 1.1, 0, 172),
        ),
        lasts=0.5,
    ),
    "Sliding Two Fingers Left": _slide(-0.5, 0.0, 0.0, directed=True),
    "Sliding Two Fingers Right": _slide(0.5, 0.0, 0.0, directed=True),
    "Sliding Two Fingers Up": _slide(0.0, -0.46, -80.0, directed=False),
    "Sliding Two Fingers Down": _slide(0.0, 0.46, -80.0, directed=False),
    "Pulling Hand In": _approach(OPEN, yaw=180.0, away=False, shape_end=LOOSE),
    "Pushing Hand Away": _approach(OPEN, yaw=0.0, away=True),
    "Pulling Two Fingers In": _approach(TWO_APART, yaw=180.0, away=False),
    "Pushing Two Fingers Away": _approach(TWO_APART, yaw=0.0, away=True),
    "Stop Sign": Gesture(_still(0.19, 0.46, FLAT, scale=1.3), lasts=0.6),
    "Thumb Up": Gesture(_still(0.19, 0.52, THUMB_OUT, scale=1.3, roll=-88.0), lasts=0.6, swapped=True),
    "Thumb Down": Gesture(_still(0.19, 0.52, THUMB_OUT, scale=1.3, roll=-92.0), lasts=0.6),
    "Turning Hand Clockwise": _turn(1),
    "Turning Hand Counterclockwise": _turn(-1),
    "Zooming In With Full Hand": _zoom(BUNCH, SPREAD_WIDE, opening=True),
    "Zooming Out With Full Hand": _zoom(BUNCH, SPREAD_WIDE, opening=False),
    "Zooming In With Two Fingers": _zoom(PINCH, PINCH_OPEN, opening=True),
    "Zooming Out With Two Fingers": _zoom(PINCH, PINCH_OPEN, opening=False),
    "Rolling Hand Forward": _roll(1),
    "Rolling Hand Backward": _roll(-1),
    "Shaking Hand": Gesture(_still(0.19, 0.46, SPREAD_WIDE, scale=1.15), wave=Wave("shake", 2.5, 34.0), lasts=0.7),
    "Drumming Fingers": Gesture(
        _still(0.12, 0.62, (0.1, 0.08, 0.08, 0.08, 0.08, 13.0, 52.0), scale=1.25, roll=10.0, pitch=158.0),
        wave=Wave("drum", 2.5, 0.75),
        lasts=0.75,
    ),
    "No gesture": Gesture(nods=2.0),
    "Doing other things": Gesture(nods=2.5),
}
"""How each gesture is done. "Doing other things" is one of `vmc.mini.world.activities.ACTIVITIES`."""

LABELS = tuple(sorted(GESTURES))
"""All 27 names, in the order published classifiers number them."""
KNOWN = tuple(name for name in LABELS if name not in (*TARGETS, *REGULARIZATION, *RELATIVES))
"""The 16 gestures the base model sees in pretraining."""

PHRASES: dict[str, str] = {
    "Doing other things": "doing other things",
    "Drumming Fingers": "drumming fingers",
    "No gesture": "in front of a computer",
    "Pulling Hand In": "pulling hand in",
    "Pulling Two Fingers In": "pulling two fingers in",
    "Pushing Hand Away": "pushing hand away",
    "Pushing Two Fingers Away": "pushing two fingers away",
    "Rolling Hand Backward": "rolling hand backward",
    "Rolling Hand Forward": "rolling hand forward",
    "Shaking Hand": "shaking hand",
    "Sliding Two Fingers Down": "sliding two fingers down",
    "Sliding Two Fingers Left": "sliding two fingers left",
    "Sliding Two Fingers Right": "sliding two fingers right",
    "Sliding Two Fingers Up": "sliding two fingers up",
    "Stop Sign": "showing the stop sign",
    "Swiping Down": "swiping hand down",
    "Swiping Left": "swiping hand left",
    "Swiping Right": "swiping hand right",
    "Swiping Up": "swiping hand up",
    "Thumb Down": "showing the thumb down",
    "Thumb Up": "showing the thumb up",
    "Turning Hand Clockwise": "turning hand clockwise",
    "Turning Hand Counterclockwise": "turning hand counterclockwise",
    "Zooming In With Full Hand": "zooming in with the full hand",
    "Zooming In With Two Fingers": "zooming in with two fingers",
    "Zooming Out With Full Hand": "zooming out with the full hand",
    "Zooming Out With Two Fingers": "zooming out with two fingers",
}
"""What a person does, in natural language: "a person {phrase}"."""
