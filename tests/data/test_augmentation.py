import math

import pytest
import torch

from vmc.data.augmentation import Augmentation
from vmc.data.frames import resize_and_crop
from vmc.utils.errors import VmcError

STILL = dict.fromkeys(("translate", "rotate", "brightness", "contrast", "saturation", "hue"), 0)
STILL |= {"crop_scale": (1, 1), "crop_ratio": (1, 1)}


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def pattern(height, width, count=1):
    """Smooth colours that differ everywhere."""
    rows, columns = torch.linspace(0, 3, height)[:, None], torch.linspace(0, 4, width)
    waves = [(rows + columns).sin(), (2 * rows - columns).cos(), (rows * columns / 3).sin()]
    image = torch.stack([127.5 + 100 * wave.expand(height, width) for wave in waves])
    return image.round().to(torch.uint8).expand(count, 3, height, width).contiguous()


def dot(row, column, size=64):
    """A white square of 5 pixels on black."""
    frames = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    frames[:, :, row - 2 : row + 3, column - 2 : column + 3] = 255
    return frames


def place(frames_FCHW):
    """Row and column of what is white, from the centre, pixels."""
    lit = frames_FCHW[0].float().mean(0)
    middle = (torch.tensor(lit.shape) - 1) / 2
    rows, columns = torch.arange(lit.shape[0]).float(), torch.arange(lit.shape[1]).float()
    return torch.stack([lit.sum(1) @ rows, lit.sum(0) @ columns]) / lit.sum() - middle


@pytest.mark.parametrize("size", [64, 32])
@pytest.mark.parametrize("source", [(64, 64), (64, 100), (130, 64), (128, 192), (200, 128)])
def test_with_nothing_to_draw_it_is_resize_and_crop(source, size):
    """So portrait and landscape keep their shape here as they do there."""
    frames = pattern(*source)
    changed = Augmentation(**STILL)(frames, size, mirror=False, generator=draw())
    assert changed.dtype == torch.uint8 and changed.shape[1:] == resize_and_crop(frames, size).shape[1:]
    assert (changed.float() - resize_and_crop(frames, size).float()).abs().mean() < 2.5


def test_at_equal_size_with_nothing_to_draw_every_pixel_stays():
    frames = pattern(64, 64)
    changed = Augmentation(**STILL)(frames, 64, mirror=False, generator=draw())
    assert (changed.int() - frames.int()).abs().max() <= 1


def test_a_static_clip_stays_static_and_a_moving_one_keeps_its_order(make):
    static = Augmentation()(pattern(64, 96, count=5), 64, mirror=True, generator=draw(3))
    assert (static == static[:1]).all()
    moving = Augmentation(brightness=0)(make.numbered(), 64, mirror=False, generator=draw(3))
    level = moving[:, :, -16:, -16:].float().mean((1, 2, 3))
    assert (level.diff() > 5).all(), "frames keep their order: time is never reversed"


