"""Gestures that no network of the miniature has seen, which stand for those of internet videos (paper, Fig. 4).

They are performed by the renderer's own arms and hands, and are no part of its table, on which the shipped networks
were trained.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vmc.mini.world.gestures import GESTURES, Gesture
from vmc.mini.world.poses import FIST, FLAT, Key, Shape
from vmc.mini.world.renderer import ClipSpec, render

QUOTING: Shape = (1.0, 0.0, 0.0, 1.0, 1.0, 14.0, 30.0)
QUOTED: Shape = (1.0, 0.75, 0.75, 1.0, 1.0, 14.0, 30.0)
"""Index and middle finger stretched, and bent as quotation marks."""


def _dab() -> Gesture:
    """One arm across the face, the other stretched out beside the head, both held for a moment."""
    before = Key(0.0, 0.20, 0.70, FLAT, 1.0, -20.0, 0.0, 180.0)
    across = Key(0.3, -0.02, 0.34, FIST, 1.1, -70.0, 0.0, 180.0)
    other = Key(0.0, 0.24, 0.72, FLAT, 1.0, 20.0, 0.0, 0.0)
    stretched = Key(0.3, 0.43, 0.16, FLAT, 0.95, 52.0, 0.0, 0.0)
    return Gesture(
        (before, across, replace(across, time=0.8), replace(before, time=1.0)),
        (other, stretched, replace(stretched, time=0.8), replace(other, time=1.0)),
        lasts=0.75,
        nods=1.5,
    )


def _air_quotes() -> Gesture:
    """Both hands raised beside the head, whose two fingers bend twice."""
    open_key = Key(0.0, 0.27, 0.40, QUOTING, 1.1, 6.0)
    bent = replace(open_key, y=0.44, shape=QUOTED)
    times = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    keys = tuple(replace(bent if place % 2 else open_key, time=time) for place, time in enumerate(times[:-1]))
    keys += (replace(open_key, time=1.0),)
    return Gesture(keys, keys, lasts=0.75)


UNSEEN: dict[str, Gesture] = {"Dab": _dab(), "Air Quotes": _air_quotes()}


@contextmanager
def _performed() -> Iterator[None]:
    """The renderer's table with these gestures in it."""
    GESTURES.update(UNSEEN)
    try:
        yield
    finally:
        for name in UNSEEN:
            del GESTURES[name]


def render_unseen(spec: ClipSpec, size: int | tuple[int, int] = 64) -> NDArray[np.uint8]:
    """frames_FHWC of a clip that may show gestures of `UNSEEN`, as `vmc.mini.world.renderer.render`."""
    with _performed():
        return render(spec, size)
