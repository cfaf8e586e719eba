"""The clips that the classifier learns from and is measured on, and the label of each.

A clip gives `VIEWS` views of eight frames. Hands that are faint or all but out of the picture are "No gesture": a
generated video in which hands barely show has not learned its motion.

Axes: N clips, V views, F frames, H and W pixels, C = 3 colours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vmc.data.frames import even_times, window
from vmc.metrics.networks.trn import SEGMENTS, segment_indices
from vmc.mini.world.gestures import GESTURES, LABELS
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.people import generator
from vmc.mini.world.renderer import FPS, ClipSpec, Framing, render
from vmc.mini.world.specs import Variety, sample_clip
from vmc.tools.learning.shards import Shards
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator as torch_generator

STEP, SIZE = 4, 64
"""Source frames from one of a window to the next, and pixels of a side: as the miniature's configs have them."""
WINDOW, WHOLE = 0, 1
VIEWS = 2
"""`WINDOW`: as the customisation's data chooses frames. `WHOLE`: a frame of each eighth, as TRN reads a video."""
LENGTHS = (24, 40)
QUICK_FRAMES = 30
"""Longest quick clip, so that a window cannot miss its action."""
VARIETY = Variety(still=0.01, two_people=0.06, tempo=0.10, sequence=0.0)
FADED, PALE, LOWERED = 0.07, 0.03, 0.02
"""Shares of training clips with faint hands, with hands a little pale, and with hands below the picture's edge."""
FAINT_ALPHA, PALE_ALPHA = (0.05, 0.5), (0.85, 1.0)
"""Visibility of hands that are "No gesture", and of hands that still do their gesture."""
LOWERED_Y = (1.10, 1.20)
"""Height of the gesture's highest pose, in picture heights from the top: fingertips may show."""
WEBCAM = 0.6
"""Share of clips framed as Jester's; the rest is framed as the base model's own videos."""
VALIDATION, FAINT, END = 900_000, 950_000, 1_000_000
"""Clips from `VALIDATION` on are never trained on; those from `FAINT` on are all faded."""
NO_GESTURE = LABELS.index("No gesture")


class LabeledClip(NamedTuple):
    """What is drawn, and the index of its label in `LABELS`."""

    spec: ClipSpec
    label: int


def labeled_clip(number: int) -> LabeledClip:
    """Clip `number` of the classifier's pool; consecutive ones go through all gestures.

    Raises:
        VmcError: the number is out of range.
    """
    if not 0 <= number < END:
        raise VmcError(f"the classifier has no clip {number}; its numbers go from 0 to {END - 1}")
    random = generator("classifier clip", number)
    label = number % len(LABELS)
    framing: Framing = "webcam" if random.random() < WEBCAM else "web"
    spec = sample_clip(
        "classifier", number, gestures=LABELS[label : label + 1], framing=framing, frames=LENGTHS, variety=VARIETY
    )
    if spec.tempo == "quick":
        spec = replace(spec, frames=min(spec.frames, QUICK_FRAMES))
    if not spec.gestures:
        return LabeledClip(spec, NO_GESTURE)
    special = random.random() if number < VALIDATION else float(number < FAINT)
    if special < FADED:
        return LabeledClip(replace(spec, hands_alpha=float(random.uniform(*FAINT_ALPHA))), NO_GESTURE)
    if special < FADED + PALE:
        return LabeledClip(replace(spec, hands_alpha=float(random.uniform(*PALE_ALPHA))), label)
    if special < FADED + PALE + LOWERED:
        return LabeledClip(_lowered(spec, random), NO_GESTURE)
    return LabeledClip(spec, label)


def _lowered(spec: ClipSpec, random: Generator) -> ClipSpec:
    """The same clip with all that hands do moved down, its highest pose below the edge."""
    keys = [key for name in spec.gestures for key in (*GESTURES[name].keys, *GESTURES[name].other)]
    highest = min((key.y for key in keys), default=0.5)
    reach = float(random.uniform(*LOWERED_Y)) - highest
    persons = (replace(person, traits=replace(person.traits, reach_y=reach)) for person in spec.persons)
    return replace(spec, persons=tuple(persons))


def render_views(number: int) -> NDArray[np.uint8]:
    """frames_VFHWC of a clip."""
    frames_FHWC = render(labeled_clip(number).spec, SIZE)
    draw = torch_generator("classifier", number, "window")
    chosen = window(
        even_times(len(frames_FHWC), FPS), frames=SEGMENTS, fps=FPS / STEP, start="random", generator=draw
    ).indices
    return frames_FHWC[np.array([chosen, _whole(number, len(frames_FHWC))])]


def _whole(number: int, frames: int) -> tuple[int, ...]:
    """A frame of each eighth of the clip: any in training, the middle one in validation."""
    if number >= VALIDATION:
        return tuple(segment_indices(frames))
    parts = generator("classifier segments", number).uniform(0.1, 0.9, SEGMENTS)
    return tuple(int(frames * (place + part) / SEGMENTS) for place, part in enumerate(parts))


def render_all(numbers: Sequence[int]) -> NDArray[np.uint8]:
    """frames_NVFHWC of clips."""
    return np.stack([render_views(number) for number in numbers])


def rendered(count: int, first: int = 0) -> Shards:
    """Clips from number `first` on, an item each."""
    drawn = (VARIETY, FADED, PALE, LOWERED, FAINT_ALPHA, PALE_ALPHA, LOWERED_Y, WEBCAM, LENGTHS, QUICK_FRAMES, STEP)
    return Shards(
        name="classifier clips",
        make=render_all,
        shape=(VIEWS, SEGMENTS, SIZE, SIZE, 3),
        settings=(renderer_hash(), *drawn),
        count=count,
        first=first,
    )
