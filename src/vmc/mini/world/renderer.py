"""Draws clips: one or two people before a background, doing gestures.

Everything is a pure function of a `ClipSpec`. Pictures are painted three or four times too large and averaged down,
which makes smooth edges; the camera is the window that is averaged.

Axes: F frames, H, W pixels, C = 3 colours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vmc.mini.world.arms import PaintedArm, draw_arm, paint_arm
from vmc.mini.world.body import draw_body
from vmc.mini.world.head import draw_behind, draw_head
from vmc.mini.world.motion import Motion, Tempo, perform, resting
from vmc.mini.world.pen import Pen
from vmc.mini.world.people import Person, generator
from vmc.mini.world.places import draw_place
from vmc.mini.world.poses import SCALE, X, Y
from vmc.utils.errors import VmcError

Framing = Literal["webcam", "web"]
View: TypeAlias = tuple[float, float, float]
"""Pixels per picture height, and the pixel place (x, y) of the origin."""
Layer: TypeAlias = tuple[Image.Image, tuple[int, int]]
"""A picture with alpha, and where its corner lies."""
FPS = 12
"""Frames a second, as in Jester."""
MIN_FRAMES, MAX_FRAMES = 12, 40
"""Lengths of moving clips; a still portrait has one frame."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """All that decides a clip.

    Attributes:
        persons: one person or two; two do the same gestures, each in their own way.
        gestures: names from `vmc.mini.world.gestures.LABELS`, done one after another; none leaves hands at rest.
        place: background from `vmc.mini.world.vocabulary`.
        framing: `webcam` is fixed and close to Jester's, `web` varies distance, offset and drift of the camera.
        frames: 1 (a still portrait) or 12 to 40, at 12 a second.
        tempo: `slow` fills the whole clip with the gesture, `quick` halves its time.
        hands_alpha: visibility of what the arms do, 1 = as it is, 0 = hands rest; between, both show through.
        noise: standard deviation of the camera's noise, in 255ths.
        seed: decides timing, camera, light and noise of this one clip.
    """

    persons: tuple[Person, ...]
    gestures: tuple[str, ...] = ()
    place: str = "in front of a white wall"
    framing: Framing = "webcam"
    frames: int = 16
    tempo: Tempo = "normal"
    hands_alpha: float = 1.0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.persons) <= 2:
            raise VmcError(f"a clip shows one person or two, not {len(self.persons)}")
        if self.frames != 1 and not MIN_FRAMES <= self.frames <= MAX_FRAMES:
            raise VmcError(f"a clip has 1 frame or {MIN_FRAMES} to {MAX_FRAMES}, not {self.frames}")
        if not 0 <= self.hands_alpha <= 1:
            raise VmcError(f"hands_alpha is {self.hands_alpha}; it must lie between 0 (unseen) and 1")


@dataclass(frozen=True)
class _Camera:
    """The window on the scene in every frame, (F, 4): left, top, right, bottom in picture heights."""

    windows_F4: NDArray[np.float64]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """What all windows together see."""
        low, high = self.windows_F4.min(axis=0), self.windows_F4.max(axis=0)
        return float(low[0]), float(low[1]), float(high[2]), float(high[3])


@dataclass(frozen=True)
class _Actor:
    """One person ready to be painted: still layers with their places, and what moves."""

    behind: Layer | None
    body: Layer | None
    head: Layer | None
    motion: Motion
    arms: tuple[PaintedArm, ...]
    resting_arms: tuple[PaintedArm, ...]
    pen_view: View


def render(spec: ClipSpec, size: int | tuple[int, int] = 64) -> NDArray[np.uint8]:
    """frames_FHWC, uint8: the clip at `size` pixels, (height, width) or the side of a square.

    The same specification and size give the same bytes.

    Raises:
        VmcError: a gesture or place that does not exist, or a size below 16 pixels.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 16:
        raise VmcError(f"a clip of {height}x{width} pixels is too small to be seen; ask for 16 at least")
    random = generator("clip", spec.seed)
    camera = _camera(spec, width / height, generator("camera", spec.seed))
    finest = float((camera.windows_F4[:, 3] - camera.windows_F4[:, 1]).min())
    pixels = (4 if height <= 72 else 3) * height / finest
    left, top, right, bottom = camera.bounds
    canvas = Image.new("RGB", (math.ceil((right - left) * pixels) + 2, math.ceil((bottom - top) * pixels) + 2))
    view = (pixels, -left * pixels + 1, -top * pixels + 1)
    draw_place(Pen(ImageDraw.Draw(canvas), *view), spec.place, generator("place", spec.seed))
    actors = [_prepare(spec, person, index, canvas.size, view, random) for index, person in enumerate(spec.persons)]
    frames_FHWC = np.empty((spec.frames, height, width, 3), dtype=np.uint8)
    scale_4 = np.array([pixels] * 4)
    shift_4 = np.array([view[1], view[2]] * 2)
    for frame in range(spec.frames):
        picture = _paint(canvas, actors, frame, spec.hands_alpha)
        left, top, right, bottom = (camera.windows_F4[frame] * scale_4 + shift_4).tolist()
        box = (left, top, right, bottom)
        frames_FHWC[frame] = np.asarray(picture.resize((width, height), Image.Resampling.BOX, box=box))
    return _light(frames_FHWC, spec, generator("light", spec.seed))


