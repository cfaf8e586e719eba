"""Choices that make a step faster on a GPU, and what they compute on a CPU: the same."""

import csv
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vmc.diffusion.sampling import Conditioning
from vmc.evaluation.generation import TunedModel
from vmc.models.token import MotionToken
from vmc.runs.folder import RunFolder
from vmc.training import session
from vmc.training.batches import Batch, ClipGroup
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule, StaticStep, tensors
from vmc.training.optimizers import MasterWeights, in_one_kernel, keep_kernels
from vmc.training.session import Session
from vmc.utils.errors import VmcError

STEPS = 4


def rows(run: RunFolder) -> list[dict[str, str]]:
    """Of `train.csv`, the time aside."""
    with run.train_csv.open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def assert_same(one: RunFolder, other: RunFolder, step: int = STEPS) -> None:
    """To the bit."""
    assert rows(one)[:step] == rows(other)[:step]
    tensors, others = load_file(one.weights(step)), load_file(other.weights(step))
    assert tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.fixture(scope="module")
def plain(train_into, tmp_path_factory) -> RunFolder:
    return train_into(tmp_path_factory.mktemp("plain") / "run", f"steps={STEPS}")


# --- master weights --------------------------------------------------------------------------------------------------


def test_masters_with_copies_in_float32_are_an_ordinary_run_to_the_bit(train, plain, module):
    run = train("trainer.master_weights=true", f"steps={STEPS}")
    assert module["module"].masters is not None
    assert_same(run, plain)


def test_masters_learn_in_float32_what_the_network_holds_rounded(train, plain, module):
    low = ("trainer.precision=bf16-mixed", f"steps={STEPS}")
    run = train("trainer.master_weights=true", *low)
    trained, weights = module["module"].trained, load_file(run.weights(STEPS))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for name, tensor in trained.items():
        master = weights[f"unet.{name}"]
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, master.bfloat16()), name
        assert tensor.grad is None
    assert not all(torch.equal(tensor, tensor.bfloat16().float()) for tensor in weights.values())
    losses = [[float(row["loss"]) for row in rows(one)] for one in (run, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05) and losses[0] != losses[1]


def test_a_resumed_run_with_masters_is_the_uninterrupted_one(train, tmp_path):
    low = ("trainer.master_weights=true", "trainer.precision=bf16-mixed", "trainer.accumulate=2", "token=trained")
    whole = train(*low, "steps=2", output=tmp_path / "whole")
    train(*low, "steps=1", output=tmp_path / "parts")
    assert_same(train(*low, "steps=2", output=tmp_path / "parts"), whole, 2)


def test_gradients_of_a_low_precision_are_added_up_in_float32():
    copies = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))]
    weights = MasterWeights(copies)
    for copy in copies:
        copy.data = copy.data.bfloat16()
    for value in (1.0, 2**-10):  # whose sum bfloat16 cannot hold
        copies[0].grad = torch.full((2,), value, dtype=torch.bfloat16)
        weights.take_gradients()
    assert weights.masters[0].grad.tolist() == [1 + 2**-10] * 2 and weights.masters[1].grad is None
    optimizer = torch.optim.SGD(weights.masters, lr=2**-10)
    optimizer.register_step_post_hook(weights.write_copies)
    optimizer.step()
    assert weights.masters[0].tolist() == [1 - 2**-10 - 2**-20] * 2  # what a rounded weight would have lost
    assert copies[0].tolist() == [1.0, 1.0] and copies[0].dtype == torch.bfloat16


def test_several_processes_have_no_masters():
    with pytest.raises(VmcError, match=r"trainer.master_weights is true, but trainer.devices is 2, .*; give trainer"):
        Hardware(devices=2, master_weights=True)


# --- the optimizer's kernels -----------------------------------------------------------------------------------------


def test_kernels_are_chosen_where_the_class_has_them_and_nobody_has_chosen():
    parameter, settings = [torch.nn.Parameter(torch.zeros(1))], {"fused": True, "capturable": False}
    adamw, sgd = partial(torch.optim.AdamW, lr=1.0), partial(torch.optim.Adafactor, lr=1.0)
    assert in_one_kernel(adamw, **settings)(parameter).param_groups[0]["fused"]
    assert "fused" not in in_one_kernel(sgd, fused=True, capturable=True)(parameter).param_groups[0]
    assert not in_one_kernel(partial(adamw, foreach=True), **settings)(parameter).param_groups[0]["fused"]
    assert not in_one_kernel(adamw, fused=False, capturable=False).keywords.keys() & {"fused", "capturable"}


