import itertools
import re
import shutil

import pytest
import torch

from vmc.data import frames
from vmc.data.augmentation import Augmentation
from vmc.data.frames import ClipTransform, resize_and_crop
from vmc.data.video import read_frames
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint

PLAIN = {"frames": 4, "fps": 4.0, "start": "first", "size": 32, "augmentation": None, "mirror": False}


def test_frames_size_and_order(mp4, make):
    frames_FCHW = ClipTransform(**PLAIN)(mp4, variant=0)
    assert frames_FCHW.shape == (4, 3, 32, 32) and frames_FCHW.dtype == torch.uint8
    assert make.numbers(frames_FCHW) == [0, 2, 4, 6]
    assert torch.equal(frames_FCHW, resize_and_crop(read_frames(mp4, [0, 2, 4, 6]), 32))


def test_a_phone_video_stays_upright(portrait, make):
    assert make.red_corner(ClipTransform(**PLAIN)(portrait, variant=0)) == "top right"


def test_variants_differ_and_hang_on_content_and_number_alone(mp4, tmp_path, make):
    transform = ClipTransform(**PLAIN | {"start": "random", "augmentation": Augmentation()})
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(mp4, tmp_path / "elsewhere" / "other name.mp4")
    variants = [transform(mp4, variant=number) for number in range(6)]
    assert len({tuple(make.numbers(variant)) for variant in variants}) > 1, "the window is drawn"
    assert all((a != b).any() for a, b in itertools.pairwise(variants))
    torch.manual_seed(1)
    assert all(torch.equal(transform(copy, variant=number), variants[number]) for number in (5, 0, 3))
    changed = make.encode(tmp_path / "changed.mp4", make.numbered(9))
    windows = lambda clip: [make.numbers(transform(clip, variant=number)) for number in range(6)]  # noqa: E731
    assert windows(changed) != windows(mp4), "other content, other draws"


def test_the_window_of_a_variant_does_not_hang_on_the_augmentation(mp4, make):
    plain = ClipTransform(**PLAIN | {"start": "random"})
    augmented = ClipTransform(**PLAIN | {"start": "random", "augmentation": Augmentation(brightness=0, contrast=0)})
    for variant in range(5):
        windows = [make.numbers(transform(mp4, variant=variant)) for transform in (plain, augmented)]
        assert windows[0] == windows[1]


def test_short_clips_are_padded(tmp_path, make):
    clip = make.encode(tmp_path / "short.mp4", make.numbered(5))
    frames_FCHW = ClipTransform(**PLAIN | {"frames": 8, "fps": 8.0})(clip, variant=0)
    assert make.numbers(frames_FCHW) == [0, 1, 2, 3, 4, 4, 4, 4]


def test_a_clip_of_one_frame_and_a_still(tmp_path, make):
    one = make.encode(tmp_path / "one.mp4", make.numbered(1))
    still = make.save_images(tmp_path, make.numbered(1), pattern="still.png") / "still.png"
    for clip in (one, still):
        frames_FCHW = ClipTransform(**PLAIN)(clip, variant=0)
        assert frames_FCHW.shape == (4, 3, 32, 32) and (frames_FCHW == frames_FCHW[:1]).all()


@pytest.mark.parametrize("size", [0, 4])
def test_sizes_that_show_nothing_are_refused(size):
    with pytest.raises(VmcError, match=rf"data\.size is {size}; it must be a whole number from 8 to"):
        ClipTransform(**PLAIN | {"size": size})


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"frames": 0}, "data.frames is 0"),
        ({"fps": -1}, "data.fps is -1"),
        ({"start": "middle"}, "data.start is 'middle'"),
        ({"size": [64, 32]}, "data.size is [64, 32]"),
        ({"size": 80_000}, "data.size is 80000; it must be a whole number from 8 to 8192, in pixels"),
        ({"folder_fps": "fast"}, "data.frame_folder_fps is fast"),
    ],
)
def test_wrong_windows_are_refused_at_once(wrong, key):
    with pytest.raises(VmcError, match=re.escape(key)):
        ClipTransform(**PLAIN | wrong)


def test_the_description_is_stable_and_tells_every_setting_apart():
    base = PLAIN | {"augmentation": Augmentation()}
    assert ClipTransform(**base).describe() == ClipTransform(**base).describe()
    others = [
        {"frames": 5},
        {"fps": 8.0},
        {"folder_fps": 24},
        {"start": "centre"},
        {"size": 40},
        {"augmentation": None},
        {"augmentation": Augmentation(rotate=4)},
        {"mirror": True},
    ]
    texts = {ClipTransform(**base | other).describe() for other in [{}, *others]}
    assert len(texts) == 1 + len(others)
    assert ClipTransform(**base | {"fps": 4}).describe() == ClipTransform(**base).describe(), "4 and 4.0 are one rate"


def test_a_clip_is_gone_through_once_for_its_times(mp4, monkeypatch):
    from vmc.data import frames as transforms

    read = []
    times = transforms.frame_times
    monkeypatch.setattr(transforms, "frame_times", lambda path, **rate: read.append(path) or times(path, **rate))
    transform = ClipTransform(**PLAIN | {"start": "random"})
    for variant in range(4):
        transform(mp4, variant=variant)
        transform.window(mp4, variant=variant)
    ClipTransform(**PLAIN | {"frames": 3})(mp4, variant=0)
    assert read == [mp4]


def test_the_frames_of_a_changed_file_are_its_own(tmp_path, make):
    clip, transform = tmp_path / "clip.mp4", ClipTransform(**PLAIN)
    make.encode(clip, make.numbered(10))
    assert make.numbers(transform(clip, variant=0)) == [0, 2, 4, 6]
    make.encode(clip, make.numbered(3))
    assert make.numbers(transform(clip, variant=0)) == [0, 2, 2, 2]


def test_a_window_is_shown_as_it_is_and_as_it_is_trained_on(mp4):
    transform = ClipTransform(**PLAIN | {"start": "random", "augmentation": Augmentation()})
    plain, finished = transform.plain_and_finished(mp4, variant=1)
    assert torch.equal(plain, ClipTransform(**PLAIN | {"start": "random"})(mp4, variant=1))
    assert torch.equal(finished, transform(mp4, variant=1))


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(VmcError, match=r"gone.mp4 does not exist"):
        ClipTransform(**PLAIN)(tmp_path / "gone.mp4", variant=0)


def test_several_variants_of_a_clip_are_read_at_once_and_are_the_same(mp4, monkeypatch):
    """One decoding and one hashing for all; a clip too long to be held is decoded for each."""
    transform = ClipTransform(**PLAIN | {"start": "random", "augmentation": Augmentation(), "mirror": True})
    alone = [transform(mp4, variant=number) for number in range(8)]
    calls = []
    monkeypatch.setattr(frames, "read_frames", lambda *given: calls.append("read") or read_frames(*given))
    monkeypatch.setattr(frames, "fingerprint", lambda path: calls.append("hash") or fingerprint(path))
    reader = transform.reader(mp4, range(8))
    assert all(torch.equal(reader(number), alone[number]) for number in (3, 0, 1, 2, 7, 4, 5, 6))
    assert calls == ["hash", "read"]
    calls.clear()
    monkeypatch.setattr(frames, "HELD", 0)
    reader = transform.reader(mp4, range(8))
    assert all(torch.equal(reader(number), alone[number]) for number in range(8))
    assert calls == ["hash"] + ["read"] * 8
