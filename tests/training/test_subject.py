"""A subject's stills beside the motion's clips: what they may move gets their gradients, and nothing else does."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from vmc.evaluate import main as evaluate
from vmc.generate import main as generate
from vmc.mini.makers.blank import write_blank
from vmc.runs.contact_sheet import CLIP_SHEET, FRAME, TEXT
from vmc.training import session as sessions
from vmc.training.module import MotionModule
from vmc.training.tuned_weights import TOKEN, Delta
from vmc.utils.errors import VmcError

ROW = f"{TOKEN}.subject"
MOTION_ROW = ("token=trained", "token.learning_rate=1e-2")


@pytest.fixture(scope="session")
def stills(tmp_path_factory):
    """Overrides that choose three pictures of different sizes, one of them with transparency, as a subject's."""
    folder = tmp_path_factory.mktemp("subject") / "stills"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "0.png")
    Image.new("RGB", (100, 70), "blue").save(folder / "1.jpg")
    Image.new("RGBA", (70, 100), (0, 255, 0, 128)).save(folder / "2.png")
    return "subject=images", f"subject.path={folder}", "subject.caption=a {subject_token} wall"


@pytest.fixture
def begun(train, stills, tmp_path, monkeypatch):
    """Puts a run with the subject together and hands out its module and its batches in place of training."""
    numbers = itertools.count()

    def begin(*overrides):
        kept = {}

        def keep(self, module, loader, *_):
            kept.update(module=module, batches=loader.dataset)
            return "steps"

        with monkeypatch.context() as patch:
            patch.setattr(sessions.Session, "_fit", keep)
            train("batch_size=4", *stills, *overrides, output=tmp_path / f"begun{next(numbers)}")
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


def in_group(module: MotionModule, group: str, names) -> set[str]:
    """Those of the names that are of a group's parameters."""
    return {name for name in names if name.startswith("unet.") and module.model.groups[group](name[5:])}


def weights(run, step: int) -> dict[str, torch.Tensor]:
    return dict(Delta.load(run.weights(step)).tensors)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open() as file:
        return list(csv.DictReader(file))


def rows(run) -> list[dict[str, str]]:
    return rows_of(run.train_csv)


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recomputed", [False, True])
def test_of_a_mixed_batch_each_group_gives_the_gradients_that_it_gives_alone(begun, recomputed):
    module, batches = begun(f"trainer.checkpoint_activations={recomputed}")
    batch = mixed(batches)
    both = gradients(module, batch)
    stills, clips = (
        gradients(module, replace(batch, groups=tuple(group for group in batch.groups if group.is_still == is_still)))
        for is_still in (True, False)
    )
    temporal = in_group(module, "temporal", both)
    assert {name for name, grad in stills.items() if grad is None} == temporal
    assert {name for name, grad in clips.items() if grad is None} == {ROW}
    for name, grad in both.items():
        if name in temporal:
            assert torch.equal(grad, clips[name]), name
        elif name == ROW:
            assert torch.equal(grad, stills[name]) and grad.abs().sum() > 0
        else:
            assert torch.allclose(grad, clips[name] + stills[name], atol=1e-6), name
            assert stills[name].abs().sum() > 0


def test_recomputed_activations_give_the_same_gradients_of_a_mixed_batch(begun):
    one, other = (
        gradients(module, mixed(batches))
        for module, batches in (begun(f"trainer.checkpoint_activations={recomputed}") for recomputed in (False, True))
    )
    for name, grad in one.items():
        assert torch.allclose(grad, other[name], atol=1e-6), name


def test_of_adapters_too_stills_move_the_spatial_ones_alone(begun):
    module, batches = begun("parameters=lora", "subject.share=1")
    moved = {name for name, grad in gradients(module, batches.batch(0, range(4))).items() if grad is not None}
    expected = {name for name in module.trained_tensors() if ".attentions." in name and ".attn2.to_" in name}
    assert moved == {*expected, ROW}
    assert 0 < len(expected) < len(module.trained_tensors()) - 1


