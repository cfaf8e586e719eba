from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from vmc.metrics.networks.trn import BACKBONES, TRN, load_trn
from vmc.mini.__main__ import main
from vmc.mini.makers.classifier import clips
from vmc.mini.makers.classifier.batches import Batches
from vmc.mini.makers.classifier.clips import (
    END,
    FAINT,
    LOWERED_Y,
    NO_GESTURE,
    VALIDATION,
    WHOLE,
    WINDOW,
    labeled_clip,
    render_views,
    rendered,
)
from vmc.mini.makers.classifier.decoded import Decoder, clip_and_view, decoded_for_training
from vmc.mini.makers.classifier.measuring import Validation, confusions
from vmc.mini.makers.classifier.training import ARCH, FILE, ClassifierPlan, train_classifier
from vmc.mini.world.gestures import LABELS
from vmc.tools.learning.learner import augment, make_network
from vmc.tools.learning.training import Clock, TrainOptions
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator


@pytest.fixture(scope="module")
def plan(blank) -> ClassifierPlan:
    return ClassifierPlan(pipeline=blank, clips=4, decoded=2, validation=2, faint=1, batch=3)


@pytest.fixture
def options(tmp_path):
    return lambda name="run", **more: TrainOptions(output=tmp_path / name, threads=1, **more)


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("classifier") / "run"
    train_classifier(plan, TrainOptions(output=output, threads=1, steps=2))
    return output


def test_labels_are_sorted_and_go_round():
    assert list(LABELS) == sorted(LABELS) and len(LABELS) == 27
    seen = [labeled_clip(VALIDATION + index) for index in range(54)]
    moving = [clip for clip in seen if clip.spec.gestures]
    assert all(clip.spec.gestures == (LABELS[clip.label],) for clip in moving) and len(moving) > 50
    assert set(Counter(clip.label for clip in seen).values()) <= {1, 2, 3}


def test_faint_and_unseen_hands_are_no_gesture_and_pale_ones_are_not():
    kinds = Counter()
    for number in range(1500):
        spec, label = labeled_clip(number)
        lowered = any(person.traits.reach_y > 0.1 for person in spec.persons)
        if not spec.gestures or lowered or spec.hands_alpha <= 0.5:
            assert label == NO_GESTURE
        else:
            assert spec.hands_alpha >= 0.85 and spec.gestures == (LABELS[label],)
        kinds["faint"] += spec.hands_alpha <= 0.5
        kinds["pale"] += 0.5 < spec.hands_alpha < 1
        kinds["lowered"] += lowered
    assert {name: round(count / 1500, 1) for name, count in kinds.items()} == {
        "faint": 0.1,
        "pale": 0.0,
        "lowered": 0.0,
    }
    assert min(kinds.values()) > 10
    assert LOWERED_Y[0] > 1.05


def test_validation_shows_gestures_whole_and_the_faint_clips_none():
    assert all(labeled_clip(VALIDATION + index).spec.hands_alpha == 1 for index in range(100))
    faint = [labeled_clip(FAINT + index) for index in range(100)]
    assert {clip.label for clip in faint} == {NO_GESTURE}
    assert max(clip.spec.hands_alpha for clip in faint if clip.spec.gestures) <= 0.5
    with pytest.raises(VmcError, match="from 0 to"):
        labeled_clip(END)


def test_all_persons_are_of_the_classifiers_pool_and_both_framings_are_shown():
    specs = [labeled_clip(number).spec for number in [*range(200), *range(VALIDATION, VALIDATION + 100)]]
    assert {person.pool for spec in specs for person in spec.persons} == {"classifier"}
    assert {len(spec.persons) for spec in specs} == {1, 2}
    assert {spec.framing for spec in specs} == {"webcam", "web"}
    assert {spec.tempo for spec in specs} == {"normal", "slow", "quick"}
    assert max(spec.frames for spec in specs if spec.tempo == "quick") <= clips.QUICK_FRAMES


def test_a_view_is_a_pure_function_of_its_number():
    first = render_views(3)
    assert first.shape == (2, 8, 64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, render_views(3))
    assert np.any(first[WINDOW] != first[WHOLE])


def test_augmentation_changes_all_frames_alike_and_never_mirrors():
    still = torch.zeros(40, 8, 3, 64, 64)
    still[..., :20] = 200.0  # the left side is bright
    done = augment(still, generator("test"))
    assert done.shape == still.shape and done.min() >= 0 and done.max() <= 255
    assert (done[..., :10].mean((1, 2, 3, 4)) > done[..., 40:].mean((1, 2, 3, 4)) + 50).all()
    spread = (done - done.mean(1, keepdim=True)).abs().amax((1, 2, 3, 4))
    assert (spread < 1e-2).any() and (spread > 5).any()  # only noise tells frames apart
    assert torch.equal(done, augment(still, generator("test")))
    assert augment(still.to("meta"), generator("test")).device.type == "meta"  # all is done where the frames are


