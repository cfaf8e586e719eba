"""Persons in words, and words back to persons."""

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

from numpy.random import Generator

from vmc.mini.world import vocabulary as words
from vmc.mini.world.people import (
    Person,
    Traits,
    draw_clothes,
    draw_hair_color,
    draw_hair_style,
    draw_kind,
    draw_traits,
    generator,
)
from vmc.utils.errors import VmcError

_NO_ARTICLE = ("glasses", "sunglasses", "headphones", "pigtails", "overalls")


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it, where English wants one."""
    if phrase.split()[-1] in _NO_ARTICLE or phrase.endswith(("hair", "skin")):
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def hair_phrase(style: str, color: str) -> str:
    """Hair as it is said after "with": "long red hair", "a red bun"; bald heads are said before the noun."""
    if style in words.HAIR_NOUNS:
        return article(f"{color} {style}")
    return f"{style} {color} hair"


def attributes(person: Person) -> tuple[str, ...]:
    """Which parts of a person can be said, besides the noun: of hair, skin, clothes, and each accessory by its name."""
    skin = ("skin",) if person.skin in words.NAMED_SKINS and person.outfit.skin is None else ()
    if person.occupation:
        return skin if person.outfit.headwear not in ("ninja hood", "space helmet") else ()
    return ("hair", *skin, *person.accessories, "clothes")


def subject_phrase(person: Person, parts: Collection[str]) -> str:
    """The person in words, for example "an old man with glasses and a red hat in a green shirt".

    Args:
        person: who.
        parts: which of `attributes(person)` to say; the noun is always said.
    """
    noun = person.occupation or person.kind
    bald = "hair" in parts and person.hair_style == "bald" and not person.occupation
    withs = []
    if "hair" in parts and not bald and not person.occupation:
        withs.append(hair_phrase(person.hair_style, person.hair_color))
    if "skin" in parts:
        withs.append(f"{person.skin} skin")
    withs += [article(item) for item in person.accessories if item in parts]
    phrase = article(f"bald {noun}" if bald else noun)
    if withs:
        phrase += " with " + (", ".join(withs[:-1]) + " and " if len(withs) > 1 else "") + withs[-1]
    if "clothes" in parts and not person.occupation:
        phrase += f" in {article(f'{person.clothes_color} {person.clothes}')}"
    return phrase


@cache
def _vocabulary() -> dict[str, dict[str, Any]]:
    """What can stand after "with" or "in", and what it says of a person; `accessories` are added up."""
    said: dict[str, dict[str, Any]] = {}
    for color in words.HAIR_COLORS:
        for style in words.HAIR_STYLES:
            if style != "bald":
                said[hair_phrase(style, color)] = {"hair_style": style, "hair_color": color}
    for skin in words.NAMED_SKINS:
        said[f"{skin} skin"] = {"skin": skin}
    for accessory in words.PLAIN_ACCESSORIES:
        said[article(accessory)] = {"accessories": (accessory,)}
    for color in words.COLORS:
        for name in (*words.COLORED_ACCESSORIES, *words.RESERVED_ACCESSORIES):
            said[article(f"{color} {name}")] = {"accessories": (f"{color} {name}",)}
        for name in (*words.CLOTHES, *words.RESERVED_CLOTHES):
            said[article(f"{color} {name}")] = {"clothes": name, "clothes_color": color}
    return said


def _said(rest: str, phrase: str) -> dict[str, Any]:
    """What the part of a phrase after its noun says of a person; `phrase` is quoted in errors."""
    said = _vocabulary()
    fields: dict[str, Any] = {"accessories": ()}
    items = [item.strip() for piece in rest.split(" in ") for part in piece.split(" and ") for item in part.split(", ")]
    for item in filter(None, items):
        if item not in said:
            raise VmcError(f"the miniature cannot draw {item!r} (in {phrase!r}); use words of its vocabulary")
        update = said[item]
        fields |= {**update, "accessories": (*fields["accessories"], *update.get("accessories", ()))}
    return fields


def person_from_phrase(phrase: str, number: int = 0) -> Person:
    """A person that a subject's phrase describes; what it does not name is drawn from `number`.

    Args:
        phrase: for example "A firefighter" or "An old man with glasses and a red hat".
        number: tells apart the persons that fit one phrase.

    Raises:
        VmcError: a word of the phrase is not in the miniature's vocabulary.
    """
    text = phrase.strip().rstrip(".").lower()
    noun, rest = _noun_and_rest(text)
    random = generator("subject", text, number)
    traits = draw_traits(random)
    said = _said(rest, phrase)
    if noun.startswith("bald "):
        noun, said["hair_style"] = noun.removeprefix("bald "), "bald"
    if noun == "person":
        noun = draw_kind(random)
    if noun not in words.KINDS and noun not in words.OCCUPATIONS:
        raise VmcError(f"the miniature knows no {noun!r} (in {phrase!r}); use a kind or occupation of its vocabulary")
    occupation = noun if noun in words.OCCUPATIONS else ""
    person = _unnamed(random, kind=draw_kind(random, noun) if occupation else noun, number=number, traits=traits)
    return replace(person, occupation=occupation, **said)


def _noun_and_rest(text: str) -> tuple[str, str]:
    """What stands before the first "with" or "in", without its article, and what stands after."""
    head, _, rest = text.partition(" with ")
    if not rest:
        head, _, rest = text.partition(" in ")
    return head.removeprefix("an ").removeprefix("a "), rest


def _unnamed(random: Generator, *, kind: str, number: int, traits: Traits) -> Person:
    """A person of whom nothing but the kind is said; reserved things are left to the exemplars."""
    clothes, color = draw_clothes(random, kind, reserved=False)
    hair_color = draw_hair_color(random, kind, reserved=False)
    while hair_color in words.RESERVED_HAIR_COLORS:
        hair_color = draw_hair_color(random, kind, reserved=False)
    return Person(
        pool="subjects",
        number=number,
        kind=kind,
        skin=("light", "tanned", "brown")[int(random.integers(3))],
        hair_style=draw_hair_style(random, kind),
        hair_color=hair_color,
        clothes=clothes,
        clothes_color=color,
        traits=traits,
    )
