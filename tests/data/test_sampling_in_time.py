"""One motion, encoded in many ways, gives the same window of time."""

import re
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from vmc.config.folders import config_folder
from vmc.data import video
from vmc.data.folder import VideoFolder
from vmc.data.frames import ClipTransform, typical_interval
from vmc.data.motion import MotionData
from vmc.data.video import frame_times
from vmc.utils.errors import VmcError

SECONDS, SIDE, BAR = 2.0, 256, 16
SPEED = (SIDE - BAR) / SECONDS
"""px a second of a bar that moves from left to right: where it stands tells the time."""


def picture(time):
    """image_HWC of the motion at a time."""
    image = np.full((SIDE, SIDE, 3), 30, np.uint8)
    left = round(time * SPEED)
    image[:, left : left + BAR] = 220
    return image


def shown_times(frames_FCHW):
    """When the frames were taken, told by their bars."""
    lit = (frames_FCHW.float().mean((1, 2)) - 30).clamp(min=40) - 40
    columns = torch.arange(SIDE) + 0.5
    return ((lit @ columns / lit.sum(1) - BAR / 2) / SPEED).tolist()


def encode(path, times, *, codec="libx264", pixels="yuv420p", unit=12000, first=0.0, **options):
    """A clip whose frames are shown at these times, and its first one at `first`; PyAV writes the timestamps."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=60, options=options)
        stream.width = stream.height = SIDE
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, unit)
        for time in times:
            frame = av.VideoFrame.from_ndarray(picture(time), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = round((first + time) * unit), Fraction(1, unit)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def even(rate):
    return [number / rate for number in range(round(SECONDS * rate))]


VARYING = [*even(10)[:10], *(1 + time for time in even(60)[:60])]
"""Ten frames in the first second, sixty in the second."""
JITTERING = [time + 0.008 * np.sin(7 * number) for number, time in enumerate(even(30))]
"""About thirty frames a second, none at its exact time, as phones film."""


def folder_of_frames(path, rate):
    path.mkdir()
    for number, time in enumerate(even(rate)):
        Image.fromarray(picture(time)).save(path / f"{number:03d}.png")
    return path


def animated_image(path, rate):
    """Frames whose durations, whole milliseconds, add up to the time that each is shown at."""
    times = [round(1000 * time) for time in [*even(rate), SECONDS]]
    first, *others = [Image.fromarray(picture(time)) for time in even(rate)]
    durations = [after - before for before, after in pairwise(times)]
    first.save(path, save_all=True, append_images=others, duration=durations, lossless=True)
    return path


KINDS = {
    "12": lambda folder: encode(folder / "clip.mp4", even(12)),
    "24": lambda folder: encode(folder / "clip.mp4", even(24)),
    "30": lambda folder: encode(folder / "clip.mkv", even(30)),
    "60": lambda folder: encode(folder / "clip.mov", even(60)),
    "vp9": lambda folder: encode(folder / "clip.webm", even(30), codec="libvpx-vp9", speed="8"),
    "jittering": lambda folder: encode(folder / "clip.mp4", JITTERING),
    "varying": lambda folder: encode(folder / "clip.mp4", VARYING),
    "starts late": lambda folder: encode(folder / "clip.mp4", even(24), first=0.75),
    "starts late, matroska": lambda folder: encode(folder / "clip.mkv", even(24), first=3.0),
    "gif": lambda folder: encode(folder / "clip.gif", even(12), codec="gif", pixels="rgb8", unit=100),
    "gif of 30": lambda folder: encode(folder / "clip.gif", even(30), codec="gif", pixels="rgb8", unit=100),
    "animated webp": lambda folder: animated_image(folder / "clip.webp", 24),
    "animated png": lambda folder: animated_image(folder / "clip.png", 30),
    "folder": lambda folder: folder_of_frames(folder / "clip", 12),
    "folder of 24": lambda folder: folder_of_frames(folder / "clip", 24),
}
WINDOW = {"frames": 8, "size": SIDE}


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory):
    """The clip of a kind, which is encoded once."""
    return cache(lambda kind: KINDS[kind](tmp_path_factory.mktemp("clip")))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_motion_gives_the_same_window_of_time(kind, clip_of):
    clip = clip_of(kind)
    folder_fps = 24.0 if kind == "folder of 24" else 12.0
    transform = ClipTransform(**WINDOW, fps=5.0, start="first", folder_fps=folder_fps)
    seen = shown_times(transform(clip, variant=0))
    # The frame on show at a moment was taken at that moment or up to one frame before: 1/10 s where there are 10 a
    # second. What comes within a quarter of a frame counts as there. Half a pixel and a rounded timestamp are 1/100 s.
    slack = 1 / 10 if kind == "varying" else typical_interval(transform.times(clip))
    for place, time in enumerate(seen):
        assert place / 5 - slack - 0.01 <= time <= place / 5 + slack / 4 + 0.01, (place, time)
    assert seen[0] == pytest.approx(0, abs=0.01), "the first frame is at 0, whatever the file calls it"


@pytest.mark.parametrize("kind", ["12", "24", "60", "starts late", "gif", "folder", "folder of 24"])
def test_a_whole_multiple_of_the_rate_gives_the_very_frames(kind, clip_of):
    folder_fps = 24.0 if kind == "folder of 24" else 12.0
    transform = ClipTransform(**WINDOW, fps=4.0, start="first", folder_fps=folder_fps)
    seen = shown_times(transform(clip_of(kind), variant=0))
    assert seen == pytest.approx([place / 4 for place in range(8)], abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_windows_are_even_in_time_at_the_rate_of_the_model(kind, clip_of):
    clip = clip_of(kind)
    folder_fps = 24.0 if kind == "folder of 24" else 12.0
    for variant in range(3):
        transform = ClipTransform(**WINDOW, fps=10.0, folder_fps=folder_fps)
        seen = shown_times(transform(clip, variant=variant))
        expected = [seen[0] + place / 10 for place in range(8)]
        assert max(abs(one - other) for one, other in zip(seen, expected, strict=True)) < 1 / 10 + 0.01
        assert seen[-1] - seen[0] == pytest.approx(0.7, abs=1 / 12 + 0.01)


def test_times_are_those_that_the_file_was_written_with(tmp_path):
    for name, times in {"varying": VARYING, "jittering": [time - JITTERING[0] for time in JITTERING]}.items():
        for suffix in (".mp4", ".mkv"):
            read = frame_times(encode(tmp_path / f"{name}{suffix}", times))
            assert read == pytest.approx(times, abs=0.001)
    delays = [0.04, 0.5, 0.1, 0.1]
    pictures = [Image.fromarray(picture(time)) for time in (0, 0.4, 0.8, 1.2)]
    pictures[0].save(
        tmp_path / "delays.gif", save_all=True, append_images=pictures[1:], duration=[1000 * delay for delay in delays]
    )
    assert frame_times(tmp_path / "delays.gif") == pytest.approx([0, 0.04, 0.54, 0.64], abs=1e-6)


def test_folders_have_the_rate_that_they_are_said_to_have_and_stills_one_frame(tmp_path):
    folder = folder_of_frames(tmp_path / "frames", 3)
    assert frame_times(folder) == [number / 12 for number in range(6)]
    assert frame_times(folder, folder_rate=30.0) == [number / 30 for number in range(6)]
    assert frame_times(folder / "000.png") == [0.0]


@pytest.mark.parametrize("stamps", [[None] * 24, [0.0, 0.1, 0.1, *range(1, 22)], [0.0, 0.2, 0.1, *range(1, 22)]])
def test_clips_without_usable_timestamps_have_their_average_rate(stamps, tmp_path, monkeypatch):
    clip = encode(tmp_path / "clip.mp4", even(12))
    monkeypatch.setattr(video, "_decoded", lambda *_: [SimpleNamespace(time=stamp) for stamp in stamps])
    rate = float(video.frame_rate(clip))
    assert rate == pytest.approx(12, rel=0.05)  # what the file says, without how long its last frame is shown
    assert frame_times(clip) == pytest.approx([number / rate for number in range(24)])


@pytest.mark.parametrize(
    ("choices", "distance"), [(["stack=paper"], 1), (["stack=mini"], 4), (["stack=mini", "data=jester"], 4)]
)
def test_of_jester_a_stack_takes_the_frames_of_its_models_rate(choices, distance, make, tmp_path):
    """Jester has 12 frames a second; ZeroScope makes 12 a second, the miniature 3."""
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        config = compose("train", overrides=[*choices, *(["data=jester"] if "stack=paper" in choices else [])])
    config.data.update({"path": None, "source": None, "start": "first", "frames": 3, "size": 32})
    data = instantiate(config.data)
    clip = make.save_images(tmp_path / "clip", make.numbered(10))
    transform = data.transform(augmented=False, mirror=False)
    assert make.numbers(transform(clip, variant=0)) == [0, distance, 2 * distance]
    assert data.fps == config.model.fps == 12 / distance


def test_what_is_no_rate_is_refused_with_its_key():
    for key, wrong in {
        "fps": "30fps",
        "frame_folder_fps": 0,
        "frames": 2.5,
        "size": [64, 32],
        "variants": "many",
    }.items():
        with pytest.raises(VmcError, match=rf"data\.{key} is {re.escape(str(wrong))}; it must be a "):
            MotionData(source=VideoFolder(None), **{key: wrong})


@pytest.mark.clips
def test_cases_of_one_motion_at_two_rates(real_clips):
    cases = Path(real_clips).parent / "cases"
    if not cases.is_dir():
        pytest.skip("the cases are not beside the checkout")
    transform = ClipTransform(frames=8, fps=6.0, start="first", size=64)
    slow, fast = (transform(cases / f"fps{rate}_same_motion.mp4", variant=0).float() for rate in (12, 60))
    assert (slow - fast).abs().mean() < 3, "both are two seconds of one motion"
