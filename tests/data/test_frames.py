import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc.data.frames import resize_and_crop, window
from vmc.errors import VmcError


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(1, 80),
    frames=st.integers(1, 20),
    step=st.integers(1, 5),
    start=st.sampled_from(["random", "first", "centre"]),
    seed=st.integers(0, 1000),
)
def test_a_window_is_in_order_at_its_step_and_inside_the_clip(total, frames, step, start, seed):
    indices, padded = window(total, frames=frames, step=step, start=start, generator=draw(seed))
    assert len(indices) == frames and indices[0] >= 0 and indices[-1] < total
    whole = indices[: frames - padded]
    assert all(after - before == step for before, after in itertools.pairwise(whole))
    assert all(index == total - 1 for index in indices[frames - padded :])
    assert (padded == 0) == (total >= (frames - 1) * step + 1)
    if padded:
        assert indices[0] == 0, "what there is of a short clip is shown from its start"
    if start == "centre" and not padded:
        before, after = indices[0], total - 1 - indices[-1]
        assert abs(before - after) <= 1
    if start == "first":
        assert indices[0] == 0


def test_random_starts_reach_both_ends_and_hang_on_the_generator_alone():
    starts = {window(10, frames=4, step=2, start="random", generator=draw(seed)).indices[0] for seed in range(60)}
    assert starts == {0, 1, 2, 3}
    again = [window(100, frames=4, step=2, start="random", generator=draw(7)) for _ in range(2)]
    assert again[0] == again[1]


def test_short_clips_are_padded_by_their_last_frame():
    assert window(3, frames=5, step=1, start="first", generator=draw()) == ((0, 1, 2, 2, 2), 2)
    assert window(4, frames=4, step=2, start="centre", generator=draw()) == ((0, 2, 3, 3), 2)
    assert window(1, frames=3, step=1, start="random", generator=draw()) == ((0, 0, 0), 2)


@pytest.mark.parametrize(
    ("wrong", "name"), [({"frames": 0}, "data.frames"), ({"step": 0}, "data.step"), ({"start": "last"}, "data.start")]
)
def test_wrong_windows_are_refused_by_name(wrong, name):
    right = {"frames": 4, "step": 1, "start": "first"}
    with pytest.raises(VmcError, match=f"{name} is '?{next(iter(wrong.values()))}"):
        window(10, **right | wrong, generator=draw())


def disc(height, width, radius):
    """A white disc in the middle of black."""
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    inside = rows[:, None] ** 2 + columns[None] ** 2 <= radius**2
    return (inside * 255).to(torch.uint8).expand(2, 3, height, width).contiguous()


@pytest.mark.parametrize("size", [64, (64, 96), (96, 64)])
@pytest.mark.parametrize("source", [(200, 300), (300, 200), (90, 400), (200, 200), (32, 48)])
def test_a_circle_stays_a_circle_in_the_middle(source, size):
    frames_FCHW = resize_and_crop(disc(*source, radius=10), size)
    height, width = (size, size) if isinstance(size, int) else size
    assert frames_FCHW.shape == (2, 3, height, width) and frames_FCHW.dtype == torch.uint8
    lit = frames_FCHW[0, 0].float() / 255
    high, wide = lit.sum(0).max().item(), lit.sum(1).max().item()
    scale = max(height / source[0], width / source[1])
    assert high == pytest.approx(20 * scale, abs=1.2) and wide == pytest.approx(high, abs=0.5)
    rows, columns = torch.arange(height).float(), torch.arange(width).float()
    assert (lit.sum(1) @ rows / lit.sum()).item() == pytest.approx((height - 1) / 2, abs=0.6)
    assert (lit.sum(0) @ columns / lit.sum()).item() == pytest.approx((width - 1) / 2, abs=0.6)


def test_frames_already_of_that_size_are_left_as_they_are():
    frames = torch.randint(0, 256, (3, 3, 16, 24), dtype=torch.uint8, generator=draw())
    assert torch.equal(resize_and_crop(frames, (16, 24)), frames)
    assert torch.equal(resize_and_crop(frames, 16), frames[:, :, :, 4:20])


def test_shrinking_averages_and_does_not_skip():
    """Stripes of which interpolation between neighbours would see the dark ones alone become grey."""
    stripes = torch.tensor([255, 0, 0, 255], dtype=torch.uint8).repeat(16).expand(1, 3, 64, 64)
    assert (resize_and_crop(stripes, 16)[..., 1:-1].float() - 127.5).abs().max() < 3
