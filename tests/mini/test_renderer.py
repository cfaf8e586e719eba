from dataclasses import replace

import numpy as np
import pytest

from vmc.mini.world.gestures import GESTURES, KNOWN, LABELS, PHRASES, REGULARIZATION, RELATIVES, TARGETS
from vmc.mini.world.motion import perform
from vmc.mini.world.people import POOLS, generator, sample_person
from vmc.mini.world.poses import PITCH, SCALE, X, Y
from vmc.mini.world.renderer import ClipSpec, render
from vmc.mini.world.specs import PLAIN, Variety, sample_clip
from vmc.mini.world.vocabulary import PLACES, RESERVED_PLACES
from vmc.utils.errors import VmcError

MOVING = [label for label in LABELS if label != "No gesture"]


def clip(gesture: str, **changes: object) -> ClipSpec:
    person = sample_person("card", 7)
    return replace(
        ClipSpec(persons=(person,), gestures=(gesture,), place="in front of a grey wall", frames=16, seed=3), **changes
    )


def lead_hand(gesture: str, person: int = 7, frames: int = 37) -> np.ndarray:
    traits = sample_person("card", person).traits
    motion = perform((gesture,), frames, traits=traits, tempo="normal", random=generator("test", person))
    return motion.hands[0].poses_FC


def raised(poses_FC: np.ndarray) -> np.ndarray:
    return poses_FC[poses_FC[:, Y] < 0.95]


def test_the_27_gestures_are_jesters_and_fall_into_four_groups():
    assert len(LABELS) == 27 and list(LABELS) == sorted(GESTURES) == sorted(PHRASES)
    assert len(KNOWN) == 16
    assert sorted([*KNOWN, *TARGETS, *RELATIVES, *REGULARIZATION]) == list(LABELS)


@pytest.mark.parametrize("size", [64, (100, 132)])
@pytest.mark.parametrize("framing", ["webcam", "web"])
def test_the_same_specification_gives_the_same_bytes(size, framing):
    spec = sample_clip("card", 5, framing=framing, frames=(14, 14))
    frames_FHWC = render(spec, size)
    assert frames_FHWC.dtype == np.uint8
    assert frames_FHWC.shape == (14, *(size if isinstance(size, tuple) else (size, size)), 3)
    assert np.array_equal(frames_FHWC, render(spec, size))


def test_another_seed_gives_another_clip_of_the_same_person():
    assert not np.array_equal(render(clip("Swiping Left")), render(clip("Swiping Left", seed=4)))


@pytest.mark.parametrize("gesture", MOVING)
def test_hands_are_seen_in_every_gesture(gesture):
    """Against the same person at rest a hand's area changes, 2 % of the picture, in a third of the frames."""
    spec = clip(gesture)
    rest = render(replace(spec, gestures=())).astype(int)
    changed_F = (np.abs(render(spec) - rest).max(-1) > 40).mean(axis=(1, 2))
    assert (changed_F > 0.02).mean() > 1 / 3


def test_no_gesture_raises_no_hand():
    for person in range(10):
        assert len(raised(lead_hand("No gesture", person))) == 0


def test_gestures_of_one_person_differ_from_each_other():
    """At no pair of gestures do all frames look alike: the largest share of changed pixels is at least 1.5 %."""
    clips = {label: render(clip(label)).astype(np.int16) for label in LABELS if label != "Doing other things"}
    names = list(clips)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            changed_F = (np.abs(clips[first] - clips[second]).max(-1) > 40).mean(axis=(1, 2))
            assert changed_F.max() > 0.015, (first, second)


@pytest.mark.parametrize("person", range(4))
def test_opposite_gestures_go_opposite_ways(person):
    def travel(gesture: str, column: int) -> float:
        poses_FC = raised(lead_hand(gesture, person))
        third = len(poses_FC) // 3
        return float(poses_FC[-third:, column].mean() - poses_FC[:third, column].mean())

    assert travel("Swiping Left", X) < -0.2 < 0.2 < travel("Swiping Right", X)
    assert travel("Sliding Two Fingers Left", X) < -0.15 < 0.15 < travel("Sliding Two Fingers Right", X)
    assert travel("Pulling Hand In", SCALE) < -0.3 < 0.3 < travel("Pushing Hand Away", SCALE)


