"""What people of the miniature look like and where they stand, in words.

Every word here is drawn by the renderer and can be named by a caption. A part of the vocabulary is reserved: exemplars
and regularization clips show nothing but reserved clothes, hair colours and places, and no test subject names any of
them. So a model that obeys a test prompt is never mistaken for one that copies an exemplar. The other pools show the
reserved part now and then: the words are known, they are only never asked for.
"""

from dataclasses import dataclass

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (208, 42, 42),
    "blue": (46, 92, 210),
    "green": (48, 150, 66),
    "yellow": (242, 206, 54),
    "white": (240, 240, 236),
    "black": (42, 42, 48),
    "orange": (242, 132, 36),
    "purple": (134, 70, 184),
    "pink": (244, 150, 190),
    "turquoise": (52, 190, 186),
    "brown": (128, 84, 50),
    "grey": (142, 146, 152),
    "tan": (206, 166, 104),
}
"""RGB, 0 to 255. `gray` and `tan` are worn by occupations alone."""

RESERVED_COLORS = ("pink", "turquoise", "brown")
FREE_COLORS = tuple(color for color in COLORS if color not in (*RESERVED_COLORS, "grey", "tan"))
"""Colours of clothes, hats and scarves that test subjects may name."""

HAIR_COLORS: dict[str, tuple[int, int, int]] = {
    "black": (38, 32, 34),
    "blond": (238, 204, 104),
    "red": (196, 76, 30),
    "grey": (158, 158, 162),
    "white": (232, 232, 230),
    "blue": (56, 108, 214),
    "green": (70, 170, 80),
    "brown": (112, 70, 40),
}
RESERVED_HAIR_COLORS = ("brown",)

HAIR_STYLES = ("short", "long", "curly", "spiky", "bun", "ponytail", "pigtails", "mohawk", "bald")
"""`bald` has no colour; bun, ponytail, pigtails and mohawk are nouns, the others adjectives of "hair"."""
HAIR_NOUNS = ("bun", "ponytail", "pigtails", "mohawk")

SKINS: dict[str, tuple[int, int, int]] = {
    "pale": (250, 222, 200),
    "light": (240, 196, 160),
    "tanned": (214, 160, 116),
    "brown": (160, 106, 70),
    "dark": (112, 74, 52),
}
NAMED_SKINS = ("dark", "pale")
"""The two skins that captions name ("with dark skin"); the ones between are never told apart in words."""

KINDS = ("woman", "man", "girl", "boy", "old woman", "old man")
FEMALE = ("woman", "girl", "old woman")
YOUNG = ("girl", "boy")
OLD = ("old woman", "old man")

CLOTHES = ("t-shirt", "sweater", "shirt", "hoodie", "jacket", "suit", "dress", "tank top", "overalls")
RESERVED_CLOTHES = ("striped sweater", "polka dot shirt", "checked shirt")
SHORT_SLEEVED = ("t-shirt", "dress", "tank top", "polka dot shirt", "overalls")

PLAIN_ACCESSORIES = ("glasses", "sunglasses", "beard", "moustache", "headphones", "face mask", "eye patch")
COLORED_ACCESSORIES = ("hat", "cap", "scarf")
RESERVED_ACCESSORIES = ("bow tie", "headband", "beanie")
"""Each is said with a reserved colour ("a pink headband")."""
MALE_ACCESSORIES = ("beard", "moustache")
HEADWEAR = ("hat", "cap", "beanie", "headband")

PLACES = (
    "in front of a red wall",
    "in front of a blue wall",
    "in front of a green wall",
    "in front of a yellow wall",
    "in front of a white wall",
    "in front of a grey wall",
    "in a kitchen",
    "in a living room",
    "in a classroom",
    "in an office",
    "on a beach",
    "in a forest",
    "in the desert",
    "in the snow",
    "in the mountains",
    "in a park",
    "in a city at night",
    "in a city",
    "in outer space",
    "on a stage",
)
RESERVED_PLACES = (
    "in front of a brick wall",
    "in front of a bookshelf",
    "in front of striped wallpaper",
    "in front of a wooden wall",
    "in front of a pink wall",
    "in front of a turquoise wall",
    "in front of a tiled wall",
)


