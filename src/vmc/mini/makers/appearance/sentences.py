"""Captions of frames whose every statement is known, so that a caption that is true of another frame is no negative."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from vmc.mini.world import vocabulary as words
from vmc.mini.world.captions import sign_name
from vmc.mini.world.gestures import LABELS, PHRASES
from vmc.mini.world.people import Person
from vmc.mini.world.phrases import attributes, hair_phrase, subject_phrase
from vmc.mini.world.renderer import ClipSpec

_FORMS = {"subject": 0.5, "gesture": 0.3, "generic": 0.1, "place": 0.1}
"""What is said: the subject; subject and gesture; the same of "a person"; subject, place and perhaps gesture."""
_SIGN_SHARE = 0.2
"""Share of gestures said as "doing the X sign"."""
_ACCESSORIES = (*words.PLAIN_ACCESSORIES, *words.COLORED_ACCESSORIES, *words.RESERVED_ACCESSORIES)


@dataclass(frozen=True)
class Sentence:
    """A caption, and what it says as a set of facts."""

    text: str
    facts: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a caption says of a clip of one person.

    Attributes:
        spec: the clip, or one that is not shown: an altered one.
        parts: which of the person's attributes are said.
        generic: whether "a person" stands for the noun.
        gesture, place: whether they are said.
        sign: whether a gesture is said as a sign.
    """

    spec: ClipSpec
    parts: tuple[str, ...]
    generic: bool = False
    gesture: bool = False
    place: bool = False
    sign: bool = False

    @property
    def person(self) -> Person:
        """Who is spoken of."""
        return self.spec.persons[0]

    def sentence(self) -> Sentence:
        """The caption."""
        name = self.spec.gestures[0]
        shown = replace(self.person, kind="person", occupation="") if self.generic else self.person
        said = [subject_phrase(shown, self.parts)]
        if self.gesture:
            said.append(f"doing the {sign_name(name)} sign" if self.sign else PHRASES[name])
        if self.place:
            said.append(self.spec.place)
        facts = [_fact(self.person, part) for part in self.parts]
        facts += [_noun(self.person)] * (not self.generic) + [f"gesture {name}"] * self.gesture
        return Sentence(" ".join(said), frozenset(facts + [self.spec.place] * self.place))


def facts_of(spec: ClipSpec) -> frozenset[str]:
    """All that is true of a clip's frames."""
    person = spec.persons[0]
    said = {_fact(person, part) for part in attributes(person)}
    return frozenset({_noun(person), f"noun {person.kind}", f"gesture {spec.gestures[0]}", spec.place, *said})


def draw_content(spec: ClipSpec, random: Generator) -> Content:
    """What to say of a clip: more or less, as test prompts and pretraining captions do."""
    form = tuple(_FORMS)[int(random.choice(len(_FORMS), p=tuple(_FORMS.values())))]
    options = attributes(spec.persons[0])
    count = min(len(options), int(random.choice((0, 1, 2, len(options)), p=(0.1, 0.2, 0.4, 0.3))))
    chosen = set(random.permutation(len(options))[:count].tolist())
    parts = tuple(part for index, part in enumerate(options) if index in chosen)
    return Content(
        spec=spec,
        parts=parts,
        generic=form == "generic",
        gesture=form in ("gesture", "generic") or (form == "place" and random.random() < 0.5),
        place=form == "place",
        sign=random.random() < _SIGN_SHARE,
    )


def draw_single(spec: ClipSpec, random: Generator) -> Content:
    """One thing to say of a clip: noun, one attribute, gesture or place."""
    parts = attributes(spec.persons[0])
    things = ("noun", *parts, "gesture", "place")
    thing = things[int(random.integers(len(things)))]
    return Content(
        spec=spec,
        parts=(thing,) if thing in parts else (),
        generic=thing != "noun",
        gesture=thing == "gesture",
        place=thing == "place",
        sign=random.random() < _SIGN_SHARE,
    )


def altered(content: Content, random: Generator) -> Content:
    """The same with one thing said wrongly."""
    person, spec = content.person, content.spec
    things = ["noun"] * (not content.generic) + [*content.parts]
    things += ["gesture"] * content.gesture + ["place"] * content.place
    thing = things[int(random.integers(len(things)))]
    if thing == "gesture":
        return replace(content, spec=replace(spec, gestures=(_other(LABELS, spec.gestures[0], random),)))
    if thing == "place":
        places = (*words.PLACES, *words.RESERVED_PLACES)
        return replace(content, spec=replace(spec, place=_other(places, spec.place, random)))
    other = _altered_person(person, thing, random)
    renamed = dict(zip(person.accessories, other.accessories, strict=True))
    parts = tuple(renamed.get(part, part) for part in content.parts)
    return replace(content, spec=replace(spec, persons=(other,)), parts=parts)


def true_of(sentences: Sequence[Sentence], pictures: Sequence[frozenset[str]]) -> list[list[bool]]:
    """For every picture's facts, which of the sentences are true."""
    return [[sentence.facts <= facts for sentence in sentences] for facts in pictures]


def _altered_person(person: Person, thing: str, random: Generator) -> Person:
    """Another noun, hair, skin, clothes or accessory; of two words that name a thing, one at a time."""
    first = random.random() < 0.5
    if thing == "noun" and person.occupation:
        return replace(person, occupation=_other(tuple(words.OCCUPATIONS), person.occupation, random))
    if thing == "noun":
        return replace(person, kind=_other(words.KINDS, person.kind, random))
    if thing == "hair" and (first or person.hair_style == "bald"):
        return replace(person, hair_style=_other(words.HAIR_STYLES, person.hair_style, random))
    if thing == "hair":
        return replace(person, hair_color=_other(tuple(words.HAIR_COLORS), person.hair_color, random))
    if thing == "skin":
        return replace(person, skin=_other(words.NAMED_SKINS, person.skin, random))
    if thing == "clothes" and first:
        cuts = words.RESERVED_CLOTHES if person.clothes in words.RESERVED_CLOTHES else words.CLOTHES
        return replace(person, clothes=_other(cuts, person.clothes, random))
    if thing == "clothes":
        return replace(person, clothes_color=_other(_colors(), person.clothes_color, random))
    while (changed := _altered_accessory(thing, first, random)) in person.accessories:
        pass
    return replace(person, accessories=tuple(changed if item == thing else item for item in person.accessories))


def _altered_accessory(item: str, color: bool, random: Generator) -> str:
    head, _, thing = item.partition(" ")
    colored = (*words.COLORED_ACCESSORIES, *words.RESERVED_ACCESSORIES)
    if thing in colored and color:
        return f"{_other(_colors(), head, random)} {thing}"
    kind = _other(_ACCESSORIES, thing if thing in colored else item, random)
    if kind not in colored:
        return kind
    return f"{head if head in words.COLORS else _other(_colors(), '', random)} {kind}"


def _colors() -> tuple[str, ...]:
    return (*words.FREE_COLORS, *words.RESERVED_COLORS)


def _noun(person: Person) -> str:
    return f"noun {person.occupation or person.kind}"


def _fact(person: Person, part: str) -> str:
    if part == "hair":
        return "bald" if person.hair_style == "bald" else hair_phrase(person.hair_style, person.hair_color)
    if part == "skin":
        return f"{person.skin} skin"
    return f"{person.clothes_color} {person.clothes}" if part == "clothes" else part


def _other(options: Sequence[str], than: str, random: Generator) -> str:
    left = [option for option in options if option != than]
    return left[int(random.integers(len(left)))]