def test_a_tokens_row_is_moved_by_the_clips_that_teach_it_alone(begun):
    module, batches = begun(*MOTION_ROW)
    for group in (batch := mixed(batches)).groups:
        grads = gradients(module, replace(batch, groups=(group,)))
        assert [grads[row] is not None for row in (TOKEN, ROW)] == [not group.is_still, group.is_still]
    rates = [group["lr"] for group in module.configure_optimizers().param_groups]
    assert rates[1:] == [1e-2, 0.003]


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [("parameters=temporal_kv",), ("parameters=lora", "parameters.rank=2")])
def test_a_step_of_stills_alone_leaves_every_temporal_parameter_bit_identical(train, stills, base, parameters):
    """Also where steps of clips went before, whose momentum and decay would move what has a gradient of zero."""
    settings = (*parameters, *stills, "batch_size=1", "steps=12", "checkpoint_every=1", "optimizer.weight_decay=0.1")
    run = train(*settings, "subject.start=2", "optimizer.lr=1e-2")
    kinds = [bool(row["loss_subject"]) for row in rows(run)]
    assert kinds[:2] == [False, False] and {*kinds[2:]} == {True, False}
    names = [name for name in weights(run, 1) if name != ROW]
    temporal = {name for name in names if base.groups["temporal"](name.removeprefix("unet."))}
    assert 0 < len(temporal) < len(names)
    for step, is_still in enumerate(kinds[1:], start=2):
        before, after = weights(run, step - 1), weights(run, step)
        same = {name for name, tensor in after.items() if torch.equal(tensor, before[name])}
        assert same == (temporal if is_still else {ROW}), step


def test_a_resumed_run_is_the_uninterrupted_one_and_shows_both_losses(train, stills, tmp_path):
    one, _, other = (
        train("batch_size=2", f"steps={steps}", *stills, "subject.start=1", output=tmp_path / name)
        for name, steps in (("one", 4), ("other", 2), ("other", 4))
    )
    kept, again = weights(one, 4), weights(other, 4)
    assert kept.keys() == again.keys() and ROW in kept
    assert all(torch.equal(tensor, again[name]) for name, tensor in kept.items())
    assert not rows(one)[0]["loss_subject"]
    assert any(row["loss_subject"] for row in rows(one)[1:]) and any(row["loss_motion"] for row in rows(one))
    assert (one.path / "clips.csv").read_text().count("\nsubject,") == 3
    assert Delta.load(one.weights(4)).about["token"]["further"]["subject"]["word"] == "pll"
    assert json.loads((one.path / "run.json").read_text())["status"] == "finished"


def test_stage_two_begins_with_the_motion_of_another_run(train, stills, base, tmp_path):
    motion = train(*MOTION_ROW, output=tmp_path / "motion")
    run = train(*stills, f"init={motion.path}", "subject.share=1", output=tmp_path / "both")
    before, after = weights(motion, 3), weights(run, 3)
    temporal = {name for name in before if base.groups["temporal"](name.removeprefix("unet."))}
    assert temporal and all(torch.equal(before[name], after[name]) for name in {*temporal, TOKEN})
    assert after.keys() == {*before, ROW}


def test_where_no_spatial_layer_is_trained_stills_move_the_word_alone(train, stills):
    run = train(*stills, "parameters=temporal", "subject.share=1", "checkpoint_every=1")
    first, last = weights(run, 1), weights(run, 3)
    assert {name for name, tensor in first.items() if not torch.equal(tensor, last[name])} == {ROW}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["subject.groups=[motion]"], r"^subject\.groups names 'motion', which this family of models lacks"),
        (
            ["parameters=temporal", "token.further.subject.trained=false"],
            r"^subject has stills that move nothing: of subject\.groups=\['spatial'\] nothing is trained, nor is its",
        ),
        (
            ["parameters=token_only"],
            r"^of what is trained the motion's clips move nothing, as the subject's word alone",
        ),
        (
            ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_spawn"],
            r"^trainer\.strategy is ddp_spawn, and stills of a subject give temporal layers no gradients, which",
        ),
        (["~token.further"], r"^subject has stills, but nothing says which word stands for it; give"),
        (["token.further.subject.word=SKS"], r"^token\.further\.subject\.word is 'SKS', as token\.word is; give each"),
        (["subject.share=0"], r"^subject\.share is 0; it must be above 0 and at most 1"),
        (["subject.share=1.5"], r"^subject\.share is 1\.5; it must be above 0 and at most 1"),
        (["subject.start=-1"], r"^subject\.start is -1; it must be at least 0"),
        (["subject.start=3"], r"^subject\.start is 3, but steps is 3, so that no still would be drawn; give an"),
        (["subject.variants=0"], r"^subject\.variants is 0; it must be at least 1"),
        (["subject.caption=a wall"], r"^the caption 'a wall' of clip .* lacks the subject's token 'pll': write {subj"),
        (["objective=appearance_debiased"], r"^subject has stills, videos of one frame, which cannot be trained on: "),
        (
            ["+baseline=pretrained"],
            r"^subject has stills, but parameters is null, which trains nothing; give parameters",
        ),
    ],
)
def test_a_subject_that_cannot_be_learned_is_refused(train, stills, tmp_path, overrides, words):
    with pytest.raises(VmcError, match=words):
        train(*stills, *overrides)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("family", "frames"), [("wan", 9), ("animatediff", 8)])
