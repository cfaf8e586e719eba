"""What the classes of the stand-ins are told from: pictures that show nothing right."""

import numpy as np
import pytest

from vmc.mini.makers.broken import blobs, broken, dissolved, patched, warped
from vmc.mini.world.objects import ObjectSpec, render_object
from vmc.mini.world.people import generator


def turning(number: int) -> np.ndarray:
    return render_object(ObjectSpec(category="vase", color="blue", frames=8, seed=number), 32)


def test_a_warp_moves_parts_of_every_frame_and_none_where_it_has_no_strength() -> None:
    clip = turning(0)
    still = warped(clip, generator("test", 0), strength=0.0)
    assert np.abs(still.astype(int) - clip).max() <= 1
    moved = warped(clip, generator("test", 0), strength=0.15).astype(int)
    assert all(np.abs(moved[frame] - clip[frame]).mean() > 2 for frame in range(8))
    assert np.array_equal(moved, warped(clip, generator("test", 0), strength=0.15))


def test_a_second_clip_shows_through_for_a_part_of_the_time() -> None:
    first, second = np.zeros((9, 4, 4, 3), np.uint8), np.full((9, 4, 4, 3), 200, np.uint8)
    seen_F = dissolved(first, second, generator("test", 1)).mean((1, 2, 3))
    peak = int(seen_F.argmax())
    assert seen_F.max() > 150 and seen_F.min() < 60
    assert (np.diff(seen_F[: peak + 1]) >= 0).all() and (np.diff(seen_F[peak:]) <= 0).all()


def test_blobs_change_and_patches_come_and_go() -> None:
    clip = blobs(32, 8, generator("test", 2)).astype(int)
    assert clip.shape == (8, 32, 32, 3) and np.abs(np.diff(clip, axis=0)).mean((1, 2, 3)).min() > 0
    person = np.full((8, 32, 32, 3), 10, np.uint8)
    covered_F = (patched(person, generator("test", 3)) > 20).any(-1).mean((1, 2))
    assert covered_F.max() > 0.01 and covered_F.max() - covered_F.min() > 0.005
    assert covered_F.max() < 0.6  # the person is still there


@pytest.mark.parametrize("number", range(6))
def test_each_way_of_being_broken_is_drawn_again_as_it_was(number: int) -> None:
    people = [lambda: turning(7), lambda: turning(8)]
    first, again = (broken(number, generator("test", number), thing=turning, people=people) for _ in range(2))
    assert first.shape == (8, 32, 32, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert all(np.abs(first.astype(int) - turning(one)).mean() > 0.5 for one in (2 * number, 7, 8))
