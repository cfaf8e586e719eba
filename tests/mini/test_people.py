from dataclasses import astuple

import pandas as pd
import pytest

from vmc.mini.world import vocabulary as words
from vmc.mini.world.captions import RARE_WORDS, caption, full_caption, gesture_caption
from vmc.mini.world.gestures import KNOWN, LABELS, PHRASES
from vmc.mini.world.people import POOLS, RESERVED_POOLS, sample_person
from vmc.mini.world.phrases import attributes, person_from_phrase, subject_phrase
from vmc.mini.world.specs import Variety, sample_clip
from vmc.mini.world.test_set import SUBJECTS, TEST_SET, subjects, table
from vmc.utils.errors import VmcError

RESERVED_WORDS = (
    *words.RESERVED_COLORS,
    *words.RESERVED_HAIR_COLORS,
    *words.RESERVED_CLOTHES,
    *words.RESERVED_ACCESSORIES,
    *words.RESERVED_PLACES,
)


def test_persons_of_two_pools_never_meet():
    """No traits occur twice, within a pool or between pools."""
    traits = [astuple(sample_person(pool, number).traits) for pool in POOLS for number in range(-200, 200)]
    assert len(set(traits)) == len(traits)


def test_clip_seeds_of_two_pools_never_meet():
    seeds = [sample_clip(pool, number).seed for pool in POOLS for number in range(200)]
    assert len(set(seeds)) == len(seeds)


def test_a_person_is_the_same_each_time():
    assert sample_person("card", 3) == sample_person("card", 3)


def test_an_unknown_pool_is_refused_by_name():
    with pytest.raises(VmcError, match="elsewhere"):
        sample_person("elsewhere", 0)


@pytest.mark.parametrize("pool", RESERVED_POOLS)
def test_exemplars_wear_and_stand_before_reserved_things_alone(pool):
    for number in range(200):
        spec = sample_clip(pool, number, framing="webcam")
        person = spec.persons[0]
        assert person.clothes in words.RESERVED_CLOTHES and person.clothes_color in words.RESERVED_COLORS
        assert person.hair_color in words.RESERVED_HAIR_COLORS and not person.occupation
        assert spec.place in words.RESERVED_PLACES
        assert all(item.split(" ", 1)[1] in words.RESERVED_ACCESSORIES for item in person.accessories)


def test_no_test_subject_names_or_shows_what_is_reserved():
    for phrase in subjects():
        assert not any(word in phrase for word in RESERVED_WORDS), phrase
        person = person_from_phrase(phrase)
        assert person.clothes not in words.RESERVED_CLOTHES and person.clothes_color not in words.RESERVED_COLORS
        assert person.hair_color not in words.RESERVED_HAIR_COLORS
        assert person.outfit.color not in words.RESERVED_COLORS


def test_the_shipped_test_set_is_the_one_that_is_made():
    assert TEST_SET.read_text(encoding="utf-8") == table()
    frame = pd.read_csv(TEST_SET)
    assert list(frame.columns) == ["subject", "seed_1", "seed_2", "seed_3"]
    assert len(frame) == SUBJECTS == frame["subject"].nunique()
    assert frame.filter(like="seed").stack().nunique() == 3 * SUBJECTS


@pytest.mark.parametrize("phrase", subjects())
def test_a_subject_is_drawn_as_it_is_called(phrase):
    """Words to a person and back: what the phrase names is among the person's own words."""
    person = person_from_phrase(phrase, 2)
    assert person.pool == "subjects"
    parts = [part for part in attributes(person) if _named(part, person, phrase)]
    assert set(subject_phrase(person, parts).replace(",", "").split()) == set(phrase.lower().replace(",", "").split())


def _named(part: str, person, phrase: str) -> bool:
    if part == "hair":
        return person.hair_style in phrase or "bald" in phrase
    return (person.clothes if part == "clothes" else part) in phrase


def test_a_phrase_that_cannot_be_drawn_is_refused_by_its_word():
    with pytest.raises(VmcError, match="dragon"):
        person_from_phrase("A dragon")
    with pytest.raises(VmcError, match="wings"):
        person_from_phrase("A woman with wings")


def test_generic_persons_differ_by_number():
    assert person_from_phrase("A person", 0) != person_from_phrase("A person", 1)


def test_captions_vary_in_completeness():
    specs = [sample_clip("pretraining", number, gestures=KNOWN, variety=Variety()) for number in range(600)]
    texts = [caption(spec, number) for number, spec in enumerate(specs)]
    assert texts == [caption(spec, number) for number, spec in enumerate(specs)]
    plain = [text.lower().rstrip(".") for text in texts]
    said = {
        "a person and the gesture": [text for text in plain if text.startswith("a person ")],
        "a sign": [text for text in plain if "doing the " in text and text.endswith(" sign")],
        "a place": [text for text in plain if any(text.endswith(place) for place in words.PLACES)],
        "no gesture": [text for text in plain if not any(p in text for p in PHRASES.values()) and "sign" not in text],
        "two people": [text for text in plain if "two people" in text],
        "tempo": [text for text in plain if "slowly" in text or "quickly" in text],
        "sequence": [text for text in plain if "and then" in text],
        "a rare word": [text for text in plain if set(text.split()) & set(RARE_WORDS)],
        "a sentence": [text for text in texts if text[0].isupper() and text.endswith(".")],
    }
    assert all(len(found) >= 4 for found in said.values()), {key: len(found) for key, found in said.items()}
    assert len(said["a rare word"]) / len(texts) < 0.06
    assert not any("other things" in text or "computer" in text for text in plain)


def test_a_caption_says_the_truth():
    for number in range(100):
        spec = sample_clip("pretraining", number, gestures=KNOWN)
        text, full = caption(spec, number, rare_share=0.0).lower(), full_caption(spec)
        said = [name for name in LABELS if PHRASES[name] in text or f"doing the {name.lower()}" in text]
        assert said in ([], list(spec.gestures))
        assert PHRASES[spec.gestures[0]] in full and full.endswith(spec.place)
        assert (spec.persons[0].occupation or spec.persons[0].kind) in full


def test_exemplars_and_regularization_clips_are_said_as_the_paper_says_them():
    assert gesture_caption("Swiping Down", "A female firefighter") == "A female firefighter swiping hand down"
    assert gesture_caption("Doing other things") == "a person doing other things"
    assert gesture_caption("No gesture") == "a person in front of a computer"


def test_captions_fit_clips_tokenizer():
    """77 tokens with start and end: words and punctuation stay well below."""
    longest = max(len(full_caption(sample_clip("pretraining", n, variety=Variety(two_people=0.5)))) for n in range(400))
    assert longest < 260
