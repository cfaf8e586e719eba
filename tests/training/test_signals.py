"""Runs that a signal ends, as their own process and as a job of a cluster."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from safetensors.torch import load_file

from vmc.runs.earlier_versions import read_losses
from vmc.runs.folder import RunFolder, read_state
from vmc.runs.wandb_mirror import NoMirror
from vmc.train import main
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule
from vmc.training.signals import STOPPING, StopOnSignal


@pytest.fixture
def send(monkeypatch):
    """Send this process a signal at a step of its training."""

    def at(step: int, number: signal.Signals) -> None:
        append = RunFolder.append

        def append_and_send(run, row):
            append(run, row)
            if row["step"] == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(RunFolder, "append", append_and_send)

    return at


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_who_listened_before_hears_it_when_the_run_is_saved(train, send, tmp_path, number):
    def requeue(heard, frame):
        state = read_state(tmp_path / "run")
        assert (heard, state["status"], state["step"]) == (number, "stopped", 2)
        assert (tmp_path / "run" / "checkpoints" / "000002.ckpt").is_file()
        raise SystemExit(7)

    send(2, number)
    before = signal.signal(number, requeue)
    try:
        with pytest.raises(SystemExit, match="7"):
            train("steps=3", "checkpoint_every=0")
        assert signal.getsignal(number) is requeue
    finally:
        signal.signal(number, before)
    assert read_state(tmp_path / "run")["status"] == "stopped"


def test_who_listened_before_does_not_wait_for_ever(train, send, monkeypatch, tmp_path):
    """The step, or what comes after it, takes longer than there is time."""
    monkeypatch.setattr(StopOnSignal, "PATIENCE", 0.1)
    monkeypatch.setattr("vmc.training.checkpoints.Checkpoints.save", lambda *_: signal.pause())

    def requeue(*_):
        raise SystemExit(7)

    send(2, signal.SIGUSR2)
    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(SystemExit, match="7"):
            train("steps=3", "checkpoint_every=0")
    finally:
        signal.signal(signal.SIGUSR2, before)
    state = read_state(tmp_path / "run")
    assert (state["status"], state["reason"]) == ("stopped", "signal")
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_a_signal_among_the_micro_batches_of_a_step_lets_it_end_and_the_run_goes_on_to_the_bit(
    train, monkeypatch, tmp_path
):
    line, compute, computed = ("steps=4", "trainer.accumulate=2", "checkpoint_every=0"), MotionModule.compute, []
    whole = train(*line, output=tmp_path / "whole")

    def compute_and_send(module, batch):
        computed.append(batch)
        if len(computed) == 3:  # the first half of step 2
            signal.raise_signal(signal.SIGTERM)
        return compute(module, batch)

    monkeypatch.setattr(MotionModule, "compute", compute_and_send)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        stopped = train(*line)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_state(stopped.path)["step"] == 2 and len(computed) == 4
    resumed = train(*line)
    assert len(computed) == 8
    weights, others = (load_file(run.weights(4)) for run in (whole, resumed))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_run_goes_on_with_other_micro_batches(train, tmp_path):
    line = ("checkpoint_every=0", "trainer.accumulate=1")
    whole = train("steps=4", *line, output=tmp_path / "whole")
    train("steps=1", *line)
    resumed = train("steps=4", "checkpoint_every=0", "trainer.accumulate=2")
    losses = [[row["loss"] for row in read_losses(run.train_csv, 4).values()] for run in (whole, resumed)]
    assert [float(loss) for loss in losses[1]] == pytest.approx([float(loss) for loss in losses[0]], rel=1e-5)


def test_a_signal_at_the_last_step_leaves_a_finished_run(train, send):
    send(3, signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("it was to hear nothing: the run is finished"))
    try:
        run = train("steps=3")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert json.loads((run.path / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_and_saves_a_script_sees_it_and_the_run_goes_on(
    entered, send, blank, clips, monkeypatch, number, code
):
    ended = []
    monkeypatch.setattr(NoMirror, "finish", lambda self, exit_code: ended.append(exit_code))
    line = [
        *(f"model.path={blank}", "data=videos", f"data.path={clips}", "motion=custom", "regularization=none"),
        *("motion.caption=a square doing the {token} sign", "stop.appearance=null", "evaluate_every=0", "logger=csv"),
        *("batch_size=2", "trainer.threads=1", "steps=3", "output=run"),
    ]
    send(2, number)
    status, said = entered(main, *line)
    assert status == code
    assert said.count(STOPPING.decode()) == 1 and "run: stopped at step 2 (signal)" in said
    state = read_state(Path("run"))
    assert (state["status"], state["reason"], state["step"]) == ("stopped", "signal", 2)
    assert Path("run/checkpoints/000002.ckpt").is_file()
    assert entered(main, *line)[0] == 0
    assert read_state(Path("run"))["status"] == "finished"
    assert ended == [code, 0], "W&B takes a run for finished where its code is 0"


def test_a_signal_is_answered_at_once_and_once(capfd):
    with StopOnSignal() as stop:
        assert stop.exit_code == 0
        signal.raise_signal(signal.SIGTERM)
        assert capfd.readouterr().err == STOPPING.decode()
        signal.raise_signal(signal.SIGTERM)  # to the process and to its group
        assert capfd.readouterr().err == ""
    assert stop.exit_code == 143


def test_a_slurm_job_is_no_rank_of_lightning(monkeypatch):
    """Slurm's variables would make it one of several ranks, and give it a requeueing of its own."""
    for name, value in {"JOB_ID": "5", "JOB_NAME": "train", "NTASKS": "4", "PROCID": "3", "LOCALID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    trainer = Hardware().trainer(steps=1, callbacks=[])
    assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
    assert (trainer.world_size, trainer.global_rank) == (1, 0)
