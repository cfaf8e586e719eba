"""Draws solids on a table, seen by a camera that goes round them: what stands for CO3D's objects (paper, Fig. 4).

Axes: F frames, N points of a face, H, W pixels, C = 3 colors. Space is in object heights: x to the right, y up, z to
the camera at angle 0; the table is the plane y = 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vmc.mini.world.pen import Rgb, mix, shade
from vmc.mini.world.people import generator
from vmc.mini.world.poses import Floats
from vmc.mini.world.vocabulary import COLORS
from vmc.utils.errors import VmcError

SIDES = 16
"""Of a turned solid."""
PAINTED = range(5)
"""Sides of a turned solid that are painted in the second color, so that its turning is seen."""
DISTANCE, FOCAL = 4.2, 2.35
"""Of the camera from the middle of the object, and its focal length in picture heights."""
MIDDLE = 0.45
"""Height of what the camera looks at."""


class Face(NamedTuple):
    """A flat part of a solid, its corners counterclockwise as seen from outside."""

    points_N3: Floats
    second: bool = False  # painted in the second color


@dataclass(frozen=True, kw_only=True)
class ObjectSpec:
    """All that decides a clip of an object.

    Attributes:
        category: one of `OBJECTS`.
        color: its name in `vmc.mini.world.vocabulary`.
        turn: degrees that the camera goes round from the first frame to where the next after the last would be; an
            object at rest has 0, and a negative one goes the other way.
        frames: how many are drawn.
        zoom: how much larger the object is in the last frame than in the first, a factor.
        seed: decides the first angle, the camera's height, table, wall, sizes and light.
    """

    category: str
    color: str
    turn: float = 360.0
    frames: int = 48
    zoom: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.category not in OBJECTS:
            raise VmcError(f"there is no object {self.category!r}; choose one of {', '.join(OBJECTS)}")
        if self.color not in COLORS:
            raise VmcError(f"there is no color {self.color!r}; choose one of {', '.join(COLORS)}")


# --- solids -----------------------------------------------------------------------------------------------------------


def _block(x: float, y: float, z: float, size: tuple[float, float, float], second: Sequence[int] = ()) -> list[Face]:
    """A box about (x, z) that stands at the height y; sides front, right, back, left, top and bottom."""
    width, height, depth = size
    low, high = np.array([x - width / 2, y, z - depth / 2]), np.array([x + width / 2, y + height, z + depth / 2])
    corners = np.array([[(low, high)[place >> axis & 1][axis] for axis in range(3)] for place in range(8)])
    sides = ((4, 5, 7, 6), (5, 1, 3, 7), (1, 0, 2, 3), (0, 4, 6, 2), (6, 7, 3, 2), (0, 1, 5, 4))
    return [Face(corners[list(side)].astype(np.float32), place in second) for place, side in enumerate(sides)]


def _turned(*profile: tuple[float, float], sides: int = SIDES, painted: Sequence[int] = PAINTED) -> list[Face]:
    """A solid turned about the upright axis, of (radius, height) from its foot to its top."""
    angles = 2 * np.pi * np.arange(sides + 1) / sides
    rings = [np.stack([r * np.sin(angles), np.full(sides + 1, h), r * np.cos(angles)], axis=-1) for r, h in profile]
    faces = [
        Face(np.stack([low[side], low[side + 1], high[side + 1], high[side]]).astype(np.float32), side in painted)
        for low, high in pairwise(rings)
        for side in range(sides)
    ]
    return [*faces, Face(rings[-1][:-1].astype(np.float32))]


def _box() -> list[Face]:
    return _block(0, 0, 0, (0.95, 0.8, 0.65), second=(0,))


def _pyramid() -> list[Face]:
    return _turned((0.72, 0.0), (0.01, 1.0), sides=4, painted=(0,))


def _chair() -> list[Face]:
    legs = [face for x in (-0.24, 0.24) for z in (-0.24, 0.24) for face in _block(x, 0, z, (0.1, 0.42, 0.1))]
    back = _block(0, 0.52, -0.26, (0.6, 0.55, 0.1), second=range(6))
    return [*legs, *_block(0, 0.42, 0, (0.62, 0.1, 0.62)), *back]


def _cup() -> list[Face]:
    handle = [*_block(0.5, 0.18, 0, (0.22, 0.1, 0.14)), *_block(0.5, 0.52, 0, (0.22, 0.1, 0.14))]
    return [*_turned((0.36, 0.0), (0.42, 0.8)), *handle, *_block(0.63, 0.18, 0, (0.1, 0.44, 0.14))]


OBJECTS: dict[str, Callable[[], list[Face]]] = {
    "box": _box,
    "chair": _chair,
    "cone": lambda: _turned((0.5, 0.0), (0.01, 1.05)),
    "cup": _cup,
    "cylinder": lambda: _turned((0.4, 0.0), (0.4, 0.9)),
    "lamp": lambda: _turned((0.28, 0.0), (0.28, 0.07), (0.05, 0.08), (0.05, 0.5), (0.46, 0.5), (0.22, 1.05)),
    "pyramid": _pyramid,
    "vase": lambda: _turned((0.24, 0.0), (0.45, 0.35), (0.3, 0.7), (0.14, 0.85), (0.26, 1.0)),
}
"""How each object is built."""


# --- pictures ---------------------------------------------------------------------------------------------------------


def render_object(spec: ObjectSpec, size: int | tuple[int, int] = 64) -> NDArray[np.uint8]:
    """frames_FHWC, uint8, at `size` pixels, (height, width) or the side of a square; equal arguments, equal bytes."""
    height, width = (size, size) if isinstance(size, int) else size
    random = generator("object", spec.seed)
    start, rise = random.uniform(0, 360), math.radians(random.uniform(16, 30))
    scale, shift = random.uniform(0.88, 1.12), random.uniform(-0.04, 0.04, 2)
    wall, table = (mix(_pale(random), (255, 255, 255), 0.55), shade(_pale(random), random.uniform(0.5, 0.8)))
    gain = random.uniform(0.92, 1.08)
    faces = OBJECTS[spec.category]()
    colors = {False: COLORS[spec.color], True: mix(COLORS[spec.color], (250, 245, 235), 0.75)}
    large = 3 if min(height, width) > 72 else 4
    frames_FHWC = np.empty((spec.frames, height, width, 3), dtype=np.uint8)
    for frame in range(spec.frames):
        angle = math.radians(start + spec.turn * frame / spec.frames)
        grown = scale * spec.zoom ** (frame / max(spec.frames - 1, 1))
        view = _View(angle, rise, grown * min(height, width) * large, width * large, height * large, shift)
        picture = Image.new("RGB", (width * large, height * large), shade(wall, gain))
        draw = ImageDraw.Draw(picture)
        draw.polygon([tuple(point) for point in view.place(1.5 * CIRCLE_N3)[0]], fill=shade(table, gain))
        draw.polygon([tuple(point) for point in view.place(0.62 * CIRCLE_N3)[0]], fill=shade(table, 0.75 * gain))
        for points, color in view.visible(faces, colors, gain):
            draw.polygon(points, fill=color, outline=shade(color, 0.6))
        frames_FHWC[frame] = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    return frames_FHWC


_ANGLES = 2 * np.pi * np.arange(48) / 48
CIRCLE_N3: Floats = np.stack([np.sin(_ANGLES), np.zeros(48), np.cos(_ANGLES)], axis=-1).astype(np.float32)
"""On the table, of radius one."""


def _pale(random: np.random.Generator) -> Rgb:
    red, green, blue = (int(value) for value in random.integers(110, 220, 3))
    return red, green, blue


@dataclass(frozen=True)
class _View:
    """A camera at `angle` round the object and `rise` above its horizon (radians), and the picture's size in pixels."""

    angle: float
    rise: float
    pixels: float
    width: int
    height: int
    shift: NDArray[np.float64]

    def turn(self, points_N3: Floats) -> Floats:
        """Points as the camera sees them: x to the right, y up, z towards it."""
        x, y, z = points_N3[..., 0], points_N3[..., 1] - MIDDLE, points_N3[..., 2]
        right, near = _rotate(x, z, self.angle)
        near, up = _rotate(near, y, -self.rise)
        return np.stack([right, up, near], axis=-1)

    def place(self, points_N3: Floats) -> tuple[Floats, Floats]:
        """(points in pixels, points as the camera sees them)."""
        seen_N3 = self.turn(points_N3)
        near = FOCAL * self.pixels / (DISTANCE - seen_N3[..., 2:])
        middle = np.array([self.width / 2, self.height / 2]) + self.shift * self.pixels
        return middle + seen_N3[..., :2] * near * np.array([1, -1]), seen_N3

    def visible(
        self, faces: Sequence[Face], colors: dict[bool, Rgb], gain: float
    ) -> list[tuple[list[tuple[float, float]], Rgb]]:
        """The faces that look at the camera, the farthest first, lit from above and the camera's left."""
        found = []
        for face in faces:
            flat_N2, seen_N3 = self.place(face.points_N3)
            normal_3 = _normal(seen_N3)
            toward_3 = np.array([0, 0, DISTANCE]) - seen_N3.mean(0)
            if normal_3 @ toward_3 <= 0:
                continue
            light = 0.62 + 0.38 * max(float(normal_3 @ LIGHT), 0.0)
            points = [(float(x), float(y)) for x, y in flat_N2]
            found.append((float(seen_N3[:, 2].mean()), points, shade(colors[face.second], min(light * gain, 1.1))))
        return [(points, color) for _, points, color in sorted(found, key=lambda one: one[0])]


LIGHT = np.array([-0.55, 0.6, 0.58])
"""Where light comes from, as the camera sees it; of length one."""


def _rotate(first_N: Floats, second_N: Floats, angle: float) -> tuple[Floats, Floats]:
    """Both coordinates in their plane, turned by an angle in radians."""
    sin, cos = math.sin(angle), math.cos(angle)
    return cos * first_N - sin * second_N, sin * first_N + cos * second_N


def _normal(points_N3: Floats) -> Floats:
    """The direction that a face looks to, of length one; a corner may be a point that two share."""
    first, second = points_N3[2] - points_N3[0], points_N3[-1] - points_N3[1]
    normal_3 = np.cross(first, second)
    return np.asarray(normal_3 / max(float(np.linalg.norm(normal_3)), 1e-9), dtype=np.float32)
