"""What a frame shows as classes: the image tower learns to see them before texts name them.

Axes: B frames, D features, A attributes, K classes of all attributes together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vmc.mini.world import vocabulary as words
from vmc.mini.world.gestures import LABELS
from vmc.mini.world.people import Person
from vmc.mini.world.renderer import ClipSpec

UNKNOWN = -100
"""The class of what cannot be seen or is not there."""
_COLORS = tuple(words.COLORS)
_WORN: dict[str, tuple[str, ...]] = {
    "head": ("", "headphones", "hat", "cap", "headband", "beanie"),
    "eyes": ("", "glasses", "sunglasses", "eye patch"),
    "mouth": ("", "beard", "moustache", "face mask"),
    "neck": ("", "scarf", "bow tie"),
}
"""Where accessories sit; "" is nothing."""
CLASSES: dict[str, tuple[str, ...]] = {
    "place": (*words.PLACES, *words.RESERVED_PLACES),
    "gesture": LABELS,
    "noun": (*words.KINDS, *words.OCCUPATIONS),
    "skin": tuple(words.SKINS),
    "clothes": (*words.CLOTHES, *words.RESERVED_CLOTHES),
    "clothes colour": _COLORS,
    "hair": words.HAIR_STYLES,
    "hair colour": tuple(words.HAIR_COLORS),
    **_WORN,
    "head colour": _COLORS,
    "neck colour": _COLORS,
}
_FEWEST = 8
"""Frames over which a rare attribute's loss is averaged at least, so that one frame is not a whole loss."""


def classes_of(spec: ClipSpec) -> list[int]:
    """The class of every attribute of a clip, in the order of `CLASSES`."""
    person = spec.persons[0]
    shown = {"place": spec.place, "gesture": spec.gestures[0], "noun": person.occupation or person.kind}
    if person.outfit.skin is None:
        shown["skin"] = person.skin
    if not person.occupation:
        shown |= _worn(person) | {"clothes": person.clothes, "clothes colour": person.clothes_color}
        shown |= {"hair": person.hair_style}
        shown |= {"hair colour": person.hair_color} if person.hair_style != "bald" else {}
    return [options.index(shown[name]) if name in shown else UNKNOWN for name, options in CLASSES.items()]


def _worn(person: Person) -> dict[str, str]:
    """What sits where, and the colours of what has one."""
    found = dict.fromkeys(_WORN, "")
    for accessory in person.accessories:
        color, _, thing = accessory.partition(" ")
        name = thing if color in _COLORS else accessory
        place = next(place for place, things in _WORN.items() if name in things)
        found[place] = name
        if color in _COLORS:
            found[f"{place} colour"] = color
    return found


def make_heads(features: int, seed: int) -> nn.Linear:
    """A linear classifier of every attribute, all in one layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(features, sum(map(len, CLASSES.values())))


def attribute_loss(logits_BK: Tensor, classes: Sequence[Sequence[int]]) -> Tensor:
    """The mean cross entropy over attributes, each averaged over the frames that show it."""
    classes_BA = torch.tensor(classes, device=logits_BK.device)
    losses = []
    for place, part in enumerate(logits_BK.split([len(options) for options in CLASSES.values()], dim=1)):
        own_B = classes_BA[:, place]
        shown = max(int((own_B != UNKNOWN).sum()), _FEWEST)
        losses.append(F.cross_entropy(part, own_B, ignore_index=UNKNOWN, reduction="sum") / shown)
    return torch.stack(losses).mean()