def test_a_batch_is_a_function_of_seed_and_step(plan):
    views = rendered(plan.clips)
    views.prepare(workers=1)
    decoded = decoded_for_training(views, plan.decoded, Decoder(plan.pipeline))
    decoded.prepare(workers=1)
    batches = Batches(clips=views, decoded=decoded, seed=0, size=3)
    first, again, other = batches(5), batches(5), batches(6)
    assert torch.equal(first.frames_BSCHW, again.frames_BSCHW) and torch.equal(first.labels_B, again.labels_B)
    assert not torch.equal(first.frames_BSCHW, other.frames_BSCHW)
    assert first.frames_BSCHW.shape == (3, 8, 3, 64, 64)
    assert batches.labels.tolist() == [labeled_clip(number).label for number in range(plan.clips)]
    assert [clip_and_view(index) for index in (0, 3, 4)] == [(0, WINDOW), (6, WHOLE), (8, WINDOW)]
    with pytest.raises(VmcError, match="at most 2"):
        decoded_for_training(views, 3, Decoder(plan.pipeline))


def test_the_file_is_in_the_published_layout_and_loads(finished):
    content = torch.load(finished / FILE, weights_only=True)
    assert set(content) == {"epoch", "arch", "state_dict", "best_prec1"}
    assert content["arch"] == ARCH and content["epoch"] == 2
    assert all(
        name.startswith(("module.base_model.", "module.new_fc.", "module.consensus.")) for name in content["state_dict"]
    )
    model = load_trn(finished / FILE, classes=27)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32} and not model.training
    assert model(torch.zeros(2, 8, 3, 64, 64, dtype=torch.uint8)).shape == (2, 27)
    assert (finished / FILE).stat().st_size < 4_000_000


def test_the_small_backbone_is_told_apart_from_the_published_one():
    model = TRN(arch=ARCH, classes=27)
    width = BACKBONES[ARCH].width
    assert model.state_dict()["consensus.fc_fusion_scales.0.1.weight"].shape == (width, 8 * width)
    frames = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8)
    assert torch.equal(model.prepare(frames), torch.full((2, 3, 64, 64), (255 - 127.5) / 64))


def test_the_backbone_sees_what_moves_in_three_channels_more():
    model, seen = TRN(arch=ARCH, classes=27).eval(), []
    model.base_model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    frames = torch.full((1, 8, 3, 64, 64), 100, dtype=torch.uint8)
    frames[:, 2, :, :10] = 180
    model(frames)
    images, difference = seen[0][:, :3], seen[0][:, 3:]
    assert torch.allclose(images[0], torch.tensor((100 - 127.5) / 64)) and not difference[:, :, 10:].any()
    assert torch.allclose(difference[2, :, :10], torch.tensor(80 / 64 * 7 / 8))
    assert torch.allclose(difference[0, :, :10], torch.tensor(-80 / 64 / 8))


def test_a_training_that_was_cut_ends_as_one_that_was_not(plan, finished, options, monkeypatch):
    with monkeypatch.context() as patch:
        asked = iter([False, True])
        patch.setattr(Clock, "over", lambda self: next(asked))
        progress = train_classifier(plan, options(steps=2))
    assert progress is not None and progress.step == 1
    train_classifier(plan, options())
    first, second = (torch.load(folder / FILE)["state_dict"] for folder in (finished, options().output))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_training_called_again_keeps_its_figure(plan, options, monkeypatch):
    monkeypatch.setattr(Validation, "_read", lambda self, network, frames: np.full(len(frames), VALIDATION % 27))
    for _ in range(2):
        train_classifier(plan, options(steps=1))
        assert torch.load(options().output / FILE)["best_prec1"] == 50.0


def test_minutes_may_end_before_the_clips_are_there(plan, options, tmp_path, monkeypatch):
    monkeypatch.setenv("VMC_CACHE", str(tmp_path / "cache"))
    assert train_classifier(plan, options(steps=2, minutes=1e-9)) is None
    assert not options().output.exists()


def test_another_configuration_is_refused(plan, finished):
    with pytest.raises(VmcError, match="batch 3"):
        train_classifier(ClassifierPlan(**vars(plan) | {"batch": 2}), TrainOptions(output=finished, threads=1))
    with pytest.raises(VmcError, match="has no vae"):
        Decoder(Path("nowhere"))


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    common = ["classifier", "--minutes", "0", "--output", str(tmp_path / "run")]
    assert main([*common, "--pipeline", str(tmp_path)]) == 2
    assert "has no vae" in capsys.readouterr().err
    assert main([*common, "--clips", "0"]) == 2
    assert "--clips is 0" in capsys.readouterr().err


def test_confusions_are_counted_by_name():
    assert confusions([0, 1, 1], [0, 2, 2]) == {(LABELS[1], LABELS[2]): 2}


def test_the_first_weights_come_from_the_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (make_network(seed, arch=ARCH, classes=27).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["new_fc.weight"], other["new_fc.weight"])
