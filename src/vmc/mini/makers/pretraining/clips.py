"""The clips of pretraining, rendered once into shards in the cache and mapped into memory.

A clip gives `WINDOWS` windows of eight frames, chosen as the customisation's data chooses them; a shard is an array of
CLIPS_A_SHARD x WINDOWS windows. What a shard holds depends on the renderer and on this module alone, never on a seed.

Axes: N windows, F frames, H and W pixels, C = 3 colours.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vmc.data.co3d import with_article
from vmc.data.frames import even_times, window
from vmc.mini.world.captions import RARE_SHARE, caption
from vmc.mini.world.gestures import KNOWN
from vmc.mini.world.hashing import renderer_hash
from vmc.mini.world.internet import PAINTS
from vmc.mini.world.objects import OBJECTS, ObjectSpec, render_object
from vmc.mini.world.people import Person
from vmc.mini.world.renderer import FPS, ClipSpec, Framing, render
from vmc.mini.world.specs import Variety, sample_clip
from vmc.tools.learning.shards import open_array, shard_files, write_shards
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root
from vmc.utils.randomness import generator

FRAMES, STEP, SIZE = 8, 4, 64
"""Frames of a window, source frames from one to the next, pixels of a side: as the miniature's configs have them."""
WINDOWS = 2
CLIPS_A_SHARD = 250
LENGTHS = (24, 40)
"""Shortest and longest clip: a window shows 29 frames, and a shorter clip would mostly show its last frame."""
VARIETY = Variety(still=0.06, two_people=0.06, tempo=0.10, sequence=0.04)
"""Enough that the base model can draw two people, tempo and sequences, and five clips of six are one known gesture."""
VALIDATION = 1_000_000
"""Numbers from here on are clips that are measured and never trained on."""
WEBCAM = 2_000_000
"""Numbers from here on are clips of a camera that stands still before the person, as a webcam does.

In the others framing, distance and drift of the camera vary, and of how a latent differs from its mean over time the
gesture explains 0.2 %; here 0.9 %. The UNet begins to read gestures where they explain more.
"""
PLAIN = 3_000_000
"""Numbers from here on are clips before a webcam in which a gesture is done as it is written: by the hand on the right,
with usual reach, amplitude and pace, from about the same moment on. Here the gesture explains 4 %, and more where few
persons are seen: every other such clip is of one of `MODELS` persons in their place.
"""
PLAIN_LENGTHS = (29, 33)
MODELS = 24
MIXED = 4_000_000
"""Numbers from here on are clips of two people, of slow and quick gestures and of two in a row, for what follows
pretraining: every other one of the web's framings, the others before a webcam by people who do as it is written.
"""
MIXED_VARIETY = Variety(still=0.0, two_people=0.36, tempo=0.75, sequence=0.3)
"""A quarter of the clips is slow or quick, a twelfth ordinary: whether that is so is drawn where the rest is not."""
THINGS = 5_000_000
"""Numbers from here on are clips of objects at rest: none of them turns, and no camera goes round one."""
CAPTIONS = ("{}", "{} on a table", "A video of {}", "A video of {} on a table", "A camera looking at {}")
"""Of an object, its color and name with an article."""


def spec_of(number: int) -> ClipSpec:
    """Clip `number` of pretraining: one of the known gestures, as the web films it."""
    if number >= MIXED:
        return _mixed(number)
    if number >= PLAIN:
        return _plain(number)
    framing: Framing = "webcam" if number >= WEBCAM else "web"
    return sample_clip("pretraining", number, gestures=KNOWN, framing=framing, frames=LENGTHS, variety=VARIETY)


