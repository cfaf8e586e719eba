"""Windows: which frames are taken of a clip, by when they are shown."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc.data.frames import even_times, resize_and_crop, window
from vmc.utils.errors import VmcError

STARTS = ["random", "first", "centre"]


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def every(total, *, frames, step, start, generator):
    """Every `step`th frame of a clip, by counting: what a window of evenly spaced frames is."""
    spare = max(0, total - 1 - (frames - 1) * step)
    first = {"first": 0, "centre": spare // 2}.get(start)
    if first is None:
        first = int(torch.randint(spare + 1, (1,), generator=generator))
    wanted = [first + place * step for place in range(frames)]
    return tuple(min(index, total - 1) for index in wanted), sum(index >= total for index in wanted)


@settings(max_examples=300, deadline=None)
@given(
    total=st.integers(1, 200),
    frames=st.integers(1, 30),
    step=st.integers(1, 6),
    fps=st.sampled_from([1.0, 3.0, 4.995, 7.3, 8.0, 12.0, 23.976, 24.0, 29.97, 30.0]),
    start=st.sampled_from(STARTS),
    seed=st.integers(0, 1000),
)
def test_of_a_rate_that_is_a_whole_multiple_every_so_manieth_frame_is_taken(total, frames, step, fps, start, seed):
    """The same indices and the same draw, to the bit: 12 frames a second at fps=3 are every fourth."""
    counted = every(total, frames=frames, step=step, start=start, generator=draw(seed))
    times = even_times(total, fps * step)
    assert window(times, frames=frames, fps=fps, start=start, generator=draw(seed)) == counted


@settings(max_examples=300, deadline=None)
@given(
    rates=st.lists(st.sampled_from([15.0, 24.0, 29.97, 30.0, 60.0, 240.0]), min_size=1, max_size=120),
    frames=st.integers(1, 20),
    start=st.sampled_from(STARTS),
    seed=st.integers(0, 1000),
)
def test_each_moment_shows_the_frame_of_its_time_at_any_and_at_varying_rates(rates, frames, start, seed):
    times = [0.0, *itertools.accumulate(1 / rate for rate in rates)]
    indices, padded = window(times, frames=frames, fps=12.0, start=start, generator=draw(seed))
    assert len(indices) == frames and list(indices) == sorted(indices)
    if start == "first" or padded:
        assert indices[0] == 0, "what there is of a short clip is shown from its start"
    assert all(index == len(times) - 1 for index in indices[frames - padded :])
    for place, index in enumerate(indices[: frames - padded]):
        late = times[indices[0]] + place / 12 - times[index]
        shown_for = times[index + 1] - times[index] if index + 1 < len(times) else 1 / 15
        assert -0.25 / 15 - 1e-9 <= late < shown_for + 1e-9, "the frame is on show, up to the rounding of timestamps"


def test_random_starts_reach_both_ends_and_hang_on_the_generator_alone():
    def start(times, seed, fps=6.0, frames=4):
        return window(times, frames=frames, fps=fps, start="random", generator=draw(seed)).indices[0]

    assert {start(even_times(10, 12.0), seed) for seed in range(60)} == {0, 1, 2, 3}
    uneven = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
    assert {start(uneven, seed, fps=5.0, frames=3) for seed in range(60)} == {0, 1, 2, 3, 4, 5}
    assert start(even_times(100, 12.0), 7) == start(even_times(100, 12.0), 7)


def test_short_clips_are_padded_by_their_last_frame():
    def padded(total, *, frames, rate, start):
        return window(even_times(total, rate), frames=frames, fps=12.0, start=start, generator=draw())

    assert padded(3, frames=5, rate=12.0, start="first") == ((0, 1, 2, 2, 2), 2)
    assert padded(4, frames=4, rate=24.0, start="centre") == ((0, 2, 3, 3), 2)
    assert padded(1, frames=3, rate=12.0, start="random") == ((0, 0, 0), 2)


@pytest.mark.parametrize("rate", [4.0, 10.0, 11.99, 12.0])
def test_of_a_clip_that_is_slower_each_frame_is_taken_once(rate):
    times = even_times(20, rate)
    assert window(times, frames=8, fps=12.0, start="first", generator=draw()) == (tuple(range(8)), 0)
    assert window(times, frames=22, fps=12.0, start="first", generator=draw()).padded == 2


@pytest.mark.parametrize(
    ("rate", "unit"), [(12, 0.01), (24, 0.01), (30, 0.01), (30, 0.001), (60, 0.001), (59.94, 0.001)]
)
@pytest.mark.parametrize("fps", [12.0, 6.0, 24.0])
def test_rounded_timestamps_give_the_frames_of_exact_ones(rate, unit, fps):
    """A GIF counts in hundredths of a second, Matroska in thousandths."""
    exact = even_times(90, rate)
    rounded = [round(time / unit) * unit for time in exact]
    for seed in range(30):
        first, other = (
            window(times, frames=10, fps=fps, start="random", generator=draw(seed)).indices
            for times in (exact, rounded)
        )
        assert max(abs(one - two) for one, two in zip(first, other, strict=True)) <= (rate % fps != 0)
        if rate >= fps:
            assert len(set(other)) == 10, "no frame twice"


def test_a_long_still_moment_of_a_varying_clip_is_not_skipped():
    """Ten frames a second for a second, then sixty: moments are even in time, whatever the frames are."""
    times = [*even_times(10, 10.0), *(1 + time for time in even_times(60, 60.0))]
    indices, padded = window(times, frames=20, fps=10.0, start="first", generator=draw())
    assert [round(times[index], 2) for index in indices] == [round(place / 10, 2) for place in range(20)] and not padded


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frames": 0}, "data.frames is 0; it must be a whole number from 1 to 1000"),
        ({"frames": 2.5}, "data.frames is 2.5; it must be a whole number from 1 to 1000"),
        ({"frames": 100_000}, "data.frames is 100000; it must be a whole number from 1 to 1000"),
        ({"fps": 0}, "data.fps is 0; it must be a number greater than 0, in frames a second, for example 12"),
        ({"fps": "30fps"}, "data.fps is 30fps; it must be a number greater than 0"),
        ({"fps": float("nan")}, "data.fps is nan; it must be a number greater than 0"),
        ({"fps": float("inf")}, "data.fps is inf; it must be a number greater than 0"),
        ({"fps": None}, "data.fps is None; it must be a number greater than 0"),
        ({"start": "last"}, "data.start is 'last'; it must be one of random, first, centre"),
    ],
)
def test_wrong_windows_are_refused_by_name(wrong, words):
    right = {"frames": 4, "fps": 12.0, "start": "first"}
    with pytest.raises(VmcError) as refused:
        window(even_times(10, 12.0), **right | wrong, generator=draw())
    assert str(refused.value).startswith(words)


def disc(height, width, radius):
    """A white disc in the middle of black."""
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    inside = rows[:, None] ** 2 + columns[None] ** 2 <= radius**2
    return (inside * 255).to(torch.uint8).expand(2, 3, height, width).contiguous()


@pytest.mark.parametrize("source", [(200, 300), (300, 200), (90, 400), (200, 200), (32, 48)])
def test_a_circle_stays_a_circle_in_the_middle(source):
    size = 64
    frames_FCHW = resize_and_crop(disc(*source, radius=10), size)
    assert frames_FCHW.shape == (2, 3, size, size) and frames_FCHW.dtype == torch.uint8
    lit = frames_FCHW[0, 0].float() / 255
    high, wide = lit.sum(0).max().item(), lit.sum(1).max().item()
    scale = max(size / source[0], size / source[1])
    assert high == pytest.approx(20 * scale, abs=1.2) and wide == pytest.approx(high, abs=0.5)
    places = torch.arange(size).float()
    assert (lit.sum(1) @ places / lit.sum()).item() == pytest.approx((size - 1) / 2, abs=0.6)
    assert (lit.sum(0) @ places / lit.sum()).item() == pytest.approx((size - 1) / 2, abs=0.6)


def test_frames_already_of_that_size_are_left_as_they_are():
    frames = torch.randint(0, 256, (3, 3, 16, 24), dtype=torch.uint8, generator=draw())
    assert torch.equal(resize_and_crop(frames, 16), frames[:, :, :, 4:20])


def test_shrinking_averages_and_does_not_skip():
    """Stripes of which interpolation between neighbours would see the dark ones alone become grey."""
    stripes = torch.tensor([255, 0, 0, 255], dtype=torch.uint8).repeat(16).expand(1, 3, 64, 64)
    assert (resize_and_crop(stripes, 16)[..., 1:-1].float() - 127.5).abs().max() < 3