@dataclass(frozen=True)
class Outfit:
    """What an occupation wears: it replaces a person's own clothes and headwear.

    `clothes` and `headwear` name drawings; `extras` are drawn over them. Short sleeves are the exception here.
    """

    clothes: str
    color: str
    headwear: str = ""
    headwear_color: str = ""
    extras: tuple[str, ...] = ()
    skin: tuple[int, int, int] | None = None


OCCUPATIONS: dict[str, Outfit] = {
    "firefighter": Outfit("uniform", "black", "fire helmet", "red", ("yellow stripes",)),
    "chef": Outfit("chef jacket", "white", "toque", "white", ("red neckerchief",)),
    "doctor": Outfit("coat", "white", "", "", ("stethoscope",)),
    "nurse": Outfit("scrubs", "blue", "nurse cap", "white"),
    "surgeon": Outfit("scrubs", "green", "surgical cap", "green", ("surgical mask",)),
    "police officer": Outfit("uniform", "blue", "peaked cap", "blue", ("badge", "tie")),
    "pilot": Outfit("suit", "black", "peaked cap", "white", ("epaulettes",)),
    "soldier": Outfit("camouflage", "green", "army helmet", "green"),
    "sailor": Outfit("sailor suit", "white", "sailor cap", "white"),
    "astronaut": Outfit("space suit", "white", "space helmet", "white"),
    "diver": Outfit("wetsuit", "black", "", "", ("diving mask",)),
    "king": Outfit("ermine", "red", "crown", "yellow", ("big beard",)),
    "queen": Outfit("ermine", "purple", "crown", "yellow"),
    "knight": Outfit("armour", "grey", "knight helmet", "grey"),
    "clown": Outfit("clown suit", "yellow", "clown wig", "orange", ("clown face",), (250, 244, 240)),
    "construction worker": Outfit("safety vest", "orange", "hard hat", "yellow"),
    "farmer": Outfit("overalls", "blue", "straw hat", "yellow"),
    "cowboy": Outfit("waistcoat", "tan", "cowboy hat", "tan", ("red neckerchief",)),
    "wizard": Outfit("robe", "blue", "wizard hat", "blue", ("white beard",)),
    "witch": Outfit("robe", "black", "wizard hat", "black", (), (150, 190, 110)),
    "pirate": Outfit("striped shirt", "white", "pirate hat", "black", ("eye patch",)),
    "ninja": Outfit("robe", "black", "ninja hood", "black"),
    "superhero": Outfit("hero suit", "blue", "", "", ("hero mask", "red cape")),
    "santa claus": Outfit("santa coat", "red", "santa hat", "red", ("white beard",)),
    "monk": Outfit("robe", "orange", "bald head", ""),
    "nun": Outfit("robe", "black", "veil", "black"),
    "judge": Outfit("robe", "black", "judge wig", "white", ("jabot",)),
    "vampire": Outfit("suit", "black", "", "", ("fangs", "vampire collar"), (226, 230, 238)),
    "zombie": Outfit("torn shirt", "grey", "", "", ("scars",), (134, 178, 120)),
    "robot": Outfit("robot body", "grey", "robot head", "grey", (), (168, 178, 190)),
    "alien": Outfit("hero suit", "grey", "alien head", "green", (), (120, 214, 110)),
    "magician": Outfit("suit", "black", "top hat", "black", ("red bow",)),
    "painter": Outfit("smock", "white", "beret", "red", ("paint spots",)),
    "boxer": Outfit("tank top", "red", "boxing helmet", "red"),
    "graduate": Outfit("robe", "black", "mortarboard", "black", ("yellow stole",)),
    "football player": Outfit("jersey", "red", "football helmet", "red"),
    "bee keeper": Outfit("coat", "white", "bee hat", "yellow"),
}

OCCUPATION_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("king", "wizard", "santa claus", "monk", "magician"), ("man", "old man")),
    **dict.fromkeys(("queen", "witch", "nun"), ("woman", "old woman")),
}
"""Occupations that are not for everybody."""
