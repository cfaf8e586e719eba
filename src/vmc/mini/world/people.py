"""Persons: what is said about them, and the continuous traits that make each of them one of a kind.

A person belongs to a pool. Traits come from a generator seeded by the pool's name and the person's number, so persons
of two pools never meet, and neither do two persons of one pool.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator

from vmc.mini.world import vocabulary as words
from vmc.mini.world.pen import Rgb
from vmc.mini.world.vocabulary import COLORS, OCCUPATIONS, Outfit
from vmc.utils.errors import VmcError
from vmc.utils.randomness import derive_seed

Pool = Literal["pretraining", "classifier", "appearance", "copying", "exemplars", "regularization", "card", "subjects"]
POOLS: tuple[Pool, ...] = get_args(Pool)
"""`card` is held out for measuring; `subjects` are the persons a test subject's phrase is drawn as."""
RESERVED_POOLS: tuple[Pool, ...] = ("exemplars", "regularization")
"""Pools that show nothing but reserved clothes, hair colours and places."""
RESERVED_SHARE = 0.08
"""How often the other pools show reserved clothes, hair or a reserved place."""


def generator(*place: int | str) -> Generator:
    """A NumPy generator for one draw of the renderer, seeded by its place."""
    return np.random.default_rng(derive_seed("mini", *place))


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What no caption names. Sizes are factors of the average, places in picture heights, colours RGB offsets.

    Attributes:
        side: the hand that leads, 1 = on the picture's right, -1 = left.
        amplitude: how far gestures reach, 1 = as written.
        reach_x, reach_y: where the person likes to hold the hand, offset.
        pace: share of the clip that gestures last, factor; lag: how late they begin, share of the idle time.
    """

    face_width: float
    head: float
    shoulders: float
    hand: float
    eyes: float
    smile: float
    skin_shift: Rgb
    cloth_shift: Rgb
    hair_shift: Rgb
    side: int
    amplitude: float
    reach_x: float
    reach_y: float
    pace: float
    lag: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person: named attributes from `vmc.mini.world.vocabulary`, and unnamed traits.

    An occupation's outfit replaces clothes, hats and what else it covers; `accessories` are said as written.
    """

    pool: Pool
    number: int
    kind: str
    skin: str
    hair_style: str
    hair_color: str
    clothes: str
    clothes_color: str
    accessories: tuple[str, ...] = ()
    occupation: str = ""
    traits: Traits

    @property
    def female(self) -> bool:
        """Whether the kind is a woman, a girl or an old woman."""
        return self.kind in words.FEMALE

    @property
    def young(self) -> bool:
        """Whether the kind is a girl or a boy."""
        return self.kind in words.YOUNG

    @property
    def old(self) -> bool:
        """Whether the kind is an old woman or an old man."""
        return self.kind in words.OLD

    @property
    def outfit(self) -> Outfit:
        """The occupation's outfit, or the person's own clothes as one."""
        if self.occupation:
            return OCCUPATIONS[self.occupation]
        return Outfit(self.clothes, self.clothes_color)

    @property
    def skin_rgb(self) -> Rgb:
        """Colour of the face and of the back of the hands."""
        return _shifted(self.outfit.skin or words.SKINS[self.skin], self.traits.skin_shift)

    @property
    def palm_rgb(self) -> Rgb:
        """Colour of the palms: lighter and redder than the back of the hands."""
        red, green, blue = self.skin_rgb
        return red + (255 - red) * 2 // 5, green + (232 - green) * 2 // 5, blue + (225 - blue) * 2 // 5

    @property
    def hair_rgb(self) -> Rgb:
        """Colour of hair, beard and eyebrows."""
        return _shifted(words.HAIR_COLORS[self.hair_color], self.traits.hair_shift)

    @property
    def clothes_rgb(self) -> Rgb:
        """Main colour of what is worn."""
        return _shifted(COLORS[self.outfit.color], self.traits.cloth_shift)


def _shifted(color: Rgb, shift: Rgb) -> Rgb:
    red, green, blue = (min(max(value + offset, 0), 255) for value, offset in zip(color, shift, strict=True))
    return red, green, blue


def _choice(random: Generator, options: tuple[str, ...]) -> str:
    return options[int(random.integers(len(options)))]


def _shift(random: Generator, size: int) -> Rgb:
    red, green, blue = (int(value) for value in random.integers(-size, size + 1, 3))
    return red, green, blue


def draw_traits(random: Generator) -> Traits:
    """Traits of one person; the generator decides all of them."""
    return Traits(
        face_width=random.uniform(0.9, 1.12),
        head=random.uniform(0.93, 1.07),
        shoulders=random.uniform(0.9, 1.12),
        hand=random.uniform(0.94, 1.1),
        eyes=random.uniform(0.85, 1.2),
        smile=random.uniform(-0.3, 1.0),
        skin_shift=_shift(random, 7),
        cloth_shift=_shift(random, 7),
        hair_shift=_shift(random, 6),
        side=1 if random.random() < 0.6 else -1,
        amplitude=random.uniform(0.85, 1.12),
        reach_x=random.uniform(-0.035, 0.05),
        reach_y=random.uniform(-0.04, 0.04),
        pace=random.uniform(0.85, 1.2),
        lag=random.uniform(0.25, 0.75),
    )