def _camera(spec: ClipSpec, aspect: float, random: Generator) -> _Camera:
    """A webcam stands still near the same place; a web-like camera chooses its distance and drifts."""
    if spec.framing == "webcam":
        height, x, y, drift_2, zoom = random.uniform(0.97, 1.04), *random.uniform(-0.025, 0.025, 2), np.zeros(2), 0.0
    else:
        height = random.uniform(0.84, 1.22) if len(spec.persons) == 1 else random.uniform(0.95, 1.15)
        x, y = random.uniform(-0.09, 0.09), random.uniform(-0.04, 0.03)
        drift_2, zoom = random.uniform(-0.05, 0.05, 2) * (random.random() < 0.6), random.uniform(-0.07, 0.07)
    part_F1 = np.linspace(-0.5, 0.5, spec.frames)[:, None] if spec.frames > 1 else np.zeros((1, 1))
    center_F2 = np.array([x, 0.5 + y + 0.06 * (1.0 - height)]) + part_F1 * drift_2
    half_F = 0.5 * height * (1.0 + part_F1[:, 0] * zoom)
    half_F2 = np.stack([half_F * aspect, half_F], axis=-1)
    return _Camera(np.concatenate([center_F2 - half_F2, center_F2 + half_F2], axis=-1))


def _stand(spec: ClipSpec, index: int, random: Generator) -> tuple[float, float, float]:
    """(size, x, y) of a person: where its own origin lies in the scene."""
    size = random.uniform(0.95, 1.05)
    if len(spec.persons) == 2:
        size = 0.70 * random.uniform(0.96, 1.04)
        return size, (-0.27, 0.27)[index] + random.uniform(-0.02, 0.02), 1.0 - size
    x = random.uniform(-0.04, 0.04)
    return size, x, (1.0 - size) * 0.6 + random.uniform(-0.015, 0.02)


def _layer(size: tuple[int, int], view: View, drawing: Callable[[Pen, Person], None], person: Person) -> Layer | None:
    """What `drawing` paints, cut to its own box: (picture with alpha, place), or none."""
    picture = Image.new("RGBA", size)
    drawing(Pen(ImageDraw.Draw(picture), *view), person)
    box = picture.getbbox()
    return (picture.crop(box), (box[0], box[1])) if box else None