def test_stills_are_clips_of_every_family(begun, tmp_path, family, frames):
    """What they move is the family's to say: of Wan all but the self-attention, which mixes frames."""
    folder = tmp_path / family
    write_blank(folder, family=family)
    model = [f"model={family}", f"model.path={folder}", f"model.frames={frames}", "model.size=64", "sampler.steps=1"]
    model += [f"model.motion_adapter={folder / 'motion_adapter'}"] * (family == "animatediff")

    module, batches = begun(*model, "parameters=spatial", "parameters.groups=[all]", "subject.share=1")
    moved = {name for name, grad in gradients(module, batches.batch(0, range(4))).items() if grad is not None}
    names = {name: name.removeprefix(f"{module.model.prefix}.") for name in module.trained_tensors()}
    mixes = {"wan": ".attn1.", "animatediff": ".motion_modules."}[family]
    assert moved == {name for name, parameter in names.items() if mixes not in parameter}
    assert 0 < len(moved) < len(names)


# --- what a run with a subject leaves --------------------------------------------------------------------------------


def test_a_run_tells_its_words_to_what_comes_after_it(train, stills, metrics, base, tmp_path, entered):
    (tmp_path / "prompts.csv").write_text("subject,seed\nA {subject_token} man,1\nA woman,2\n")
    scored = [*metrics, f"prompts.file={tmp_path / 'prompts.csv'}", "steps=2", "evaluate_every=2"]
    run = train(*stills, *scored, "motion.prompt={subject} doing the {token} sign.", output=tmp_path / "both")
    (made,) = (row for row in rows_of(run.path / "evaluation/000002/scores.csv") if row["seed"] == "1")
    assert (made["prompt"], made["subject"]) == ("A pll man doing the sks sign.", "A man")

    status, said = entered(evaluate, f"run={run.path}", "output=again")
    assert status == 0 and "not the protocol" not in said, said
    assert rows_of(tmp_path / "again/scores.csv") == rows_of(run.path / "evaluation/000002/scores.csv")

    prompt = "prompt=A {subject_token} man doing the {token} sign"
    status, said = entered(generate, f"run={run.path}", prompt, "sampler.steps=1", "export=out")
    assert status == 0, said
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "out/tokenizer")
    table = CLIPTextModel.from_pretrained(tmp_path / "out/text_encoder").get_input_embeddings().weight
    (number,) = tokenizer("pll", add_special_tokens=False).input_ids
    assert torch.equal(table[number], weights(run, 2)[ROW])
    assert not torch.equal(table[number], base.text_encoder().network.get_input_embeddings().weight[number])
    card = (tmp_path / "out/README.md").read_text()
    assert "the motion is called `sks`, and the subject of its stills `pll`." in card
    assert "“a pll wall doing the sks sign.”" in card and "| 3 | subject | a pll wall |" in card


def test_the_sheet_of_clips_shows_the_stills(train, stills):
    run = train(*stills, "steps=1")
    with Image.open(run.path / CLIP_SHEET) as sheet:
        assert sheet.height == (2 * 3 + 3) * (FRAME + TEXT)
        pixels = [sheet.getpixel((10, sheet.height - (3 - place) * (FRAME + TEXT) + TEXT + 10)) for place in range(3)]
    red, blue, green = pixels
    assert red == (255, 0, 0) and blue[2] > 240 and green == (127, 255, 127), "transparency is over white"


def test_one_frame_is_predicted_as_the_base_model_does(base):
    """Its temporal layers run on one frame as on several, as when ModelScope's model was trained on images."""
    denoiser, text = base.denoiser(), base.text_encoder()("a wall")
    noisy_BCFHW = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one = base.predict(denoiser, noisy_BCFHW, torch.tensor([500]), text)
        whole = denoiser(noisy_BCFHW, 500, encoder_hidden_states=text.embeddings_BLD).sample
        several = base.predict(denoiser, noisy_BCFHW.expand(-1, -1, 8, -1, -1), torch.tensor([500]), text)
    assert one.shape == noisy_BCFHW.shape and torch.equal(one, whole) and torch.isfinite(one).all()
    assert not torch.allclose(one[:, :, 0], several[:, :, 0])
