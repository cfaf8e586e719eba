"""Metrics of several people, tempo and sequences, proven on clips that the miniature's world renders."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from vmc.metrics.base import Record, RunContext
from vmc.metrics.networks.classifiers import TRNClassifier
from vmc.metrics.people import People, crop_square
from vmc.metrics.scores import values_of_run
from vmc.metrics.sequence import GestureSequence
from vmc.metrics.statistics import intervals_of_run
from vmc.metrics.suite import Suite
from vmc.metrics.tempo import Tempo, motion_span
from vmc.mini.shipped import shipped
from vmc.mini.world.renderer import ClipSpec, render
from vmc.mini.world.specs import PLAIN, Variety, sample_clip
from vmc.utils.errors import VmcError

EASY = ("Thumb Up", "Stop Sign", "Swiping Left", "Swiping Right")


@pytest.fixture(scope="module")
def classifier() -> TRNClassifier:
    return TRNClassifier(path=shipped("classifier.pth.tar"))


def clip(number: int, gesture: str, variety: Variety = PLAIN) -> ClipSpec:
    return sample_clip("card", number, gestures=(gesture,), framing="webcam", frames=(32, 32), variety=variety)


def window(spec: ClipSpec) -> torch.Tensor:
    frames_FHWC: NDArray[np.uint8] = render(spec)
    return torch.from_numpy(frames_FHWC[1::4]).permute(0, 3, 1, 2).contiguous()


def scored(metric, specs, suites, *, target=None, then=None):
    records = [
        Record(video=f"{place}.mp4", prompt=f"p{place}", suite=suite, then=then and then[place])
        for place, suite in enumerate(suites)
    ]
    own = metric.begin(RunContext(target=target))
    return own.score(torch.stack([window(spec) for spec in specs]), records)


def test_people_are_seen_each_by_themselves(classifier):
    specs = [clip(number, "Thumb Up", Variety(0, 1, 0, 0)) for number in range(6)]
    found = scored(People(classifier=classifier), specs, ["people"] * 6, target="Thumb Up")
    assert sum(found["people_share"]) / 6 >= 0.75
    wrong = scored(People(classifier=classifier), specs, ["people"] * 6, target="Swiping Left")
    assert sum(wrong["people_share"]) == 0
    one = scored(
        People(classifier=classifier), [clip(n, "Thumb Up") for n in range(6)], ["people"] * 6, target="Thumb Up"
    )
    assert not any(one["people_all"])  # one person in the middle is no two


def test_a_sequence_counts_in_its_order_alone(classifier):
    pairs = [(first, second) for first in EASY[:2] for second in EASY if first != second]
    specs = [replace(clip(place, one), gestures=(one, two)) for place, (one, two) in enumerate(pairs)]
    metric, suites = GestureSequence(classifier=classifier), ["sequence"] * len(pairs)
    for first in EASY[:2]:
        chosen = [place for place, pair in enumerate(pairs) if pair[0] == first]
        then = [pairs[place][1] for place in chosen]
        found = scored(metric, [specs[p] for p in chosen], suites[: len(chosen)], target=first, then=then)
        assert sum(found["sequence_all"]) >= 2
        other = scored(metric, [specs[p] for p in chosen], suites[: len(chosen)], target="Thumb Down", then=then)
        assert not any(other["sequence_all"])
        assert sum(other["sequence_share"]) >= 0.5 * 2
    with pytest.raises(VmcError, match="no `then`"):
        scored(metric, specs[:1], ["sequence"], target=EASY[0])
    with pytest.raises(VmcError, match=r"^`then` of the prompt 'p0' is 'Thum Up', which .* are .*[^)]$"):
        scored(metric, specs[:1], ["sequence"], target=EASY[0], then=["Thum Up"])


def test_tempo_tells_slow_clips_from_quick_ones():
    both = ("slow", "quick")
    specs = [replace(clip(number, EASY[2 + number % 2]), tempo=tempo) for number in range(8) for tempo in both]
    found = scored(Tempo(), specs, ["slow", "quick"] * 8)
    assert sum(found["tempo_correct"]) >= 13
    other = scored(Tempo(), specs, ["quick", "slow"] * 8)
    assert sum(other["tempo_correct"]) == 16 - sum(found["tempo_correct"])


def test_a_still_video_has_no_tempo():
    still = torch.zeros(1, 8, 3, 16, 16, dtype=torch.uint8)
    record = Record(video="a.mp4", prompt="p", suite="quick")
    assert Tempo().score(still, [record]) == {"motion_span": [None], "tempo_correct": [False]}
    moving = still[0].clone()
    moving[::2] = 200
    assert motion_span(moving) == pytest.approx(1, abs=0.02)


def test_a_crop_stands_on_the_bottom_and_its_edge_is_drawn_out():
    frames = torch.zeros(1, 2, 3, 60, 60, dtype=torch.uint8)
    frames[..., 20:, :1] = 200
    crop = crop_square(frames, center=0.25, side=2 / 3)
    assert crop.shape == frames.shape
    assert (crop[..., :6] > 150).all()  # 5 pixels beyond the left edge, and what was outside above is not seen
    assert (crop[..., 10:] == 0).all()


def test_other_suites_have_no_value_and_an_invalid_video_is_wrong_in_its_own_alone(classifier):
    suite = Suite(classifier=classifier, people=People(), tempo=Tempo(), sequence=GestureSequence())
    evaluator = suite.evaluator(RunContext(target="Thumb Up"))
    frames = [window(clip(3, "Thumb Up")), torch.zeros(8, 3, 64, 64, dtype=torch.uint8), window(clip(4, "Thumb Up"))]
    names = ("quick", "people", "")
    records = [
        Record(video=f"{place}.mp4", prompt=f"p{place}", subject="s", seed=place, suite=name or None)
        for place, name in enumerate(names)
    ]
    rows = evaluator.score(frames, records)
    assert [row.get("suite") for row in rows] == ["quick", "people", None]
    assert [row["people_all"] for row in rows] == [None, False, None]
    assert [row["sequence_all"] for row in rows] == [None] * 3
    assert rows[0]["tempo_correct"] in (True, False)
    values = values_of_run(pd.DataFrame(rows), columns=evaluator.columns)
    assert values["people_share"].tolist()[1] == 0 and values["people_share"].isna().sum() == 2
    assert "sequence_all" not in values
    assert intervals_of_run(pd.DataFrame(rows), columns=evaluator.columns)["people_all"].value == 0


def test_a_classifier_is_the_suites_own_and_has_to_be_there(classifier):
    assert Suite(classifier=classifier, people=People()).metrics["people"].classifier is classifier
    with pytest.raises(VmcError, match=r"metrics\.people=null"):
        Suite(classifier=None, people=People()).check()
    with pytest.raises(VmcError, match=r"metrics\.people\.side is 2"):
        People(side=2)
    with pytest.raises(VmcError, match=r"metrics\.tempo\.ordinary is 0"):
        Tempo(ordinary=0)
    assert People(classifier=classifier).begin(RunContext(target=None)) is None