def test_a_checkpoint_of_other_kernels_is_gone_on_with():
    def optimizer(**kernels: bool) -> torch.optim.Optimizer:
        made = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=0.5, **kernels)
        made.register_load_state_dict_pre_hook(keep_kernels)
        return made

    stored = optimizer(fused=True).state_dict()
    stored["param_groups"][0] |= {"capturable": True, "lr": 0.25}  # of a GPU
    own = optimizer()
    own.load_state_dict(stored)
    group = own.param_groups[0]
    assert not group["fused"] and not group["capturable"] and group["lr"] == 0.25


def test_a_fused_optimizer_clips_in_a_mixed_precision(train, tmp_path):
    """As Lightning would not have it, with or without a scaler; a CPU has a fused AdamW, too."""
    low = ("trainer.precision=bf16-mixed", "trainer.master_weights=true", "steps=2", "trainer.clip_norm=1e-3")
    ordinary, fused = (train(*low, *more, output=tmp_path / f"{len(more)}") for more in ([], ["+optimizer.fused=true"]))
    group = torch.load(fused.checkpoint(2), weights_only=True)["optimizer_states"][0]["param_groups"][0]
    assert group["fused"]
    losses = [[float(row["loss"]) for row in rows(one)] for one in (ordinary, fused)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


# --- CUDA graphs -----------------------------------------------------------------------------------------------------


def test_a_step_in_one_place_is_the_ordinary_one_and_is_resumed(train, plain, monkeypatch, module):
    """All but the capture itself, which needs a GPU: static inputs, the optimizer within, outputs read later."""
    monkeypatch.setattr(session, "graph_obstacles", lambda *words: [])
    graph = ("trainer.cuda_graph=true", "trainer.log_every=3")
    for steps in (2, STEPS):
        run = train(*graph, f"steps={steps}")
        assert module["module"].static_step is not None
    assert_same(run, plain)


def test_a_graph_of_a_mixed_precision_with_masters_is_the_ordinary_run(train, monkeypatch, tmp_path):
    low = ("trainer.precision=bf16-mixed", "trainer.master_weights=true", "steps=2")
    ordinary = train(*low, output=tmp_path / "ordinary")
    monkeypatch.setattr(session, "graph_obstacles", lambda *words: [])
    assert_same(train(*low, "trainer.cuda_graph=true", output=tmp_path / "graph"), ordinary, 2)


@pytest.fixture
def planned(compose_session, blank, clips, tmp_path) -> Callable[..., Session]:
    """A session that is to make a graph, and is not begun."""
    words = [f"model.path={blank}", "data=videos", f"data.path={clips}", "motion=custom", "motion.name=custom"]
    words += ["motion.caption=a {token} sign", "regularization=none", "stop.appearance=null", "evaluate_every=0"]
    words += [f"output={tmp_path / 'run'}", "logger=csv", "trainer.cuda_graph=true"]
    return lambda *overrides: compose_session([*words, *overrides])[1]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], "a CPU has no graphs"),
        (["token=trained"], "the text encoder of a trained token runs in the step"),
        (["trainer.accumulate=2"], "a step has several micro-batches"),
        (["lr_schedule=cosine"], "lr_schedule changes the rate"),
        (["objective=appearance_debiased"], "the objective draws for each clip"),
        (["optimizer=sgd"], "the optimizer cannot be captured"),
    ],
)
def test_what_keeps_a_step_from_becoming_a_graph_is_logged(planned, overrides, reason, caplog):
    made = planned(*overrides)
    with caplog.at_level("INFO"):
        assert made.module().static_step is None
    (said,) = re.findall(r"trainer.cuda_graph is true, but (.*): every step launches its own kernels", caplog.text)
    assert {reason, "a CPU has no graphs"} == set(said.split(" and "))


def test_a_large_denoiser_becomes_no_graph(planned, monkeypatch, caplog):
    monkeypatch.setattr(session, "LARGEST", 10)
    with caplog.at_level("INFO"):
        assert planned().module().static_step is None
    assert "parameters, more than 10: every step launches its own kernels" in caplog.text


def test_a_clip_of_another_shape_does_not_go_into_a_graph(train, monkeypatch):
    monkeypatch.setattr(session, "graph_obstacles", lambda *words: [])
    compute = MotionModule.compute
    given = []
    monkeypatch.setattr(MotionModule, "compute", lambda self, batch: given.append(batch) or compute(self, batch))
    train("trainer.cuda_graph=true", "steps=2")
    assert len(given) == 2 and all(one is other for one, other in zip(*map(tensors, given), strict=True))
    step = StaticStep(lambda batch: {"sum": batch.groups[0].latents_BCFHW.sum()})
    first = step(given[0])
    assert first["sum"] == given[0].groups[0].latents_BCFHW.sum()
    doubled = given[0].map(lambda tensor: 2 * tensor if tensor.is_floating_point() else tensor)
    assert step(doubled)["sum"] == pytest.approx(2 * first["sum"].item())
    with pytest.raises(VmcError, match=r"trainer.cuda_graph is true, and a step has clips of another shape; give"):
        step(given[0].map(lambda tensor: tensor[:1]))