@pytest.mark.parametrize("direction", [1, -1])
def test_rolling_comes_nearer_at_the_top_or_at_the_bottom(direction):
    poses_FC = raised(lead_hand("Rolling Hand Forward" if direction > 0 else "Rolling Hand Backward", frames=40))[4:-4]
    rising_F = -np.diff(poses_FC[:, Y])
    near_F = poses_FC[:-1, SCALE] - poses_FC[:, SCALE].mean()
    # Forward, the hand is near while it goes down.
    assert np.sign(np.sum(rising_F * near_F)) == -direction


def test_only_targets_show_the_back_of_a_hand_whose_fingers_point_down():
    for label in KNOWN:
        assert np.abs(raised(lead_hand(label))[:, PITCH]).max() < 90, label
    assert raised(lead_hand("Swiping Down"))[:, PITCH].max() > 140
    assert raised(lead_hand("Drumming Fingers"))[:, PITCH].max() > 140


def test_unseen_hands_leave_the_person_and_faded_ones_lie_between():
    spec = clip("Stop Sign")
    full, half, none = (render(replace(spec, hands_alpha=alpha)).astype(int) for alpha in (1.0, 0.5, 0.0))
    assert np.abs(full - none).max() > 100
    assert np.abs(half - (full + none) / 2).max() <= 2


def test_tempo_and_sequences_change_the_time_that_gestures_take():
    def active(**changes: object) -> int:
        spec = clip("Stop Sign", frames=40, **changes)
        traits = spec.persons[0].traits
        motion = perform(spec.gestures, 40, traits=traits, tempo=spec.tempo, random=generator("test", 1))
        return len(raised(motion.hands[0].poses_FC))

    assert active(tempo="quick") < active() < active(tempo="slow")
    both = perform(
        ("Swiping Left", "Thumb Up"), 40, traits=sample_person("card", 1).traits, tempo="normal", random=generator("t")
    )
    assert not both.hands[0].swapped_F[:20].any() and both.hands[0].swapped_F[20:].all()


def test_a_still_portrait_has_one_frame_and_two_people_fit_in():
    person, other = sample_person("card", 1), sample_person("card", 2)
    assert render(ClipSpec(persons=(person,), frames=1)).shape == (1, 64, 64, 3)
    alone, two = (render(ClipSpec(persons=persons, frames=12)) for persons in ((person,), (person, other)))
    assert (np.abs(alone.astype(int) - two).max(-1) > 40).mean() > 0.1


@pytest.mark.parametrize("place", [*PLACES, *RESERVED_PLACES])
def test_every_place_is_drawn(place):
    assert render(ClipSpec(persons=(sample_person("card", 1),), place=place, frames=1)).std() > 5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gestures": ("Waving",)}, "Waving"),
        ({"place": "on Mars"}, "on Mars"),
        ({"frames": 5}, "5"),
        ({"persons": ()}, "0"),
        ({"hands_alpha": 1.5}, "1.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(changes, named):
    with pytest.raises(VmcError, match=named):
        render(clip("Stop Sign", **changes))


def test_a_picture_too_small_is_refused():
    with pytest.raises(VmcError, match="8x8"):
        render(clip("Stop Sign"), 8)


def test_variety_shows_stills_pairs_tempo_and_sequences():
    specs = [sample_clip("pretraining", number, gestures=KNOWN, variety=Variety()) for number in range(400)]
    shares = {
        "still": np.mean([spec.frames == 1 for spec in specs]),
        "pair": np.mean([len(spec.persons) == 2 for spec in specs]),
        "sequence": np.mean([len(spec.gestures) == 2 for spec in specs]),
        "tempo": np.mean([spec.tempo != "normal" for spec in specs]),
    }
    assert all(0.02 < share < 0.15 for share in shares.values()), shares
    assert {name for spec in specs for name in spec.gestures} == set(KNOWN)
    plain = [sample_clip("classifier", number, variety=PLAIN) for number in range(50)]
    assert all(len(spec.persons) == len(spec.gestures) == 1 and spec.tempo == "normal" for spec in plain)


def test_every_pool_can_be_drawn():
    for pool in POOLS:
        assert render(sample_clip(pool, 1, frames=(12, 12))).shape == (12, 64, 64, 3)
