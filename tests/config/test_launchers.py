"""What keeps a sweep's launcher from working is a sentence; and how Slurm's queue is watched. Slurm itself is faked."""

import signal
import time
from pathlib import Path

import pytest

from vmc.config import launchers
from vmc.train import main

SWEEP = ("-m", "hydra/launcher=slurm", "+ablation=params_none,params_kv")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Slurm's programs: `programs(squeue="...")` makes one of a shell line; none are there at first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(**lines: str) -> None:
        for name, line in lines.items():
            (folder / name).write_text(f"#!/bin/bash\n{line}\n")
            (folder / name).chmod(0o755)

    return make


def test_a_launcher_that_is_not_installed_names_its_extra(entered, monkeypatch):
    monkeypatch.setitem(launchers.PACKAGES, "slurm", "hydra_plugins.not_there")
    status, said = entered(main, *SWEEP)
    assert (status, said.strip()) == (
        1,
        "error: hydra/launcher=slurm needs a package that is not installed; pip install 'vmc[slurm]'",
    )


def test_no_slurm_is_a_sentence(entered, programs):
    programs(sbatch="", srun="")
    status, said = entered(main, *SWEEP)
    assert status == 1
    assert said.startswith("error: hydra/launcher=slurm needs Slurm, but there is no squeue on the PATH")
    assert not Path("outputs").exists()


@pytest.mark.parametrize("answer", ["echo 'Slurmctld(primary) at head is DOWN'", "echo 'fatal: no configuration' >&2"])
def test_a_slurm_that_does_not_answer_is_a_sentence(entered, programs, answer):
    programs(sbatch="", srun="", squeue="", scontrol=f"{answer}; exit 1")
    status, said = entered(main, *SWEEP)
    assert status == 1
    assert said.startswith("error: hydra/launcher=slurm cannot reach Slurm (scontrol ping: ")
    assert "is DOWN" in said or "no configuration" in said
    assert not Path("outputs").exists()


def test_one_controller_of_two_is_enough(programs):
    programs(sbatch="", srun="", squeue="")
    programs(scontrol="echo 'Slurmctld(primary) at one is DOWN'; echo 'Slurmctld(backup) at two is UP'; exit 1")
    launchers.check_launcher("slurm")


def test_a_launcher_without_a_sweep_is_refused(entered):
    status, said = entered(main, "hydra/launcher=slurm")
    assert status == 1
    assert "hydra/launcher=slurm serves sweeps; add -m" in said


def test_jobs_that_wait_or_run_are_waited_for(programs, tmp_path):
    """One ends, one is put back in the queue and ends, one is gone; at times the queue does not answer."""
    (tmp_path / "looks").write_text("")
    programs(
        squeue=f"""
        printf . >> {tmp_path}/looks
        read -r looks < {tmp_path}/looks
        case ${{#looks}} in
            1) echo 7_0; echo 7_1; echo 7_2 ;;
            2) exit 1 ;;
            3) echo 7_1 ;;
            *) exit 0 ;;
        esac"""
    )

    def has_result(job: str) -> bool:
        return job == "7_0" or (job == "7_1" and len((tmp_path / "looks").read_text()) > 3)

    begin = time.monotonic()
    assert launchers.wait_for_jobs(["7_0", "7_1", "7_2"], has_result, every=0.01, late=0.3) == {"7_2"}
    assert time.monotonic() - begin > 0.3


class Requeued(Exception):
    pass


@pytest.mark.parametrize(
    ("queue", "end"),
    [
        ("echo RUNNING", Requeued),  # warned of being preempted
        ("echo COMPLETING", SystemExit),  # cancelled, requeued or out of time: Slurm itself sees to what follows
        ("exit 1", SystemExit),
    ],
)
def test_a_job_that_is_told_to_end_leaves_no_result(programs, monkeypatch, queue, end):
    plugin = pytest.importorskip("hydra_plugins.vmc_slurm", reason="needs the extra slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    programs(squeue=f"[ $1 = --jobs=12 ] || exit 2; {queue}")

    def requeue(*_):  # as submitit does
        raise Requeued

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(end):
            plugin._leave(signal.SIGTERM, None)
    finally:
        signal.signal(signal.SIGUSR2, before)