def test_equal_generators_give_equal_bits_and_others_other_clips():
    frames = pattern(100, 176, count=3)
    first, again, other = (Augmentation()(frames, 64, mirror=True, generator=draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first.float() - other.float()).abs().mean() > 2


def test_the_global_generator_is_neither_used_nor_moved():
    before = torch.get_rng_state()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(Augmentation()(pattern(64, 64), 64, mirror=True, generator=draw()))
    assert torch.equal(*results)
    torch.set_rng_state(before)


def test_up_stays_up_and_left_stays_left_unless_mirrored():
    frames = dot(16, 24)
    flipped = 0
    for seed in range(200):
        down, right = place(Augmentation()(frames, 64, mirror=False, generator=draw(seed))).tolist()
        assert down < -5 and right < 0, "the dot is up and left in every draw"
        down, right = place(Augmentation()(frames, 64, mirror=True, generator=draw(seed))).tolist()
        assert down < -5, "and mirroring leaves it up"
        flipped += right > 0
    assert 70 < flipped < 130


def test_mirroring_changes_no_other_draw():
    plain = Augmentation().draw(mirror=False, generator=draw(0))
    for seed in range(20):
        plain, allowed = (Augmentation().draw(mirror=mirror, generator=draw(seed)) for mirror in (False, True))
        assert allowed._replace(mirrored=False) == plain


def test_mirroring_is_the_mirror_image():
    seed = next(seed for seed in range(20) if Augmentation().draw(mirror=True, generator=draw(seed)).mirrored)
    frames = pattern(64, 64)
    mirrored = Augmentation(**STILL)(frames, 64, mirror=True, generator=draw(seed))
    assert (mirrored.flip(3).int() - frames.int()).abs().max() <= 1


@pytest.mark.parametrize("source", [(64, 64), (64, 128), (160, 64)])
def test_a_turn_keeps_distances_in_portrait_and_landscape(source):
    """A dot right of the middle and one below it stay equally far: the turn is no shear."""
    height, width = source
    reach = {}
    for name, (down, right) in {"right": (0, 20), "below": (20, 0)}.items():
        frames = torch.zeros(1, 3, height, width, dtype=torch.uint8)
        frames[
            :, :, height // 2 + down - 2 : height // 2 + down + 2, width // 2 + right - 2 : width // 2 + right + 2
        ] = 255
        seed = next(s for s in range(99) if Augmentation(rotate=15).draw(mirror=False, generator=draw(s)).turn > 0.2)
        only_turn = Augmentation(**STILL | {"rotate": 15})
        reach[name] = place(only_turn(frames, 64, mirror=False, generator=draw(seed)))
    assert reach["right"].norm().item() == pytest.approx(20, abs=0.7)
    assert reach["below"].norm().item() == pytest.approx(20, abs=0.7)
    turn = Augmentation(rotate=15).draw(mirror=False, generator=draw(seed)).turn
    for vector, expected in ((reach["right"], (0, 20)), (reach["below"], (20, 0))):
        angle = math.acos(float(vector @ torch.tensor(expected).float()) / (vector.norm().item() * 20))
        assert angle == pytest.approx(turn, abs=0.03)


def test_no_black_corners():
    """Beyond the frame its mirror image goes on."""
    white = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    strong = Augmentation(**STILL | {"rotate": 15, "translate": 0.3})
    assert all(strong(white, 64, mirror=False, generator=draw(seed)).min() >= 199 for seed in range(20))


def test_draws_stay_in_their_ranges_and_fill_them():
    augmentation = Augmentation()
    draws = [augmentation.draw(mirror=False, generator=draw(seed)) for seed in range(400)]
    areas = [d.crop_height * d.crop_width for d in draws]
    assert 0.76 < min(areas) < 0.82 and 0.98 < max(areas) <= 1
    ratios = [d.crop_width / d.crop_height for d in draws]
    assert 0.9 - 1e-9 <= min(ratios) < 0.92 and 1.08 < max(ratios) <= 1.1 + 1e-9
    for name, limit in (("brightness", 0.1), ("contrast", 0.1), ("saturation", 0.1)):
        values = [getattr(d, name) for d in draws]
        assert 1 - limit <= min(values) < 1 - 0.95 * limit and 1 + 0.95 * limit < max(values) <= 1 + limit
    degrees = [math.degrees(d.turn) for d in draws]
    assert -5 <= min(degrees) < -4.8 and 4.8 < max(degrees) <= 5


def test_colors_change_as_named():
    frames = pattern(32, 32)
    seed = 5

    def changed(**one):
        augmentation = Augmentation(**STILL | one)
        values = augmentation.draw(mirror=False, generator=draw(seed))
        return augmentation(frames, 32, mirror=False, generator=draw(seed)).float(), values

    image, values = changed(brightness=0.2)
    assert image.mean().item() == pytest.approx(values.brightness * frames.float().mean().item(), abs=0.7)
    image, values = changed(contrast=0.2)
    gray_of = lambda x: (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)  # noqa: E731
    assert gray_of(image).std().item() == pytest.approx(
        values.contrast * gray_of(frames.float()).std().item(), rel=0.02
    )
    assert gray_of(image).mean().item() == pytest.approx(gray_of(frames.float()).mean().item(), abs=0.7)
    image, values = changed(saturation=0.5)
    chroma = lambda x: x - gray_of(x)[:, None]  # noqa: E731
    inside = (image > 0) & (image < 255)
    expected = values.saturation * chroma(frames.float()) + gray_of(frames.float())[:, None]
    assert (image - expected)[inside].abs().mean() < 1
    image, values = changed(hue=0.1)
    assert abs(values.hue) > 0.05 and (image - frames.float()).abs().mean() > 3
    assert (gray_of(image) - gray_of(frames.float())).abs().mean() < 1.5, "hue leaves lightness alone"


def test_much_larger_sources_are_not_sampled_point_by_point():
    stripes = torch.tensor([255, 0, 0, 255], dtype=torch.uint8).repeat(64).expand(1, 3, 256, 256).contiguous()
    gray = Augmentation(**STILL)(stripes, 32, mirror=False, generator=draw())
    assert (gray[..., 1:-1].float() - 127.5).abs().max() < 4


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rotate", 45),
        ("rotate", -1),
        ("rotate", float("nan")),
        ("translate", 0.6),
        ("brightness", 1.0),
        ("hue", 0.7),
        ("crop_scale", (0, 1)),
        ("crop_scale", (0.9, 0.8)),
        ("crop_scale", (0.8, 0.9, 1.0)),
        ("crop_ratio", (0.1, 1)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting, value):
    with pytest.raises(VmcError, match=rf"data\.augmentation\.{setting} is"):
        Augmentation(**{setting: value})


def test_large_turns_are_refused_with_the_reason():
    with pytest.raises(VmcError, match="Down look like Up"):
        Augmentation(rotate=90)


def test_lists_and_whole_numbers_of_a_config_are_the_same_setting():
    assert repr(Augmentation(crop_scale=[1, 1], rotate=5)) == repr(Augmentation(crop_scale=(1.0, 1.0), rotate=5.0))
