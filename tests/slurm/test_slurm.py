"""Sweeps through a real Slurm on this machine (`cluster.sh`), whose jobs are taken their machine from."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vmc.train import main

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SCRIPT = Path(__file__).with_name("cluster.sh")
PLACES = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
absent = [program for program in PROGRAMS if shutil.which(program, path=PLACES) is None]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(absent), reason=f"no {', '.join(absent)} here: apt-get install slurm-wlm munge"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Slurm's daemons"),
]

ARMS = {"params_none": "params_none", "params_kv": "method"}  # overlay: arm
STEPS = 20


class Cluster:
    """The cluster as its users and its operator see it."""

    def __init__(self, configuration: Path) -> None:
        self.environment = {**os.environ, "SLURM_CONF": str(configuration)}

    def __call__(self, *command: str) -> str:
        """What one of Slurm's programs says."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> list[str]:
        """Ids of all jobs that wait or run."""
        return self("squeue", "--noheader", "--array", "--format=%i").split()

    def sweep(self, folder: Path, *overrides: str) -> subprocess.Popen:
        """The command of a sweep, begun in `folder`."""
        folder.mkdir()
        line = [sys.executable, "-m", "vmc.train", "-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*line, *overrides], cwd=folder, env=self.environment, **pipes)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=60)
        yield Cluster(folder / "slurm.conf")
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=60)


@pytest.fixture(scope="module")
def settings(blank, clips) -> list[str]:
    """Overrides of a short run."""
    return [
        *(f"model.path={blank}", "data=videos", f"data.path={clips}", "data.fps=12", "data.variants=3"),
        "model.size=32",
        *("motion=custom", "motion.caption=a square doing the {token} sign", "regularization=none"),
        "motion.name=custom",
        "stop.appearance=null",
        *("evaluate_every=0", "logger=csv", "batch_size=1", "trainer.threads=1", f"steps={STEPS}"),
        "checkpoint_every=0",  # what a job goes on from is what it saved when it was told to end
    ]


@pytest.fixture(scope="module")
def cancelled(cluster, settings, tmp_path_factory) -> Iterator[tuple[subprocess.Popen, str]]:
    """A sweep of one job, which was cancelled before it began. Made first: the sweep takes its time to believe it."""
    folder = tmp_path_factory.mktemp("cancelled") / "sweep"
    process = cluster.sweep(folder, *settings, "+hydra.launcher.additional_parameters.hold=true")
    try:
        wait_for(cluster.jobs, process)
        (job,) = cluster.jobs()
        cluster("scancel", job)
        yield process, job
    finally:
        process.kill()


def wait_for(condition: Callable[[], object], process: subprocess.Popen, *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def rows(run: Path) -> list[dict[str, str]]:
    file = run / "train.csv"
    return list(csv.DictReader(file.open())) if file.is_file() else []


def test_a_sweep_whose_jobs_are_requeued_is_the_undisturbed_one(cancelled, cluster, settings, train, tmp_path):
    runs = [tmp_path / "sweep" / "outputs" / "mini" / arm / "custom" / "seed0" for arm in ARMS.values()]
    process = cluster.sweep(tmp_path / "sweep", f"+ablation={','.join(ARMS)}", *settings)
    try:
        wait_for(lambda: len(cluster.jobs()) == len(ARMS), process)
        jobs = sorted(cluster.jobs())
        wait_for(lambda: len(rows(runs[0])) > 2, process)
        cluster("scontrol", "requeue", jobs[0])
        wait_for(lambda: len(rows(runs[1])) > 2, process)
        cluster("scancel", "--signal=USR2", jobs[1])  # as Slurm warns it before its time is up
        said, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, said
    for overlay, run in zip(ARMS, runs, strict=True):
        state = json.loads((run / "run.json").read_text())
        assert (state["status"], state["step"]) == ("finished", STEPS)
        assert [int(row["step"]) for row in rows(run)] == list(range(1, STEPS + 1))
        alone = train(f"+ablation={overlay}", *settings, output=tmp_path / overlay)
        swept, undisturbed = load_file(run / "weights" / f"{STEPS:06d}.safetensors"), load_file(alone.weights(STEPS))
        assert swept.keys() == undisturbed.keys()
        assert all(torch.equal(swept[name], undisturbed[name]) for name in swept)
    stops = [[int(file.stem) for file in (run / "checkpoints").iterdir()] for run in runs]
    assert [len(steps) for steps in stops] == [2, 2], "those that were told to end did not save"
    assert all("Restarts=1" in cluster("scontrol", "show", "job", job) for job in jobs)


def test_a_job_that_is_gone_does_not_keep_the_sweep_waiting(cancelled):
    process, job = cancelled
    said, _ = process.communicate(timeout=120)
    assert f"slurm job {job} ended without a result" in said
    assert process.returncode == 1, said


def test_a_partition_that_is_not_there_is_a_sentence(cluster, settings, entered, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    status, said = entered(main, "-m", "hydra/launcher=slurm", "hydra.launcher.partition=nowhere", *settings)
    assert status == 1
    assert "error: Slurm took no job" in said and "invalid partition" in said
    assert "Traceback" not in said


def test_a_controller_that_is_down_is_a_sentence(cluster, settings, entered, monkeypatch, tmp_path):
    (tmp_path / "down.conf").write_text(
        "".join(
            "SlurmctldPort=9\n" if line.startswith("SlurmctldPort") else f"{line}\n"
            for line in Path(cluster.environment["SLURM_CONF"]).read_text().splitlines()
        )
    )
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "down.conf"))
    status, said = entered(main, "-m", "hydra/launcher=slurm", *settings)
    assert status == 1
    assert "cannot reach Slurm (scontrol ping: Slurmctld(primary)" in said and "is DOWN" in said
    assert not (tmp_path / "outputs").exists()
