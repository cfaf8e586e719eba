"""From a gesture's key poses to the poses of one person's hands in every frame of a clip.

Axes: F frames, C columns of a pose (see `vmc.mini.world.poses`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vmc.mini.world.activities import ACTIVITIES
from vmc.mini.world.gestures import GESTURES, Gesture, Key, Wave
from vmc.mini.world.people import Traits
from vmc.mini.world.poses import INDEX, LITTLE, RELAXED, ROLL, SCALE, SHAPE, Floats, X, Y, interpolate, mirrored
from vmc.utils.errors import VmcError

Tempo = Literal["normal", "slow", "quick"]
REST_X, REST_Y = 0.33, 1.24
"""Where hands hang when they rest: below the picture of a webcam."""
_MOVE = 0.11
"""Share of the clip that raising or lowering a hand takes."""


@dataclass(frozen=True)
class HandTrack:
    """One hand in all frames.

    Attributes:
        poses_FC: its poses.
        side: the side it belongs to, 1 = picture's right, -1 = left.
        swapped_F: whether the thumb is on the hand's other side.
        prop: a thing in the hand.
    """

    poses_FC: Floats
    side: int
    swapped_F: NDArray[np.bool_]
    prop: str = ""


@dataclass(frozen=True)
class Motion:
    """Both hands, and how far the head is from its place (F, 2), in picture heights."""

    hands: tuple[HandTrack, HandTrack]
    head_F2: Floats


def perform(names: tuple[str, ...], frames: int, *, traits: Traits, tempo: Tempo, random: Generator) -> Motion:
    """The motion of one person who does the gestures one after another, each in an equal part of the clip.

    Args:
        names: gestures from `vmc.mini.world.gestures.LABELS`; none leaves the hands at rest.
        frames: F, at least 1.
        traits: the person's habits of side, reach, amplitude and pace.
        tempo: how much of its part of the clip a gesture fills.
        random: decides this clip's own variation.

    Raises:
        VmcError: a gesture that does not exist.
    """
    time_F = np.linspace(0.0, 1.0, frames, dtype=np.float32) if frames > 1 else np.full(1, 0.5, dtype=np.float32)
    side = traits.side
    lead_FC, other_FC = resting(frames, side), resting(frames, -side)
    swapped_F = np.zeros(frames, dtype=np.bool_)
    prop, nods = "", 1.0
    for index, name in enumerate(names):
        gesture = _gesture(name, random)
        local_F = time_F * len(names) - index
        inside_F = (local_F >= 0) & ((local_F < 1) | (index == len(names) - 1))
        lead, other = _hands(gesture, local_F, traits=traits, tempo=tempo, random=random)
        lead_FC[inside_F], other_FC[inside_F] = lead[inside_F], other[inside_F]
        swapped_F[inside_F] = gesture.swapped
        prop, nods = prop or gesture.prop, max(nods, gesture.nods)
    hands = (HandTrack(lead_FC, side, swapped_F, prop), HandTrack(other_FC, -side, np.zeros_like(swapped_F)))
    return Motion(hands, _nod(time_F, nods, random))


def _gesture(name: str, random: Generator) -> Gesture:
    if name not in GESTURES:
        raise VmcError(f"there is no gesture {name!r}; choose one of {', '.join(sorted(GESTURES))}")
    if name == "Doing other things":
        return list(ACTIVITIES.values())[int(random.integers(len(ACTIVITIES)))]
    return GESTURES[name]


def resting(frames: int, side: int) -> Floats:
    """poses_FC of a hand at rest on the picture's right (`side` = 1) or left (-1)."""
    row = np.array(Key(0.0, REST_X * side, REST_Y, RELAXED, yaw=90.0).row(), dtype=np.float32)
    return np.repeat(row[None], frames, axis=0)


def _nod(time_F: Floats, size: float, random: Generator) -> Floats:
    """A slow sway of the head, at most a few hundredths of the picture's height."""
    phase_2, cycles_2 = random.uniform(0, 1, 2), random.uniform(0.4, 1.3, 2)
    sway_F2 = np.sin(2 * np.pi * (time_F[:, None] * cycles_2 + phase_2))
    return np.asarray(sway_F2 * size * np.array([0.007, 0.005]), dtype=np.float32)


