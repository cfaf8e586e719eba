"""What a run is called in W&B, and to whom it belongs."""

from typing import Any

import pytest

from vmc.runs.mirror import WandbMirror

CONFIG = {"arm": "reg_none", "motion": {"name": "shaking_hand"}, "seed": 2, "stack_name": "mini"}


@pytest.fixture
def begun(monkeypatch) -> list[dict[str, Any]]:
    """What each `wandb.init` was given."""
    calls: list[dict[str, Any]] = []

    class Run:
        def define_metric(self, *names, **options):
            pass

    monkeypatch.setattr("wandb.init", lambda **options: calls.append(options) or Run())
    return calls


def test_a_run_is_named_after_its_arm_and_keeps_its_identity(begun, tmp_path):
    for mirror in (WandbMirror(), WandbMirror(group="ablations-full", tags=["mine"])):
        mirror.start(folder=tmp_path, config=CONFIG)
    one, again = begun
    assert (one["name"], one["job_type"], one["group"]) == ("reg_none-shaking_hand-seed2", "train", "mini")
    assert (again["group"], again["tags"]) == ("ablations-full", ["reg_none", "shaking_hand", "mini", "mine"])
    assert one["id"] == again["id"] and one["resume"] == "allow"


def test_an_evaluation_is_a_job_of_another_type(begun, tmp_path):
    WandbMirror().start(folder=tmp_path, config=CONFIG, job_type="evaluate")
    assert (begun[0]["name"], begun[0]["job_type"]) == ("reg_none-shaking_hand-seed2-evaluate", "evaluate")


def test_an_agent_of_wandb_finds_the_run_that_it_has_started(begun, tmp_path, monkeypatch):
    WandbMirror().start(folder=tmp_path, config=CONFIG)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    WandbMirror().start(folder=tmp_path, config=CONFIG)
    assert begun[1]["id"] == "given" != begun[0]["id"]
    monkeypatch.delenv("WANDB_SWEEP_ID")
    WandbMirror().start(folder=tmp_path, config=CONFIG)
    assert begun[2]["id"] == "given"
