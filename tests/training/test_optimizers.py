"""How optimisers are made: what their class refuses is a sentence, said before anything is loaded."""

import csv
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from vmc.training.optimizers import Constant, Schedule, check_optimizer, check_schedule, make_optimizer
from vmc.utils.errors import VmcError


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (
            partial(torch.optim.SGD, lr=0.1, momentum=-1),
            r"optimizer is SGD, which refuses .* momentum value: -1\)",
        ),
        (partial(torch.optim.SGD, lr=0.1, nesterov=True), r"optimizer is SGD, which refuses its settings \(Nesterov"),
        (partial(torch.optim.AdamW, betas=[2, 2]), r"optimizer is AdamW, which refuses .* index 0: 2\); correct them"),
        (partial(torch.optim.AdamW, betas=5), r"optimizer is AdamW, which refuses its settings \(.*\); correct them"),
        (partial(torch.optim.AdamW, nobody=5), r"optimizer is AdamW, which refuses its settings \(.*nobody"),
    ],
)
def test_settings_that_a_class_refuses_are_a_sentence(factory, sentence):
    with pytest.raises(VmcError, match=sentence):
        check_optimizer(factory)
    with pytest.raises(VmcError, match=sentence):
        make_optimizer(factory, [{"params": [torch.nn.Parameter(torch.zeros(1))]}])


def test_they_are_refused_before_anything_is_loaded(train, tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.models.zeroscope.UNet3D.open", lambda *_, **__: pytest.fail("a model is loaded"))
    with pytest.raises(VmcError, match="optimizer is SGD, which refuses its settings"):
        train("optimizer=sgd", "optimizer.momentum=-1")
    assert not (tmp_path / "run").exists()


# --- schedules -------------------------------------------------------------------------------------------------------


def rates(schedule: Schedule, steps: int) -> list[list[float]]:
    """Of both groups in each step, as training takes them."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 10.0)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(name="constant_with_warmup", warmup_steps=2), [0, 0.5, 1, 1, 1]),
        (Schedule(name="linear", steps=5), [1, 0.8, 0.6, 0.4, 0.2]),
        (Schedule(name="linear", warmup_steps=1, steps=5), [0, 1, 0.75, 0.5, 0.25]),
        (Schedule(name="cosine", steps=4), [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]),
    ],
    ids=str,
)
def test_a_schedule_is_a_factor_on_the_rate_of_every_group(schedule, factors):
    check_schedule(schedule, steps=len(factors))
    for found, factor in zip(rates(schedule, len(factors)), factors, strict=True):
        assert found == pytest.approx([factor, 10 * factor])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Schedule(name="cosine", warmup_steps=-1), r"lr_schedule\.warmup_steps is -1; it must be at least 0"),
        (
            lambda: Schedule(name="cosine", warmup_steps=4, steps=4),
            r"warmup_steps is 4; .* less than lr_schedule\.steps",
        ),
        (
            lambda: check_schedule(Schedule(name="cosine", steps=4), steps=5),
            r"lr_schedule\.steps is 4, but the run has 5",
        ),
        (
            lambda: check_schedule(Schedule(name="cosine"), steps=5),
            r"lr_schedule\.name is cosine, which is refused \(.*`",
        ),
        (
            lambda: check_schedule(Schedule(name="sine"), steps=5),
            r"name is sine, which is refused \(sine is not a valid",
        ),
        (lambda: check_schedule(Schedule(name="reduce_lr_on_plateau"), steps=5), r"which does not go by steps; choose"),
    ],
)
def test_schedules_that_cannot_be_are_a_sentence(make, said):
    with pytest.raises(VmcError, match=said):
        make()


def test_a_longer_schedule_than_the_run_and_none_at_all_are_fine():
    check_schedule(Schedule(name="cosine", steps=10), steps=5)
    check_schedule(Constant(), steps=5)
    assert Constant()(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)) is None


# --- whole runs ------------------------------------------------------------------------------------------------------


def rows(run) -> list[dict[str, str]]:
    """Of `train.csv`, the time aside."""
    with run.train_csv.open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def test_gradient_descent_with_a_cosine_is_resumed_to_the_bit_and_logs_its_rate(train, tmp_path):
    chosen = ("optimizer=sgd", "lr_schedule=cosine", "lr_schedule.warmup_steps=1", "lr_schedule.steps=4")
    chosen += ("token=trained", "token.learning_rate=1e-3", "checkpoint_every=2")
    whole = train(*chosen, "steps=4", output=tmp_path / "whole")
    train(*chosen, "steps=2", output=tmp_path / "parts")
    parts = train(*chosen, "steps=4", output=tmp_path / "parts")
    assert rows(parts) == rows(whole)
    assert [float(row["lr"]) for row in rows(whole)] == pytest.approx([0, 0.1, 0.075, 0.025])
    one, two = load_file(whole.weights(4)), load_file(parts.weights(4))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    state = torch.load(whole.checkpoint(4), weights_only=True)
    (optimizer,), (scheduler,) = state["optimizer_states"], state["lr_schedulers"]
    assert scheduler["base_lrs"] == [0.1, 1e-3] and scheduler["last_epoch"] == 4
    assert all(set(part) == {"momentum_buffer"} for part in optimizer["state"].values())


def test_a_cosine_that_was_laid_out_for_fewer_steps_is_not_gone_on_with(train):
    run = train("lr_schedule=cosine", "steps=2")
    with pytest.raises(VmcError, match=r"a run of a different config \(lr_schedule\.steps differ\)"):
        train("lr_schedule=cosine", "steps=3")
    with pytest.raises(VmcError, match=r"lr_schedule\.steps is 2, but the run has 3 steps"):
        train("lr_schedule=cosine", "lr_schedule.steps=2", "steps=3")
    assert len(rows(run)) == 2