# --- compiled layers -------------------------------------------------------------------------------------------------


@pytest.fixture
def compiled(monkeypatch) -> list:
    """What is given to a `torch.compile` that compiles nothing."""
    given: list = []
    monkeypatch.setattr(torch, "compile", lambda forward, **words: given.append((forward.__self__, words)) or forward)
    return given


def test_layers_are_compiled_one_by_one_in_training_and_sampling(train, plain, compiled, base):
    run = train("trainer.compile=layers", "trainer.checkpoint_activations=layers", f"steps={STEPS}")
    kinds = {type(layer).__name__ for layer, _ in compiled}
    assert {"BasicTransformerBlock", "ResnetBlock2D", "TemporalConvLayer"} <= kinds
    assert not any("Block3D" in kind or kind.startswith("Transformer") for kind in kinds)
    assert all(words == {"dynamic": False} for _, words in compiled)
    losses = [[float(row["loss"]) for row in rows(one)] for one in (run, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    count = len(compiled)
    TunedModel.load(base, MotionToken(), run.weights(STEPS), hardware=Hardware(compile="layers"))
    assert len(compiled) == 2 * count


def test_compiling_with_a_trained_token_is_logged_and_with_stills_refused(train, compiled, caplog, tmp_path):
    with caplog.at_level("INFO"):
        train("trainer.compile=layers", "token=trained", "steps=1")
    assert "the text encoder of the trained token is not compiled" in caplog.text
    compiled.clear()
    Image.new("RGB", (64, 64)).save(tmp_path / "still.png")
    stills = ("subject=images", f"subject.path={tmp_path}", "subject.caption=a {subject_token} wall")
    with pytest.raises(VmcError, match=r"trainer.compile is layers, which is for clips of one shape, and stills"):
        train("trainer.compile=layers", *stills, output=tmp_path / "stills")
    assert not compiled


# --- losses that are read later --------------------------------------------------------------------------------------


def test_losses_that_are_read_later_are_the_same(train, plain, tmp_path):
    read = []
    original = MotionModule.sum_losses
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MotionModule, "sum_losses", lambda self, part: read.append(part) or original(self, part))
        patch.setattr(
            "vmc.training.loss_log.LossLog._write",
            lambda self, *words, step, rate, write=session.LossLog._write: (
                read.append(step) or write(self, *words, step=step, rate=rate)
            ),
        )
        run = train("trainer.log_every=3", f"steps={STEPS}")
    assert [one if isinstance(one, int) else "" for one in read] == ["", "", "", 1, 2, 3, "", 4]
    assert_same(run, plain)
    saved = train("trainer.log_every=9", "checkpoint_every=2", f"steps={STEPS}", output=tmp_path / "saved")
    assert_same(saved, plain)
    states = [torch.load(saved.checkpoint(step), weights_only=True)["callbacks"]["LossLog"] for step in (2, STEPS)]
    assert [state["exemplar_updates"] for state in states] == [4, 8]


def test_the_step_of_a_loss_that_is_no_number_is_the_right_one(train):
    with pytest.raises(VmcError, match=r"the loss of step \d+ is (nan|inf)") as one:
        train("optimizer.lr=1e30", "steps=20")
    with pytest.raises(VmcError) as late:
        train("optimizer.lr=1e30", "steps=20", "trainer.log_every=20")
    assert str(late.value) == str(one.value)


def test_a_batch_is_pinned_whole(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    parts = [torch.full((2,), float(value)) for value in range(6)]
    text = Conditioning(parts[0], parts[1])
    group = ClipGroup(parts[2], parts[3], parts[4], text, parts[5], torch.tensor([True, False]), (1, 2))
    batch = Batch((group,), draws=2)
    assert len(tensors(batch.pin_memory())) == len(pinned) == 7
    assert {tensor.device.type for tensor in tensors(batch.to(torch.device("meta")))} == {"meta"}


def test_losses_are_read_after_whole_steps():
    with pytest.raises(VmcError, match=r"trainer.log_every is 0; it must be at least 1"):
        Hardware(log_every=0)