def _plain(number: int) -> ClipSpec:
    spec = sample_clip("pretraining", number, gestures=KNOWN, framing="webcam", frames=PLAIN_LENGTHS)
    if number % 2:
        model = sample_clip("pretraining", PLAIN + number // 2 % MODELS)
        spec = replace(spec, persons=model.persons, place=model.place)
    return replace(spec, persons=tuple(map(_as_written, spec.persons)))


def _as_written(person: Person) -> Person:
    traits = replace(person.traits, side=1, reach_x=0.0, reach_y=0.0, amplitude=1.0, pace=1.0, lag=0.5)
    return replace(person, traits=traits)


def _mixed(number: int) -> ClipSpec:
    framing: Framing = "web" if number % 2 else "webcam"
    lengths = LENGTHS if framing == "web" else PLAIN_LENGTHS
    spec = sample_clip("pretraining", number, gestures=KNOWN, framing=framing, frames=lengths, variety=MIXED_VARIETY)
    return spec if framing == "web" else replace(spec, persons=tuple(map(_as_written, spec.persons)))


def thing_of(number: int) -> ObjectSpec:
    """The object of clip `number`, in any of its colors and from any side, nearing or not."""
    draw = generator("pretraining", number, "thing")
    category, color = (names[int(torch.randint(len(names), (), generator=draw))] for names in (tuple(OBJECTS), PAINTS))
    zoom = 0.85 + 0.35 * float(torch.rand((), generator=draw))
    return ObjectSpec(category=category, color=color, turn=0.0, frames=LENGTHS[0], zoom=zoom, seed=number)


def caption_of(number: int, seed: int, *, rare_share: float = RARE_SHARE) -> str:
    """A caption of clip `number`, one of many."""
    if number < THINGS:
        return caption(spec_of(number), seed, rare_share=rare_share)
    thing, draw = thing_of(number), generator(seed, "caption of a thing")
    text = with_article(f"{thing.color} {thing.category}")
    return CAPTIONS[int(torch.randint(len(CAPTIONS), (), generator=draw))].format(text)


def render_windows(number: int) -> NDArray[np.uint8]:
    """frames_NFHWC of a clip, N = `WINDOWS`; of a still portrait all frames are equal."""
    frames_FHWC = render_object(thing_of(number), SIZE) if number >= THINGS else render(spec_of(number), SIZE)
    chosen = [_indices(number, index, len(frames_FHWC)) for index in range(WINDOWS)]
    return frames_FHWC[np.array(chosen)]


def render_clips(numbers: Sequence[int]) -> NDArray[np.uint8]:
    """frames_NFHWC of the windows of clips."""
    return np.concatenate([render_windows(number) for number in numbers])


def _indices(number: int, index: int, total: int) -> tuple[int, ...]:
    draw = generator("pretraining", number, index, "window")
    return window(even_times(total, FPS), frames=FRAMES, fps=FPS / STEP, start="random", generator=draw).indices


@dataclass(frozen=True)
class Clips:
    """Consecutive clips in shards.

    Args:
        count: how many.
        first: the number of the first.
    """

    count: int
    first: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise VmcError(f"--clips is {self.count}; it must be at least 1")

    def __len__(self) -> int:
        """Windows in all."""
        return self.count * WINDOWS

    @cached_property
    def folder(self) -> Path:
        """Where the shards lie; another renderer has another folder."""
        parts = ("objects",) if self.first >= THINGS else ()
        settings = (renderer_hash(*parts), FRAMES, STEP, SIZE, WINDOWS, CLIPS_A_SHARD, LENGTHS, VARIETY)
        key = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        return cache_root() / "mini" / f"pretraining-{key}"

    @property
    def shards(self) -> list[tuple[Path, range]]:
        """File and clip numbers of every shard."""
        return shard_files(self.folder / "clips", self.first, self.count, CLIPS_A_SHARD)

    def number(self, index: int) -> int:
        """The clip that window `index` is of."""
        return self.first + index // WINDOWS

    def prepare(self, *, workers: int, enough: Callable[[], bool] = lambda: False) -> bool:
        """Render the shards that are missing; whether all are there. `enough` is asked after each shard."""
        return write_shards(render_clips, self.shards, name="rendering clips", workers=workers, enough=enough)

    @cached_property
    def _arrays(self) -> list[NDArray[np.uint8]]:
        return [open_array(path, (len(part) * WINDOWS, FRAMES, SIZE, SIZE, 3)) for path, part in self.shards]

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """frames_NFHWC of the windows wanted."""
        places = [divmod(index, CLIPS_A_SHARD * WINDOWS) for index in indices]
        return np.stack([self._arrays[shard][row] for shard, row in places])
