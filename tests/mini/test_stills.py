"""The person who is in no caption, and the stills of him."""

import csv

import numpy as np
from PIL import Image

from vmc.mini.world import stills
from vmc.mini.world import vocabulary as words
from vmc.mini.world.people import POOLS, sample_person
from vmc.mini.world.stills import STILLS, subject_person


def test_no_word_says_what_he_looks_like():
    """His hair and clothes are far from every color that has a name, his skin is of a tone that none has."""
    person = subject_person()
    for rgb, named in ((person.hair_rgb, words.HAIR_COLORS), (person.clothes_rgb, words.COLORS)):
        assert min(np.abs(np.subtract(rgb, other)).max() for other in named.values()) > 40
    assert person.skin not in words.NAMED_SKINS and person.kind == "man"
    assert all(sample_person(pool, number).traits != person.traits for pool in POOLS for number in range(300))


def test_stills_are_written_with_captions_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path))
    folder = stills.default_folder()
    with (folder / "captions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(STILLS) == 8 and all("{subject_token} man" in row["caption"] for row in rows)
    assert sum(row["caption"].startswith("a portrait of a") for row in rows) == 2
    pictures = [np.asarray(Image.open(folder / row["file"])) for row in rows]
    assert {picture.shape for picture in pictures} == {(256, 256, 3)}
    violet, lime = subject_person().hair_rgb, subject_person().clothes_rgb
    for picture in pictures:  # both colors are there, but for the room's light
        for rgb in (violet, lime):
            near = np.abs(picture.astype(int) - rgb).max(-1) < 40
            assert near.mean() > 0.02
    assert len({picture.tobytes() for picture in pictures}) == 8
    before = (folder / "captions.csv").stat().st_mtime_ns
    assert stills.default_folder() == folder and (folder / "captions.csv").stat().st_mtime_ns == before
