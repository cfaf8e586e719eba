"""What captions say of a clip: everything, or as little as captions of the web do."""

from numpy.random import Generator

from vmc.mini.world.gestures import PHRASES
from vmc.mini.world.people import Person, generator
from vmc.mini.world.phrases import attributes, subject_phrase
from vmc.mini.world.renderer import ClipSpec

RARE_WORDS = ("sks", "pll", "ohwx", "ktn", "zwx")
"""Words that stand in a few pretraining captions as noise, so that they are known and mean nothing."""
RARE_SHARE = 0.03

_TEMPO = {"slow": ("very slowly", "slowly"), "quick": ("quickly", "very quickly")}
_GENERIC = {True: "two people", False: "a person"}
_KINDS = {"gesture": 0.28, "subject": 0.10, "both": 0.40, "place": 0.22}
"""How complete captions are, and how often: `place` says gesture, subject and place."""
_SIGN_SHARE = 0.4
"""Share of captions that say "doing the X sign", as exemplars' captions and test prompts do."""


def sign_name(gesture: str) -> str:
    """A gesture's name as it stands in "doing the X sign"."""
    name = gesture.lower()
    return name.removesuffix(" sign")


def full_caption(spec: ClipSpec) -> str:
    """Everything that can be said: all attributes of all persons, gestures, tempo and place."""
    subjects = " and ".join(subject_phrase(person, attributes(person)) for person in spec.persons)
    return " ".join(filter(None, (subjects, _action(spec, sign=False, tempo=_tempo(spec, 0)), spec.place)))


def gesture_caption(gesture: str, subject: str = "a person") -> str:
    """A caption of one gesture in natural language: "a person swiping hand down"."""
    return f"{subject} {PHRASES[gesture]}"


def caption(spec: ClipSpec, seed: int, *, rare_share: float = RARE_SHARE) -> str:
    """A caption of varying completeness, a pure function of its arguments.

    Args:
        spec: the clip.
        seed: decides what is said.
        rare_share: share of captions with a meaningless rare word.
    """
    random = generator("caption", seed)
    kind = tuple(_KINDS)[int(random.choice(len(_KINDS), p=tuple(_KINDS.values())))]
    generic = kind == "gesture" or (kind == "place" and random.random() < 0.25)
    if generic and (spec.gestures or kind == "place"):
        subject = _GENERIC[len(spec.persons) == 2]
    else:
        subject = " and ".join(_partly(person, random) for person in spec.persons)
    action = ""
    if kind != "subject":
        action = _action(spec, sign=random.random() < _SIGN_SHARE, tempo=_tempo(spec, int(random.integers(2))))
    text = " ".join(filter(None, (subject, action, spec.place if kind == "place" else "")))
    if spec.frames == 1 and random.random() < 0.3:
        text = f"a portrait of {text}"
    if random.random() < rare_share:
        text = _with_rare_word(text, random)
    return f"{text[0].upper()}{text[1:]}." if random.random() < 0.5 else text


def _partly(person: Person, random: Generator) -> str:
    """The subject with none, some or all of its attributes."""
    options = attributes(person)
    count = min(len(options), int(random.choice((0, 1, 2, len(options)), p=(0.15, 0.3, 0.35, 0.2))))
    chosen = set(random.permutation(len(options))[:count].tolist())
    return subject_phrase(person, [part for index, part in enumerate(options) if index in chosen])


def _tempo(spec: ClipSpec, variant: int) -> str:
    return _TEMPO[spec.tempo][variant] if spec.tempo in _TEMPO else ""


def _action(spec: ClipSpec, *, sign: bool, tempo: str) -> str:
    """What is done, or nothing where hands rest."""
    if not spec.gestures:
        return ""
    if sign:
        done = "doing the " + " and then the ".join(f"{sign_name(name)} sign" for name in spec.gestures)
    else:
        done = " and then ".join(PHRASES[name] for name in spec.gestures)
    return f"{done} {tempo}".rstrip()


def _with_rare_word(text: str, random: Generator) -> str:
    """A rare word put between two words, or in the place of a sign's name: it means nothing either way."""
    word = RARE_WORDS[int(random.integers(len(RARE_WORDS)))]
    before, middle, after = text.partition("doing the ")
    if middle and random.random() < 0.5:
        return f"{before}doing the {word} sign{after.rpartition('sign')[2]}"
    pieces = text.split(" ")
    place = int(random.integers(1, len(pieces) + 1))
    return " ".join([*pieces[:place], word, *pieces[place:]])