def _window(gesture: Gesture, traits: Traits, tempo: Tempo, random: Generator) -> tuple[float, float, float]:
    """(begin, end, time to raise or lower the hand) of the action, as shares of the clip."""
    if tempo == "slow":
        return 0.09, 0.93, 0.08
    lasts = gesture.lasts * traits.pace * random.uniform(0.93, 1.07) * (0.5 if tempo == "quick" else 1.0)
    lasts = min(lasts, 1.0 - 2 * _MOVE)
    begin = _MOVE + (1.0 - 2 * _MOVE - lasts) * min(max(traits.lag + random.uniform(-0.2, 0.2), 0.0), 1.0)
    return begin, begin + lasts, _MOVE


def _hands(
    gesture: Gesture, time_F: Floats, *, traits: Traits, tempo: Tempo, random: Generator
) -> tuple[Floats, Floats]:
    """poses_FC of the leading and of the other hand while the gesture is done."""
    side = traits.side
    window = _window(gesture, traits, tempo, random)
    amplitude = traits.amplitude * random.uniform(0.94, 1.06)
    reach = (traits.reach_x + random.uniform(-0.015, 0.015), traits.reach_y + random.uniform(-0.015, 0.015))
    poses = []
    for keys, wave, hand in ((gesture.keys, gesture.wave, side), (gesture.other, gesture.other_wave, -side)):
        if not keys:
            poses.append(resting(len(time_F), hand))
            continue
        mirror_place, mirror_turn = hand < 0 and not gesture.directed, hand < 0 and not gesture.directed_turn
        keys_KC = np.array([key.row() for key in keys], dtype=np.float32)
        middle_C = keys_KC.mean(axis=0)
        moved = [X, Y, SCALE]
        keys_KC[:, moved] = middle_C[moved] + amplitude * (keys_KC[:, moved] - middle_C[moved])
        keys_KC[:, Y] += reach[1]
        if not gesture.other:
            keys_KC[:, X] += reach[0] * (hand if gesture.directed else 1)
        keys_KC = mirrored(keys_KC, place=mirror_place, turn=mirror_turn)
        poses_FC = _with_rests(keys_KC, [key.time for key in keys], time_F, window, hand)
        if wave is not None:
            _add_wave(poses_FC, wave, (time_F - window[0]) / (window[1] - window[0]), amplitude)
        poses.append(poses_FC)
    return poses[0], poses[1]


def _with_rests(
    keys_KC: Floats, times: list[float], time_F: Floats, window: tuple[float, float, float], hand: int
) -> Floats:
    """The key poses within the action's window, the hand rising into the first and falling from the last."""
    begin, end, move = window
    rests = []
    for key_C in (keys_KC[0], keys_KC[-1]):
        rest_C = key_C.copy()
        rest_C[X], rest_C[Y], rest_C[SCALE] = REST_X * hand, REST_Y, 1.0
        rest_C[SHAPE] = 0.5 * (rest_C[SHAPE] + np.array(RELAXED, dtype=np.float32))
        rests.append(rest_C)
    moments = [begin - move, *(begin + time * (end - begin) for time in times), end + move]
    return interpolate(time_F, moments, np.stack([rests[0], *keys_KC, rests[1]]))


def _add_wave(poses_FC: Floats, wave: Wave, part_F: Floats, amplitude: float) -> None:
    """Adds an oscillation in place while the action lasts; `part_F` is the share of the action that is over."""
    inside_F = np.clip(np.minimum(part_F, 1 - part_F) * 10 + 0.5, 0.0, 1.0)
    turn_F = 2 * np.pi * (wave.cycles * np.clip(part_F, 0.0, 1.0) + wave.phase)
    size_F = wave.size * amplitude * inside_F
    if wave.kind == "shake":
        poses_FC[:, ROLL] += size_F * np.sin(turn_F)
        poses_FC[:, X] += size_F * 0.0017 * np.sin(turn_F)
    elif wave.kind == "drum":
        for place, finger in enumerate(range(INDEX, LITTLE + 1)):
            lifted_F = np.maximum(np.sin(turn_F - place * np.pi / 2), 0.0)
            poses_FC[:, finger] += wave.size * inside_F * lifted_F
    elif wave.kind == "orbit":
        poses_FC[:, Y] -= size_F * np.cos(turn_F)
        poses_FC[:, SCALE] *= 1.0 + 0.32 * inside_F * np.sin(turn_F)
    elif wave.kind == "rub":
        poses_FC[:, Y] += size_F * np.sin(turn_F)
