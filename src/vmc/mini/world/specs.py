"""Clips drawn from pools: which person does what, where, before which camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from vmc.mini.world.gestures import LABELS
from vmc.mini.world.motion import Tempo
from vmc.mini.world.people import RESERVED_POOLS, RESERVED_SHARE, Pool, generator, sample_person
from vmc.mini.world.renderer import MAX_FRAMES, MIN_FRAMES, ClipSpec, Framing
from vmc.mini.world.vocabulary import PLACES, RESERVED_PLACES
from vmc.utils.randomness import derive_seed


@dataclass(frozen=True)
class Variety:
    """Shares of clips that are more than one person doing one gesture; the rest is ordinary.

    Attributes:
        still: portraits of one frame with hands at rest.
        two_people: both do the same gesture.
        tempo: slow or quick.
        sequence: two gestures, one after the other.
    """

    still: float = 0.08
    two_people: float = 0.08
    tempo: float = 0.10
    sequence: float = 0.06


PLAIN = Variety(0.0, 0.0, 0.0, 0.0)
"""One person, one gesture, ordinary tempo."""


def sample_place(pool: Pool, random: Generator) -> str:
    """A place: reserved ones for the reserved pools, seldom for the others."""
    reserved = pool in RESERVED_POOLS or random.random() < RESERVED_SHARE
    options = RESERVED_PLACES if reserved else PLACES
    return options[int(random.integers(len(options)))]


def sample_clip(
    pool: Pool,
    number: int,
    *,
    gestures: Sequence[str] = LABELS,
    framing: Framing = "web",
    frames: tuple[int, int] = (MIN_FRAMES, MAX_FRAMES),
    variety: Variety = PLAIN,
) -> ClipSpec:
    """Clip `number` of a pool, a pure function of the arguments.

    Args:
        pool: whose persons are shown; person `number` (and for two people one that no other clip shows).
        number: which clip.
        gestures: what may be done, drawn evenly.
        framing: the camera.
        frames: shortest and longest clip.
        variety: how often a clip shows more than one person doing one gesture.
    """
    random = generator("specification", pool, number)
    person = sample_person(pool, number)
    first = gestures[int(random.integers(len(gestures)))]
    spec = ClipSpec(
        persons=(person,),
        gestures=(first,),
        place=sample_place(pool, random),
        framing=framing,
        frames=int(random.integers(frames[0], frames[1] + 1)),
        noise=float(random.uniform(0.0, 2.0)) if framing == "webcam" else 0.0,
        seed=derive_seed("mini", "clip", pool, number),
    )
    special, tempo = random.random(), random.random()
    if special < variety.still:
        return replace(spec, gestures=(), frames=1)
    if special < variety.still + variety.two_people:
        return replace(spec, persons=(person, sample_person(pool, -1 - number)))
    if special < variety.still + variety.two_people + variety.sequence:
        second = gestures[int(random.integers(len(gestures)))]
        return replace(spec, gestures=(first, second), frames=max(spec.frames, (frames[0] + frames[1]) // 2))
    names: tuple[Tempo, Tempo] = ("slow", "quick")
    return replace(spec, tempo=names[int(random.integers(2))]) if tempo < variety.tempo else spec
