"""Clips of another length beside the motion's: what they may move gets their gradients, and nothing else does."""

import csv
import itertools
from dataclasses import replace

import pytest
import torch
from PIL import Image

from vmc.data.clips import Clip
from vmc.data.frames import ClipTransform
from vmc.mini.makers.blank import write_blank
from vmc.training import session as sessions
from vmc.training.batches import ClipSet
from vmc.training.delta import TOKEN, Delta
from vmc.training.module import MotionModule
from vmc.utils.errors import VmcError

TOKENS = ("token=trained", "token.learning_rate=1e-2")
SUBJECT = "+token.further={subject: {word: pll, trained: true, learning_rate: 1e-3}}"


@pytest.fixture
def stills(tmp_path) -> ClipSet:
    """Two pictures, of which half of the draws take one; they may move keys and values of the cross-attention."""
    files = [tmp_path / "stills" / f"{number}.png" for number in range(2)]
    files[0].parent.mkdir()
    for file, color in zip(files, ("red", "blue"), strict=True):
        Image.new("RGB", (64, 64), color).save(file)
    clips = [Clip(path=file, caption="a plain wall", role="subject") for file in files]
    transform = ClipTransform(frames=1, size=64)
    return ClipSet(name="subject", clips=clips, transform=transform, share=0.5, groups=["spatial_kv"])


@pytest.fixture
def begun(train, tmp_path, monkeypatch):
    """Puts a run together and hands out its module and its batches in place of training."""
    numbers = itertools.count()

    def begin(*overrides, **parts):
        kept = {}

        def keep(self, module, loader, *_):
            kept.update(module=module, batches=loader.dataset)
            return "steps"

        with monkeypatch.context() as patch:
            patch.setattr(sessions.Session, "_fit", keep)
            train("batch_size=4", *overrides, output=tmp_path / f"begun{next(numbers)}", **parts)
        return kept["module"], kept["batches"]

    return begin


def gradients(module: MotionModule, batch) -> dict[str, torch.Tensor | None]:
    """Of the trained tensors after the backward pass of one batch."""
    for tensor in module.trained_tensors().values():
        tensor.grad = None
    module.training_step(batch, 0).backward()
    return {name: tensor.grad for name, tensor in module.trained_tensors().items()}


def mixed(batches):
    """The first batch that holds both clips and stills."""
    return next(batch for step in range(3) if len((batch := batches.batch(step, range(4))).groups) == 2)


@pytest.mark.parametrize("recomputed", [False, True])
def test_of_a_mixed_batch_each_group_gives_the_gradients_that_it_gives_alone(begun, stills, recomputed):
    module, batches = begun(f"trainer.checkpoint_activations={recomputed}", clip_sets=[stills])
    batch = mixed(batches)
    both = gradients(module, batch)
    alone = {group.clip_set: gradients(module, replace(batch, groups=(group,))) for group in batch.groups}
    temporal = {name for name in both if module.model.groups["temporal"](name.removeprefix("unet."))}
    assert {name for name, grad in alone["subject"].items() if grad is None} == temporal
    assert None not in [*both.values(), *alone[None].values()]
    for name, grad in both.items():
        if name in temporal:
            assert torch.equal(grad, alone[None][name]), name
        else:
            assert torch.allclose(grad, alone[None][name] + alone["subject"][name], atol=1e-6), name
            assert alone["subject"][name].abs().sum() > 0


def test_recomputed_activations_give_the_same_gradients_of_a_mixed_batch(begun, stills):
    one, other = (
        gradients(module, mixed(batches))
        for module, batches in (
            begun(f"trainer.checkpoint_activations={recomputed}", clip_sets=[stills]) for recomputed in (False, True)
        )
    )
    for name, grad in one.items():
        assert torch.allclose(grad, other[name], atol=1e-6), name


def test_of_adapters_too_stills_move_those_of_their_groups_alone(begun, stills):
    module, batches = begun("parameters=lora", clip_sets=[replace(stills, share=1.0)])
    moved = {name for name, grad in gradients(module, batches.batch(0, range(4))).items() if grad is not None}
    expected = {name for name in module.trained_tensors() if ".attentions." in name and ".attn2.to_" in name}
    assert moved == expected
    assert 0 < len(moved) < len(module.trained_tensors())


