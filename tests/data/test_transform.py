import itertools
import logging
import shutil

import pytest
import torch

from vmc.data.augmentation import Augmentation
from vmc.data.frames import resize_and_crop
from vmc.data.transform import ClipTransform
from vmc.data.video import read_frames
from vmc.errors import VmcError

PLAIN = {"frames": 4, "step": 2, "start": "first", "size": 32, "augmentation": None, "mirror": False}


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


def test_short_clips_are_padded_and_named_once(tmp_path, make, caplog):
    clip = make.encode(tmp_path / "short.mp4", make.numbered(5))
    transform = ClipTransform(**PLAIN | {"frames": 8, "step": 1})
    with caplog.at_level(logging.INFO):
        frames_FCHW = transform(clip, variant=0)
        transform(clip, variant=1)
    assert make.numbers(frames_FCHW) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert [record.message for record in caplog.records] == [
        f"clip {clip} has 5 frames, 8 are needed: its last frame is repeated 3 times"
    ]


def test_a_clip_of_one_frame_and_a_still(tmp_path, make):
    one = make.encode(tmp_path / "one.mp4", make.numbered(1))
    still = make.save_images(tmp_path, make.numbered(1), pattern="still.png") / "still.png"
    for clip in (one, still):
        frames_FCHW = ClipTransform(**PLAIN)(clip, variant=0)
        assert frames_FCHW.shape == (4, 3, 32, 32) and (frames_FCHW == frames_FCHW[:1]).all()


@pytest.mark.parametrize("size", [63, 0, 4])
def test_sizes_that_the_vae_cannot_take_are_refused(size):
    with pytest.raises(VmcError, match=rf"data\.size is {size}; it must be divisible by 8"):
        ClipTransform(**PLAIN | {"size": size})


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"step": -1}, {"start": "middle"}])
def test_wrong_windows_are_refused_at_once(wrong):
    with pytest.raises(VmcError, match=f"data.{next(iter(wrong))}"):
        ClipTransform(**PLAIN | wrong)


def test_the_description_is_stable_and_tells_every_setting_apart():
    base = PLAIN | {"augmentation": Augmentation()}
    assert ClipTransform(**base).describe() == ClipTransform(**base).describe()
    others = [
        {"frames": 5},
        {"step": 1},
        {"start": "centre"},
        {"size": 40},
        {"augmentation": None},
        {"augmentation": Augmentation(rotate=4)},
        {"mirror": True},
    ]
    texts = {ClipTransform(**base | other).describe() for other in [{}, *others]}
    assert len(texts) == 1 + len(others)


def test_a_used_transform_still_equals_a_new_one(tmp_path, make):
    used = ClipTransform(**PLAIN)
    used(make.encode(tmp_path / "short.mp4", make.numbered(2)), variant=0)
    assert used == ClipTransform(**PLAIN) and used.describe() == ClipTransform(**PLAIN).describe()


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(VmcError, match=r"gone.mp4 does not exist"):
        ClipTransform(**PLAIN)(tmp_path / "gone.mp4", variant=0)
