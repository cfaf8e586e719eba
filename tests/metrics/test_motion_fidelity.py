"""Point tracks: the same gesture by somebody else scores higher than another gesture."""

import numpy as np
import pytest
import torch

from vmc.metrics.base import Record, RunContext
from vmc.metrics.motion import MotionFidelity, directions, fidelity
from vmc.mini.world.people import sample_person
from vmc.mini.world.renderer import ClipSpec, render
from vmc.mini.world.vocabulary import PLACES
from vmc.utils.errors import VmcError

pytest.importorskip("cv2")

GESTURES = ("Swiping Left", "Rolling Hand Forward", "Sliding Two Fingers Up")
EXEMPLARS, VIDEOS = 3, 3


def rendered(gesture: str, number: int) -> torch.Tensor:
    """frames_FCHW of a clip whose person, place and tempo no other has."""
    place = 20 * GESTURES.index(gesture) + number
    spec = ClipSpec(
        persons=(sample_person("card", place),),
        gestures=(gesture,),
        place=sorted(PLACES)[place % len(PLACES)],
        frames=37,
        seed=place,
    )
    return torch.from_numpy(render(spec, 64)).permute(0, 3, 1, 2)


def records(count: int) -> list[Record]:
    return [Record(video=f"{number}.mp4", prompt="") for number in range(count)]


def scores(metric: MotionFidelity, videos: torch.Tensor) -> list[float]:
    return list(metric.score(videos, records(len(videos)))["motion_fidelity"])


def area(above, below) -> float:
    """The chance that one of `above` exceeds one of `below`."""
    return float((np.array(above)[:, None] > np.array(below)).mean())


@pytest.fixture(scope="module")
def videos() -> torch.Tensor:
    """Videos of 8 frames, as models make them: gesture by gesture, of persons that no exemplar shows."""
    places = np.linspace(0, 36, 8).round().astype(int)
    made = [rendered(gesture, 10 + number)[places] for gesture in GESTURES for number in range(VIDEOS)]
    return torch.stack(made)


def test_the_same_gesture_by_somebody_else_scores_higher_than_another_gesture(videos):
    same, other = [], []
    for place, gesture in enumerate(GESTURES):
        exemplars = [(f"{number}", rendered(gesture, number)) for number in range(EXEMPLARS)]
        found = scores(MotionFidelity().begin(RunContext(exemplars=exemplars)), videos)
        own = slice(VIDEOS * place, VIDEOS * (place + 1))
        same += found[own]
        other += found[: own.start] + found[own.stop :]
    assert all(-1 <= one <= 1 for one in same + other)
    assert area(same, other) > 0.75
    assert np.mean(same) > np.mean(other) + 0.08


def moving(dx: int, dy: int, *, size: int = 64) -> torch.Tensor:
    """frames_FCHW of a picture of noise that moves over a plain ground."""
    noise = torch.randint(0, 256, (3, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    frames = torch.full((6, 3, size, size), 90, dtype=torch.uint8)
    for step in range(6):
        top, left = 20 + step * dy, 20 + step * dx
        frames[step, :, top : top + 24, left : left + 24] = noise
    return frames


@pytest.mark.parametrize("steps", ["length", "equal"])
def test_direction_decides_and_speed_and_size_do_not(steps):
    metric = MotionFidelity(steps=steps).begin(RunContext(exemplars=[("right", moving(3, 0))]))
    right, faster, left, down = scores(metric, torch.stack([moving(3, 0), moving(4, 0), moving(-3, 0), moving(0, 3)]))
    assert right > 0.85 and faster > 0.8
    assert abs(down) < 0.1 and left < -0.3
    (wide,) = scores(metric, moving(3, 0, size=96)[None])
    assert wide > 0.8


def test_a_frozen_video_shares_no_motion_and_the_best_exemplar_counts():
    exemplars = [("right", moving(3, 0)), ("down", moving(0, 3))]
    metric = MotionFidelity().begin(RunContext(exemplars=exemplars))
    frozen, down = scores(metric, torch.stack([moving(0, 0), moving(0, 3)]))
    assert frozen == 0 and down == pytest.approx(1, abs=1e-3)


def test_the_score_is_half_the_sum_of_the_papers_equation():
    tracks = np.cumsum(np.random.default_rng(0).normal(size=(5, 8, 2)), axis=1)
    one, other = (directions(part, steps="equal") for part in (tracks[:3], tracks[3:]))
    strides = np.diff(tracks, axis=1)
    units = strides / np.linalg.norm(strides, axis=-1, keepdims=True)
    cosines = np.einsum("ntc,mtc->nm", units[:3], units[3:]) / 7
    assert fidelity(one, other) == pytest.approx((cosines.max(1).mean() + cosines.max(0).mean()) / 2)


def test_what_it_depends_on_is_said_and_what_it_lacks():
    described = MotionFidelity().begin(RunContext(exemplars=[("a", moving(3, 0))])).describe()
    assert described["exemplars"]["clips"] == 1 and len(described["exemplars"]["sha256"]) == 64
    assert MotionFidelity().begin(RunContext()) is None
    with pytest.raises(VmcError, match="no exemplars"):
        MotionFidelity().begin(RunContext(exemplars=[]))
    with pytest.raises(VmcError, match="steps is twice; it must be length or equal"):
        MotionFidelity(steps="twice")


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setattr("vmc.metrics.motion.find_spec", lambda name: None)
    assert MotionFidelity().missing() == ["opencv-python-headless (pip install 'vmc[tracks]')"]