def test_a_tokens_row_is_moved_by_the_clips_of_its_set_alone(begun, stills):
    named = [replace(clip, caption="a {subject_token} wall") for clip in stills.clips]
    module, batches = begun(*TOKENS, SUBJECT, clip_sets=[replace(stills, clips=named, tokens=["subject"])])
    batch = mixed(batches)
    for group in batch.groups:
        grads = gradients(module, replace(batch, groups=(group,)))
        rows = {TOKEN: None, f"{TOKEN}.subject": "subject"}
        assert {grads[row] is not None for row, owner in rows.items() if owner == group.clip_set} == {True}
        assert {grads[row] is None for row, owner in rows.items() if owner != group.clip_set} == {True}
    rates = [group["lr"] for group in module.configure_optimizers().param_groups]
    assert rates[1:] == [1e-2, 1e-3]


def test_where_stills_alone_are_drawn_what_they_may_not_move_stays_as_it_is(train, stills, base, monkeypatch):
    seen = []
    noted = lambda self, optimizer: seen.append({n: t.grad is None for n, t in self.trained_tensors().items()})  # noqa: E731
    monkeypatch.setattr(MotionModule, "on_before_optimizer_step", noted)
    run = train("trainer.accumulate=2", "steps=2", clip_sets=[replace(stills, share=1.0)])
    fresh, trained = dict(base.denoiser().named_parameters()), Delta.load(run.weights(2)).tensors
    moved = {name for name, tensor in trained.items() if not torch.equal(tensor, fresh[name.removeprefix("unet.")])}
    assert moved == {name for name in trained if base.groups["spatial_kv"](name.removeprefix("unet."))}
    assert seen == 2 * [{name: name not in moved for name in trained}]


def test_a_resumed_run_on_clips_and_stills_is_the_uninterrupted_one_and_shows_both_losses(train, stills, tmp_path):
    one, _, other = (
        train("batch_size=2", f"steps={steps}", clip_sets=[stills], output=tmp_path / name)
        for name, steps in (("one", 4), ("other", 2), ("other", 4))
    )
    kept, again = (Delta.load(run.weights(4)).tensors for run in (one, other))
    assert all(torch.equal(tensor, again[name]) for name, tensor in kept.items())
    with one.train_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["loss_subject"] or 0) >= 0 for row in rows)
    assert any(row["loss_subject"] for row in rows) and any(row["loss_motion"] for row in rows)
    assert (one.path / "clips.csv").read_text().count("subject") == 2


@pytest.mark.parametrize(
    ("overrides", "changes", "words"),
    [
        ((), {"groups": ["motion"]}, r"subject\.groups names 'motion', which this family of models lacks"),
        (("parameters=temporal",), {}, r"the clips of subject may move spatial_kv, of which nothing is trained"),
        ((), {"tokens": ["subject"]}, r"subject\.tokens names 'subject'; give its word"),
        (("trainer=ddp", "trainer.devices=2"), {}, r"trainer\.strategy is ddp, .*ddp_find_unused_parameters_true"),
    ],
)
def test_a_set_that_cannot_be_trained_on_is_refused(train, stills, overrides, changes, words):
    with pytest.raises(VmcError, match=words):
        train(*overrides, clip_sets=[replace(stills, **changes)])


@pytest.mark.parametrize(
    ("family", "frames", "group"), [("wan", 9, "text_kv"), ("animatediff", 8, "spatial_kv")], ids=["wan", "animatediff"]
)
def test_stills_are_clips_of_every_family(begun, train, stills, tmp_path, family, frames, group):
    folder = tmp_path / family
    write_blank(folder, family=family)
    model = [f"model={family}", f"model.path={folder}", f"model.frames={frames}", "model.size=64", "sampler.steps=1"]
    model += [f"model.motion_adapter={folder / 'motion_adapter'}"] * (family == "animatediff")
    both = ["parameters=temporal_kv", "parameters.groups=[all]"]
    module, batches = begun(*model, *both, clip_sets=[replace(stills, share=1.0, groups=[group])])
    moved = {name for name, grad in gradients(module, batches.batch(0, range(4))).items() if grad is not None}
    names = {name: name.removeprefix(f"{module.model.prefix}.") for name in module.trained_tensors()}
    assert moved == {name for name, parameter in names.items() if module.model.groups[group](parameter)}
    if family == "wan":
        two = replace(stills, transform=ClipTransform(frames=2, size=64), groups=[group])
        with pytest.raises(VmcError, match=r"^subject has clips of 2 frames: data\.frames is 2, .* choose 1 or 5"):
            train(*model, *both, clip_sets=[two])
