import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vmc.metrics.networks.sscd import CopyNetwork
from vmc.mini.__main__ import main
from vmc.mini.makers.copying import measuring, people, pictures
from vmc.mini.makers.copying.augmentation import augment, compress
from vmc.mini.makers.copying.people import GROUP, training_clip, validation_clip
from vmc.mini.makers.copying.pictures import Pictures, copied, to_frames, to_images
from vmc.mini.makers.copying.training import (
    SHORT_SIDE,
    TORCHSCRIPT,
    TORCHVISION,
    Shape,
    Views,
    contrast,
    crowding,
    make_task,
)
from vmc.mini.world.gestures import TARGETS
from vmc.mini.world.vocabulary import RESERVED_CLOTHES, RESERVED_COLORS, RESERVED_PLACES
from vmc.tools.learning.training import TrainOptions, train
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

SMALL = Shape(stem=4, width=16, groups=2)


@pytest.fixture(scope="module")
def few(cache, blank) -> Pictures:
    """Two groups to train on and two exemplars among three others to measure on."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (people, pictures, measuring):
            patch.setattr(module, "EXEMPLARS", 2)
            patch.setattr(module, "OTHERS", 3)
        made = Pictures(blank, 2 * GROUP, sets=1)
        assert made.prepare()
        _ = made.key, made.validation, made._arrays
        yield made


def directions(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_contrast_against_a_plain_sum():
    first, second = directions(0, 90, 200), directions(10, 70, 230)
    everything = torch.cat([first, second])
    terms = []
    for index, descriptor in enumerate(everything):
        powers = ((everything @ descriptor) / 0.5).exp()
        powers[index] = 0
        terms.append(-(powers[(index + 3) % 6] / powers.sum()).log())
    assert float(contrast(first, second, temperature=0.5)) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-4)


def test_crowding_is_minus_the_log_distance_to_the_nearest_of_another_picture():
    first, second = directions(0, 90), directions(5, 100)
    nearest = [2 * np.sin(np.deg2rad(angle) / 2) for angle in (90, 85, 85, 95)]
    assert float(crowding(first, second)) == pytest.approx(-np.log(nearest).mean(), rel=1e-4)
    assert crowding(first, second) < crowding(first, directions(5, 30))


def test_crowding_has_a_finite_gradient_where_descriptors_meet():
    raw = torch.ones(3, 4, requires_grad=True)
    descriptors = F.normalize(raw)
    crowding(descriptors, descriptors).backward()
    assert torch.isfinite(raw.grad).all()


def test_members_of_a_group_share_gesture_place_and_camera_but_are_other_persons():
    for group in range(20):
        specs = [training_clip(group * GROUP + member) for member in range(GROUP)]
        assert len({(spec.gestures, spec.place, spec.framing) for spec in specs}) == 1
        assert len({spec.persons[0].traits for spec in specs}) == GROUP
        assert {person.pool for spec in specs for person in spec.persons} == {"copying"}


def test_about_half_of_the_groups_are_dressed_and_placed_as_exemplars_are():
    persons = [training_clip(group * GROUP) for group in range(100)]
    reserved = [spec for spec in persons if spec.place in RESERVED_PLACES]
    assert 35 <= len(reserved) <= 65
    for spec in reserved:
        for person in spec.persons:
            assert person.outfit.color in RESERVED_COLORS and person.outfit.clothes in RESERVED_CLOTHES
            assert person.hair_color == "brown" and spec.framing == "webcam"


def test_validation_persons_are_exemplars_in_all_but_their_pool():
    for number in range(people.VALIDATION, people.VALIDATION + 5):
        spec = validation_clip(number)
        assert spec.persons[0].pool == "copying" and spec.persons[0].number == number
        assert spec.place in RESERVED_PLACES and spec.gestures[0] in TARGETS and spec.framing == "webcam"


def test_augmentation_is_its_generators_and_each_image_has_its_own():
    images = to_images(np.full((2, 64, 64, 3), 120, dtype=np.uint8))
    first, again, other = (augment(images, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert first.shape == images.shape and float(first.min()) >= 0 and float(first.max()) <= 1


def test_augmentation_leaves_the_picture_what_it_is(few):
    images = few.take([0, 4], [0, 0])
    changed = torch.stack([augment(images, generator(seed)) for seed in range(8)])
    away = (changed - images).abs().mean((2, 3, 4))
    assert float(away.min()) > 0.01 and float(away.mean()) < 0.25


def test_compression_keeps_flat_blocks_and_loses_fine_detail():
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert torch.allclose(compress(flat, torch.full((1, 1, 1, 1), 0.1)), flat, atol=1e-6)
    noise = 0.5 + 0.02 * torch.randn(1, 3, 16, 16, generator=generator("test"))
    assert compress(noise, torch.full((1, 1, 1, 1), 0.2)).std() < 0.5 * noise.std()
    assert torch.allclose(compress(noise, torch.full((1, 1, 1, 1), 1e-5)), noise, atol=1e-4)


def test_pictures_are_rendered_frames_and_one_of_them_decoded(few):
    clip = few.take([3] * 4, range(4))
    assert clip.shape == (4, 3, 64, 64) and float(clip.min()) >= 0 and float(clip.max()) <= 1
    again = replace(few, clips=few.clips)
    assert torch.equal(again.take([3] * 4, range(4)), clip) and again.key == few.key


def test_a_copy_is_cut_and_lit_anew_but_its_frames_keep_their_order(few):
    frames = few.validation[0, 0]

    class Nothing:
        def encode(self, images):
            return type("Out", (), {"latent_dist": type("Dist", (), {"mean": images})})

        def decode(self, latents):
            return type("Out", (), {"sample": latents})

    again = copied(Nothing(), np.array(frames), 900_000)
    assert again.shape == frames.shape and not np.array_equal(again, frames)
    moved = [np.abs(np.diff(video.astype(float), axis=0)).mean((1, 2, 3)) for video in (frames, again)]
    assert np.corrcoef(*moved)[0, 1] > 0.9


def test_views_are_two_of_every_clip_in_whole_groups(few, monkeypatch):
    taken = []
    monkeypatch.setattr(
        Pictures, "take", lambda self, clips, views: (taken.append(clips), torch.zeros(len(clips), 3, 64, 64))[1]
    )
    assert Views(few, 0, 2)(5).shape == (16, 3, 64, 64)
    assert taken[0] == taken[1] and sorted(taken[0]) == list(range(8))


def test_area():
    others = torch.arange(100) / 100
    assert measuring.area(torch.tensor([2.0, 3]), others) == 1
    assert measuring.area(others, others) == pytest.approx(0.5)
    assert measuring.area(torch.tensor([0.495]), others) == pytest.approx(0.5)


def test_copy_similarity_is_that_of_the_nearest_frames():
    videos = torch.stack([directions(0, 90), directions(180, 170)])
    assert torch.allclose(measuring.copy_similarity(videos, directions(60, 200)), directions(30, 20)[:, 0])


def test_a_descriptor_that_sees_pixels_is_better_than_chance_and_a_blind_one_is_not(few):
    def pixels(frames):
        small = F.avg_pool2d(frames.float(), 8).flatten(1)
        return F.normalize(small - small.mean(1, keepdim=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "through", lambda vae, frames, *place: frames)
        made = np.stack([[frames, copied(None, np.array(frames), i)] for i, frames in enumerate(few.validation[:, 0])])
    assert measuring.area(*measuring.set_similarities(pixels, made)) == 1
    blind = measuring.set_similarities(lambda frames: F.normalize(torch.ones(len(frames), 4)), made)
    assert measuring.area(*blind) == 0.5


def test_training_writes_both_formats_that_describe_alike_and_goes_on(few, tmp_path):
    def options(steps: int) -> TrainOptions:
        return TrainOptions(output=tmp_path / "run", steps=steps, threads=torch.get_num_threads())

    train(make_task(few, 0, SMALL), options(2))
    assert train(make_task(few, 0, SMALL), options(3)).step == 3
    frames = torch.from_numpy(np.array(few.validation[0, 0])).permute(0, 3, 1, 2)
    described = [
        CopyNetwork(path=tmp_path / "run" / name, short_side=SHORT_SIDE)(frames) for name in (TORCHSCRIPT, TORCHVISION)
    ]
    assert described[0].shape == (8, 16) and torch.allclose(*described, atol=1e-5)
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert rows[-1]["phase"] == "copying" and 0 <= float(rows[-1]["validation"]) <= 1
    with pytest.raises(VmcError, match="training with shape"):
        train(make_task(few, 0, replace(SMALL, width=8)), options(4))


def test_the_shipped_shape_fits_its_budget(few, tmp_path):
    task = make_task(few, 0)
    task.export(torch.nn.ModuleDict(task.networks), tmp_path, None)
    assert sum((tmp_path / name).stat().st_size for name in (TORCHSCRIPT, TORCHVISION)) <= 6_000_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clips", "6"], "--clips is 6; it must be a multiple of 4"),
        (["--clips", "8", "--pipeline", "nowhere"], "--pipeline is nowhere, which has no vae/config.json"),
        (["--minutes", "-1"], "--minutes is -1"),
    ],
)
def test_what_cannot_be_is_refused(capsys, tmp_path, words, message):
    given = ["copying", "--output", str(tmp_path / "run"), "--threads", "1", "--minutes", "1", *words]
    assert main(given) == 2 and message in capsys.readouterr().err


def test_black_and_white_survive_the_way_to_images_and_back():
    frames = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    frames[0, 0, 0] = 255, 1, 128
    assert np.array_equal(to_frames(to_images(frames)), frames)
