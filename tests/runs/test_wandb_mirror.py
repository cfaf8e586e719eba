"""What a run is called in W&B, to whom it belongs, and what it shows of evaluations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb

from vmc.data.video import write_video
from vmc.evaluation.score import summarize
from vmc.evaluation.score_files import write_scores_and_summary
from vmc.runs.wandb_mirror import WandbMirror, numbers, place_of
from vmc.utils.errors import VmcError

CONFIG = {"arm": "reg_none", "motion": {"name": "shaking_hand"}, "seed": 2, "stack_name": "mini"}


@pytest.fixture
def begun(monkeypatch) -> list[dict[str, Any]]:
    """What each `wandb.init` was given."""
    calls: list[dict[str, Any]] = []

    class Run:
        entity = None

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


def test_every_number_and_videos_that_play_at_every_evaluation(logged, tmp_path):
    folder, shown = tmp_path / "run", ["0000.mp4", "0001.mp4"]
    rows = {}
    for seed, name in enumerate(shown):  # the second is invalid: it has few scores
        scores = {"valid": not seed, "appearance": None if seed else 0.3, "motion_correct": not seed, "flicker": None}
        rows[name] = ({"prompt": "a man", "subject": "a man", "seed": seed, "video": name, **scores}, None)
    metrics = summarize([row for row, _ in rows.values()])
    mirror = WandbMirror()
    mirror.start(folder=folder, config=CONFIG)
    for step in (0, 100):
        evaluation = folder / "evaluation" / f"{step:06d}"
        write_scores_and_summary(evaluation, rows, {"videos": 2, "of": 2, "metrics": metrics, "protocol": {}})
        for number, name in enumerate(shown):
            write_video(evaluation / "videos" / name, torch.full((4, 3, 64, 64), 50 * number, dtype=torch.uint8), fps=3)
        mirror.evaluation(evaluation, step=step, shown=shown)
    mirror.finish(0)
    records = logged(folder)
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    history = {item["step"]: item for item in items}
    for step in (0, 100):
        evaluation = folder / "evaluation" / f"{step:06d}"
        summary = json.loads((evaluation / "summary.json").read_text())
        assert numbers(summary).items() <= history[step].items()
        assert history[step]["evaluation/videos.nrows"] == 2
        for metric, part in summary["metrics"].items():
            assert part["value"] is None or history[step][f"evaluation/{metric}"] == part["value"]
    contents = [record["artifact"]["manifest"]["contents"] for record in records if record["type"] == "artifact"]
    assert len(contents) == 2
    for entries in contents:
        staged = {entry["path"]: Path(entry["local_path"]) for entry in entries}
        rows_shown = json.loads(staged["evaluation/videos.table.json"].read_text())["data"]
        for name, (video, *_) in zip(shown, rows_shown, strict=True):
            assert staged[video["path"]].read_bytes() == (evaluation / "videos" / name).read_bytes()
            assert staged[video["path"]].is_relative_to(folder)


def test_yes_no_and_nothing_as_numbers():
    part = {"value": 0.5, "low": 0.25, "high": None}
    summary = {"videos": 3, "metrics": {"appearance": part}, "stop": {"appearance": None, "reached": True}}
    shown = {"count": 3, "appearance": 0.5, "appearance/low": 0.25, "stop/reached": 1}
    assert numbers(summary, name="of") == {f"of/{key}": value for key, value in shown.items()}


def test_the_place_is_the_one_that_all_runs_have():
    runs = [{"stack_name": "mini", "logger": {"project": "mine", "group": group}} for group in (None, "mini", "other")]
    assert place_of(runs[:2]) == {"project": "mine", "group": "mini"}
    assert place_of(runs) == {"project": "mine"}
    assert place_of([*runs[:2], {"stack_name": "mini"}]) == {"group": "mini"}


def test_what_keeps_wandb_from_being_used_is_a_sentence(monkeypatch, tmp_path):
    def refuse(**options):
        raise wandb.errors.UsageError("No API key\nconfigured")

    monkeypatch.setattr("wandb.init", refuse)
    with pytest.raises(VmcError, match=r"W&B cannot be used \(No API key configured\): wandb login.*logger=csv"):
        WandbMirror().start(folder=tmp_path, config=CONFIG)
    with pytest.raises(VmcError, match=r"logger\.mode is 'offlin'; it must be online, offline, disabled or null"):
        WandbMirror(mode="offlin")


@pytest.mark.parametrize("url", ["nonsense", "htp://one", "http://", "http://[one", "http://one:x"])
def test_an_address_that_is_none_and_a_mode_that_is_none_are_a_sentence(monkeypatch, url):
    monkeypatch.setenv("WANDB_BASE_URL", url)
    with pytest.raises(VmcError, match=r"WANDB_BASE_URL is '.*'; it must be the address of a server, such as https:"):
        WandbMirror()
    monkeypatch.delenv("WANDB_BASE_URL")
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(VmcError, match=r"WANDB_MODE is 'onlin'; it must be online, offline, disabled$"):
        WandbMirror()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert WandbMirror().mode == "offline"
    with pytest.raises(VmcError, match=r"logger\.patience is nan; it must be a number of seconds above 0"):
        WandbMirror(patience=float("nan"))