def sample_person(pool: Pool, number: int) -> Person:
    """Person `number` of a pool.

    Raises:
        VmcError: `pool` is not one of `POOLS`.
    """
    if pool not in POOLS:
        raise VmcError(f"there is no pool {pool!r} of persons; choose one of {', '.join(POOLS)}")
    random = generator("person", pool, number)
    traits = draw_traits(random)
    reserved = pool in RESERVED_POOLS
    occupation = _choice(random, tuple(OCCUPATIONS)) if not reserved and random.random() < 0.4 else ""
    return _dress(random, pool=pool, number=number, reserved=reserved, occupation=occupation, traits=traits)


def _dress(random: Generator, *, pool: Pool, number: int, reserved: bool, occupation: str, traits: Traits) -> Person:
    """Draws all that can be named."""
    kind = draw_kind(random, occupation)
    hair_style = draw_hair_style(random, kind)
    clothes, color = draw_clothes(random, kind, reserved=reserved or random.random() < RESERVED_SHARE)
    person = Person(
        pool=pool,
        number=number,
        kind=kind,
        skin=_choice(random, tuple(words.SKINS)),
        hair_style=hair_style,
        hair_color=draw_hair_color(random, kind, reserved=reserved),
        clothes=clothes,
        clothes_color=color,
        occupation=occupation,
        traits=traits,
    )
    if occupation:
        return person
    return replace(person, accessories=_draw_accessories(random, person, reserved=reserved))


def draw_kind(random: Generator, occupation: str = "") -> str:
    """A kind of person; some occupations, such as king and queen, have but one or two."""
    return _choice(random, words.OCCUPATION_KINDS.get(occupation, words.KINDS))


def draw_hair_style(random: Generator, kind: str) -> str:
    """A hair style as it is usual for the kind."""
    if kind in words.FEMALE:
        return _choice(random, ("long", "long", "long", "curly", "bun", "ponytail", "pigtails", "short"))
    if kind == "boy":
        return _choice(random, ("short", "short", "spiky", "curly"))
    return _choice(random, ("short", "short", "short", "bald", "curly", "spiky", "mohawk", "long"))


def draw_hair_color(random: Generator, kind: str, *, reserved: bool) -> str:
    """A hair colour; the reserved pools have the reserved ones, and the old have grey or white else."""
    if reserved:
        return _choice(random, words.RESERVED_HAIR_COLORS)
    if kind in words.OLD:
        return _choice(random, ("grey", "white"))
    return _choice(random, ("black", "black", "blond", "blond", "red", "red", "blue", "green", "brown"))


def draw_clothes(random: Generator, kind: str, *, reserved: bool) -> tuple[str, str]:
    """(kind of clothes, colour): reserved ones have a reserved pattern and colour."""
    if reserved:
        return _choice(random, words.RESERVED_CLOTHES), _choice(random, words.RESERVED_COLORS)
    options = words.CLOTHES if kind in words.FEMALE else tuple(item for item in words.CLOTHES if item != "dress")
    return _choice(random, options), _choice(random, words.FREE_COLORS)


def _draw_accessories(random: Generator, person: Person, *, reserved: bool) -> tuple[str, ...]:
    """None, one or two that go together."""
    count = int(random.choice(3, p=(0.45, 0.4, 0.15)))
    grown_man = not person.female and not person.young
    plain = tuple(item for item in words.PLAIN_ACCESSORIES if grown_man or item not in words.MALE_ACCESSORIES)
    chosen: list[str] = []
    for _ in range(count):
        if reserved:
            item = f"{_choice(random, words.RESERVED_COLORS)} {_choice(random, words.RESERVED_ACCESSORIES)}"
        elif random.random() < 0.5:
            item = _choice(random, plain)
        else:
            colors = tuple(color for color in words.FREE_COLORS if color != person.clothes_color)
            item = f"{_choice(random, colors)} {_choice(random, words.COLORED_ACCESSORIES)}"
        if all(_slot(item) != _slot(other) for other in chosen):
            chosen.append(item)
    return tuple(chosen)


def _slot(accessory: str) -> str:
    """Where an accessory sits: two in one place cannot be worn together."""
    name = accessory.split(" ", 1)[-1] if accessory.split(" ", 1)[0] in COLORS else accessory
    if name in (*words.HEADWEAR, "headphones"):
        return "head"
    if name in ("glasses", "sunglasses", "eye patch"):
        return "eyes"
    if name in ("beard", "moustache", "face mask"):
        return "mouth"
    return "neck"
