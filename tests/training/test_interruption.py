"""Signals in the middle of an evaluation, damage between two parts of a run: it goes on as if nothing had been."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vmc.evaluation import generation
from vmc.runs.folder import read_state
from vmc.runs.resuming import checkpoint_fault
from vmc.training import session as sessions
from vmc.training.hardware import StreamedCheckpoints
from vmc.utils.errors import UnwritableError, VmcError


@pytest.fixture
def send(monkeypatch):
    """Send this process a signal when so many videos have been written."""

    def after(videos: int, number: signal.Signals) -> None:
        write, written = generation.write_video, []

        def write_and_send(file, frames, **options):
            write(file, frames, **options)
            written.append(file)
            if len(written) == videos:
                signal.raise_signal(number)

        monkeypatch.setattr(generation, "write_video", write_and_send)

    return after


def scores(run: Path, step: int) -> str:
    return (run / "evaluation" / f"{step:06d}" / "scores.csv").read_text()


@pytest.fixture(scope="module")
def scored(metrics) -> list[str]:
    """Evaluations at step 0 and at the last step, which is no multiple."""
    return [*metrics, "evaluate_subset=2", "steps=3", "generation_batch=1", "evaluate_every=5", "checkpoint_every=0"]


@pytest.fixture(scope="module")
def uninterrupted(train_into, scored, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return train_into(folder / "run", *scored, f"cache={folder / 'cache'}").path


@pytest.mark.parametrize(("videos", "number", "step"), [(2, signal.SIGTERM, 0), (5, signal.SIGINT, 3)])
def test_an_evaluation_that_a_signal_ends_goes_on(
    train, scored, uninterrupted, send, tmp_path, monkeypatch, capfd, videos, number, step
):
    send(videos, number)
    line = [*scored, f"cache={tmp_path / 'cache'}"]
    run = train(*line).path
    assert "stopping after the step or the videos in hand" in capfd.readouterr().err
    state = read_state(run)
    assert (state["status"], state["reason"], state["step"]) == ("stopped", "signal", step)
    left = run / "evaluation" / f"{step:06d}"
    assert not (left / "summary.json").exists()
    made = {file: file.stat().st_mtime_ns for file in (left / "videos").iterdir()}
    assert len(made) == 2 if step == 0 else 3
    steps = []
    monkeypatch.setattr(sessions.MotionModule, "training_step", _counted(sessions.MotionModule.training_step, steps))
    train(*line)
    assert read_state(run)["status"] == "finished"
    assert len(steps) == 3 - step
    assert made.items() <= {file: file.stat().st_mtime_ns for file in (left / "videos").iterdir()}.items()
    assert scores(run, 0) == scores(uninterrupted, 0)
    assert scores(run, 3) == scores(uninterrupted, 3)
    assert (run / "train.csv").read_text().count("\n") == 4


def _counted(step, calls):
    def counted(self, batch, index):
        calls.append(index)
        return step(self, batch, index)

    return counted


def flip(file: Path, place: float) -> None:
    """Flip one bit of a file, so far into it."""
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)


def losses(run) -> list[str]:
    return [line.rpartition(",")[0] for line in run.train_csv.read_text().splitlines()]


def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(train, tmp_path, caplog):
    whole = train("steps=4", output=tmp_path / "whole")
    parts = train("steps=3", "checkpoint_every=1", output=tmp_path / "parts")
    flip(parts.checkpoint(3), 0.5)
    parts.train_csv.write_text(parts.train_csv.read_text() + "4,4,0.")
    train("steps=4", "checkpoint_every=1", output=tmp_path / "parts")
    assert f"the checkpoint {parts.checkpoint(3)} is damaged" in caplog.text
    assert "the run goes on from step 2" in caplog.text
    assert losses(parts) == losses(whole)
    one, other = (load_file(run.weights(4)) for run in (whole, parts))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert [file.name for file in parts.checkpoints()] == ["000003.ckpt", "000004.ckpt"]
    for file in parts.checkpoints():
        flip(file, 0.3)
    with pytest.raises(VmcError, match=r"000004\.ckpt is damaged .*none before it is whole; remove \S+checkpoints to"):
        train("steps=5", "checkpoint_every=1", output=tmp_path / "parts")


def test_a_run_killed_right_after_its_last_checkpoint_leaves_no_more_than_the_two_newest(train, tmp_path):
    run = train("steps=3", "checkpoint_every=1")
    shutil.copy(run.checkpoint(2), run.checkpoint(1))
    run.update(status="running")
    train("steps=3", "checkpoint_every=1")
    assert read_state(run.path)["status"] == "finished"
    assert [file.name for file in run.checkpoints()] == ["000002.ckpt", "000003.ckpt"]


def test_no_flipped_bit_of_a_checkpoint_goes_unseen(tmp_path):
    state = {"tensors": {"a": torch.arange(200.0)}, "step": 3}
    file = tmp_path / "a.ckpt"
    StreamedCheckpoints().save_checkpoint(state, file)
    assert checkpoint_fault(file) is None
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content)
        flip(file, place / len(content))
        if checkpoint_fault(file) is None:  # a bit of padding, or of a date
            found = torch.load(file, weights_only=True)
            assert found["step"] == 3 and torch.equal(found["tensors"]["a"], state["tensors"]["a"])
    file.write_bytes(content[:-100])
    assert checkpoint_fault(file)


def test_a_run_whose_clips_have_changed_is_refused_by_name(train, clips, tmp_path, caplog):
    own = Path(shutil.copytree(clips, tmp_path / "own"))
    run = train(f"data.path={own}", "steps=1")
    before = (run.path / "clips.csv").read_bytes()
    shutil.copy(clips / "clip1.mp4", own / "clip0.mp4")
    (own / "clip2.mp4").rename(own / "clip3.mp4")
    with pytest.raises(VmcError, match=r"clip0\.mp4 is changed, clip2\.mp4 is gone, clip3\.mp4 is new\); put"):
        train(f"data.path={own}", "steps=2")
    assert (run.path / "clips.csv").read_bytes() == before
    run.checkpoint(1).unlink()
    run.weights(1).unlink()
    run.update(status="stopped")
    train(f"data.path={own}", "steps=2")
    assert "clip0.mp4 is changed" in caplog.text and "it is begun anew" in caplog.text
    assert read_state(run.path)["status"] == "finished"


def test_a_run_that_diverged_before_its_first_checkpoint_may_take_the_lower_rate(train, tmp_path):
    with pytest.raises(VmcError, match=r"the loss of step \d+ is (nan|inf); lower optimizer\.lr"):
        train("optimizer.lr=1e30", "steps=20")
    state = read_state(tmp_path / "run")
    assert state["status"] == "failed" and "lower optimizer.lr" in state["reason"]
    corrected = train("steps=3")
    assert read_state(corrected.path)["status"] == "finished"
    assert losses(corrected) == losses(train("steps=3", output=tmp_path / "another"))


@pytest.fixture
def read_only():
    """Mounts a folder upon itself, read-only."""
    mounted = []

    def mount(folder: Path) -> None:
        for options in ("bind", "remount,ro,bind"):
            if subprocess.run(["mount", "-o", options, folder, folder], capture_output=True).returncode:
                pytest.skip("nothing can be mounted read-only here")
            mounted.append(folder)

    yield mount
    if mounted:
        subprocess.run(["umount", mounted[0]], check=True)


def test_a_read_only_cache_serves_where_it_is_full_and_is_named_where_it_is_not(train, tmp_path, read_only):
    cache = tmp_path / "cache"
    train(f"cache={cache}", output=tmp_path / "first")
    read_only(cache)
    train(f"cache={cache}", output=tmp_path / "second")
    with pytest.raises(UnwritableError, match=r"Read-only file system\); choose another folder by cache="):
        train(f"cache={cache}", "motion.caption=one more {token} sign", output=tmp_path / "third")
    assert not (tmp_path / "third").exists()
