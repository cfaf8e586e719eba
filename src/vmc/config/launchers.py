"""What a sweep's launchers need: their packages, and Slurm's programs and queue."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from importlib.util import find_spec

from vmc.utils.errors import VmcError

# The package behind each choice of hydra/launcher, installed by the extra of the choice's name.
PACKAGES = {"joblib": "hydra_plugins.hydra_joblib_launcher", "slurm": "hydra_plugins.hydra_submitit_launcher"}
QUEUE_EVERY = 5.0  # seconds between looks at Slurm's queue
LATE = 30.0  # seconds within which a shared file system shows the result of a finished job


def check_launcher(name: str) -> None:
    """Raise a VmcError if a launcher's package is not installed, or Slurm's programs or controller are missing."""
    if find_spec(PACKAGES[name]) is None:
        raise VmcError(f"hydra/launcher={name} needs a package that is not installed; pip install 'vmc[{name}]'")
    if name != "slurm":
        return
    if missing := [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]:
        raise VmcError(
            f"hydra/launcher=slurm needs Slurm, but there is no {missing[0]} on the PATH;"
            " start the sweep where the cluster's jobs are submitted, or leave hydra/launcher out"
        )
    try:
        ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=60)
        answer = (ping.stdout.strip() or ping.stderr.strip()).partition("\n")[0]
    except subprocess.TimeoutExpired:
        answer = "no answer within a minute"
    else:
        if " is UP" in ping.stdout:  # of several controllers one is enough
            return
    raise VmcError(
        f"hydra/launcher=slurm cannot reach Slurm (scontrol ping: {answer});"
        " no job was submitted, run the same command again when the cluster answers"
    )


def _squeue(*arguments: str, timeout: float = 60) -> str | None:
    """The output of `squeue`; None if it fails."""
    command = ["squeue", *arguments, "--noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True).stdout
    except subprocess.SubprocessError:
        return None


def job_state() -> str:
    """Slurm's state of the job that this process belongs to; empty if it is not known."""
    return (_squeue(f"--jobs={os.environ['SLURM_JOB_ID']}", "--format=%T", timeout=15) or "").strip()


def wait_for_jobs(
    ids: Collection[str], has_result: Callable[[str], bool], *, every: float = QUEUE_EVERY, late: float = LATE
) -> set[str]:
    """Wait until every job has a result or has left the queue; returns the ids of those that left without a result.

    The queue is asked, not the accounting, which many clusters do not have.
    """
    waiting, missing_since = set(ids), dict[str, float]()
    while True:
        said = _squeue("--me", "--array", "--format=%i")  # jobs that wait, run, or are being requeued
        waiting = {job for job in waiting if not has_result(job)}
        now = time.monotonic()
        for job in waiting:
            if said is None or job in said.split():
                missing_since.pop(job, None)
            else:
                missing_since.setdefault(job, now)
        gone = {job for job in waiting if now - missing_since.get(job, now) > late}
        if waiting == gone:
            return gone
        time.sleep(every)