def _prepare(
    spec: ClipSpec, person: Person, index: int, size: tuple[int, int], view: View, random: Generator
) -> _Actor:
    """Still layers and moving polygons of one person."""
    pixels, left, top = view
    scale, x, y = _stand(spec, index, random)
    own = (pixels * scale, left + pixels * x, top + pixels * y)
    motion = perform(spec.gestures, spec.frames, traits=person.traits, tempo=spec.tempo, random=random)
    arms = tuple(
        paint_arm(hand.poses_FC, person=person, side=hand.side, swapped_F=hand.swapped_F, view=own)
        for hand in reversed(motion.hands)
    )
    resting_arms = tuple(
        paint_arm(resting(1, side), person=person, side=side, swapped_F=np.zeros(1, dtype=np.bool_), view=own)
        for side in ((-1, 1) if spec.hands_alpha < 1 else ())
    )
    return _Actor(
        behind=_layer(size, own, draw_behind, person),
        body=_layer(size, own, draw_body, person),
        head=_layer(size, own, draw_head, person),
        motion=motion,
        arms=arms,
        resting_arms=resting_arms,
        pen_view=own,
    )


def _paint(canvas: Image.Image, actors: list[_Actor], frame: int, hands_alpha: float) -> Image.Image:
    """One frame at the size of the canvas."""
    picture = canvas.copy()
    for actor in actors:
        nod = actor.motion.head_F2[frame] * actor.pen_view[0]
        for layer, moves in ((actor.behind, True), (actor.body, False), (actor.head, True)):
            if layer is not None:
                image, (x, y) = layer
                place = (x + round(float(nod[0])), y + round(float(nod[1]))) if moves else (x, y)
                picture.paste(image, place, image)
    faded = picture.copy() if hands_alpha < 1 else None
    draw = ImageDraw.Draw(picture)
    for actor in actors:
        for arm in sorted(actor.arms, key=lambda painted: float(painted.near_F[frame])):
            if arm is actor.arms[-1]:
                _draw_prop(Pen(draw, *actor.pen_view), actor, frame)
            draw_arm(draw, arm, frame)
    if faded is None:
        return picture
    for actor in actors:
        for arm in actor.resting_arms:
            draw_arm(ImageDraw.Draw(faded), arm, 0)
    return Image.blend(faded, picture, hands_alpha)


def _draw_prop(pen: Pen, actor: _Actor, frame: int) -> None:
    """The cup or telephone in the leading hand, under its fingers."""
    hand = actor.motion.hands[0]
    x, y, scale = (float(hand.poses_FC[frame, column]) for column in (X, Y, SCALE))
    x -= 0.03 * hand.side
    if hand.prop == "cup":
        pen.box(x - 0.062 * scale, y - 0.105, x + 0.062 * scale, y + 0.075, (60, 50, 50), 0.012)
        pen.box(x - 0.05 * scale, y - 0.093, x + 0.05 * scale, y + 0.063, (250, 250, 250), 0.012)
    elif hand.prop == "phone":
        pen.box(x - 0.045, y - 0.125, x + 0.045, y + 0.11, (24, 24, 30), 0.015)
        pen.box(x - 0.03, y - 0.105, x + 0.03, y + 0.085, (90, 170, 230), 0.01)


def _light(frames_FHWC: NDArray[np.uint8], spec: ClipSpec, random: Generator) -> NDArray[np.uint8]:
    """The room's light, the same in all frames, and the camera's noise."""
    gain_C = random.uniform(0.93, 1.06) * random.uniform(0.985, 1.015, 3)
    table = np.clip(np.arange(256)[:, None] * gain_C + 0.5, 0, 255).astype(np.uint8)
    for channel in range(3):
        frames_FHWC[..., channel] = table[:, channel][frames_FHWC[..., channel]]
    if not spec.noise:
        return frames_FHWC
    noise_FHWC = random.standard_normal(frames_FHWC.shape, dtype=np.float32) * np.float32(spec.noise)
    return np.clip(frames_FHWC + noise_FHWC + 0.5, 0, 255).astype(np.uint8)
