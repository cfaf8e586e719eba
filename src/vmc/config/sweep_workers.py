"""An arm of a sweep in the process that trains it: its core, its GPU, its signals, and what is left if it is killed."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from vmc.config.checks import resolved
from vmc.config.command import Job, Task, print_error
from vmc.config.folders import config_folders
from vmc.runs.folder import shown_state
from vmc.utils.processes import (
    PARENT,
    end_with_parent,
    environment,
    handle_signals,
    interrupt,
    run_module,
    use_cores,
)

WAITING = {"status": "waiting", "reason": "not begun"}
State = dict[str, Any]
ALONE: dict[str, Any] = {"run": {"dir": "."}, "output_subdir": None, "job": {"name": "train", "chdir": False}}
"""Hydra's settings for a resolved config as the primary config of another process."""
_place: FileLock | None = None


def returned_state(returned: JobReturn) -> State | None:
    """What an arm's job returned; None if its job was lost."""
    try:
        return returned.return_value
    except Exception as error:
        return {"status": "failed", "reason": print_error(error)}


class ArmJob:
    """The job of an arm, in whichever process its launcher runs it.

    Args:
        task: trains an arm.
        control: folder by which the sweep and its workers communicate.
        workers: processes of this machine that share the arms; 1 is the sweep's own, or one elsewhere.
    """

    def __init__(self, task: Task, *, control: Path, workers: int) -> None:
        self.task, self.control, self.workers, self.sweep = task, control, workers, os.getpid()

    def __call__(self, config: DictConfig) -> State:
        """Train the arm and return its state."""
        if (self.control / "stop").exists():
            return dict(WAITING)
        # With several ranks, each further one would start the whole sweep again.
        job = Job(train_apart if config.trainer.devices > 1 else self.task)
        if self.workers == 1:
            state = job(config)
            if state.get("status") == "stopped" and os.getpid() == self.sweep:
                (self.control / "stop").touch()  # a signal stops all further arms as well
            return state
        # A worker has cores and GPUs of its own, and only the sweep's process stops it.
        gpus = 0 if config.trainer.accelerator == "cpu" else config.trainer.devices
        take_place(self.control, self.workers, threads=config.trainer.threads, gpus=gpus)
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep gets Ctrl-C as well, and passes it on as SIGTERM
        running = self.control / f"worker-{os.getpid()}"
        running.touch()
        try:
            with handle_signals(interrupt, signal.SIGTERM):
                return job(config)
        finally:
            running.unlink(missing_ok=True)
            gc.collect()  # free the model before the worker starts the next arm
            if os.getppid() != self.sweep:  # the sweep was killed, and its workers would start the next arm
                os._exit(1)


def train_apart(config: DictConfig) -> State:
    """Train an arm in a process of its own, from its resolved config, and return its state."""
    hydra = {**ALONE, "searchpath": [f"file://{place}" for place in config_folders()]}
    defaults = ["_self_", {"override hydra/job_logging": "stdout"}, {"override hydra/hydra_logging": "none"}]
    content = {"defaults": defaults, "hydra": hydra, **_literal(resolved(config))}
    with tempfile.TemporaryDirectory(prefix="vmc-arm-") as folder:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (Path(folder) / "config.yaml").write_text(text, encoding="utf-8")
        code = run_module("vmc.train", "--config-path", folder, "--config-name", "config")
    state = shown_state(Path(config.output))
    if code == 0 or state.get("status") == "stopped":
        return state
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    said = state["reason"] if state.get("status") == "failed" else f"its process ended with exit code {code}, see above"
    return {"status": "failed", "reason": said}


def _literal(node: Any) -> Any:
    """The same values, escaped so that OmegaConf reads no interpolation."""
    if isinstance(node, dict):
        return {key: _literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_literal(value) for value in node]
    return node.replace("${", "\\${") if isinstance(node, str) else node


@contextmanager
def stopping_workers(control: Path) -> Iterator[None]:
    """The first signal makes every worker save its arm and start no other; the second ends all at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if (control / "stop").exists():
            raise KeyboardInterrupt
        (control / "stop").touch()
        print("stopping: every worker saves its arm; once more ends them at once", file=sys.stderr, flush=True)
        for worker in control.glob("worker-*"):
            os.kill(int(worker.name.partition("-")[2]), signal.SIGTERM)

    with handle_signals(stop, signal.SIGINT, signal.SIGTERM), environment(**{PARENT: str(os.getpid())}):
        yield


def take_place(folder: Path, places: int, *, threads: int | None, gpus: int) -> int:
    """Reserve cores and GPUs that no other worker of a sweep uses, for the life of this process, and give its number.

    Args:
        folder: of the locks, one for each worker.
        places: number of workers; where there are fewer groups of GPUs, workers share them.
        threads: cores of each worker, pinned if there are enough; None leaves them to the system.
        gpus: GPUs of each worker; 0 for none.
    """
    global _place
    if _place is not None:
        return int(Path(_place.lock_file).name.partition("-")[2])
    for number in range(places):
        lock = FileLock(folder / f"place-{number}")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _place = lock
        _pin_cores(number, places, threads)
        visible = _visible_gpus() if gpus else []
        if groups := len(visible) // max(gpus, 1):
            first = number % groups * gpus
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + gpus])
        return number
    raise RuntimeError(f"there are more than {places} workers in {folder}")


def _pin_cores(number: int, places: int, threads: int | None) -> None:
    if threads is None or not hasattr(os, "sched_getaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if places * threads <= len(cores):
        use_cores(cores[number * threads : (number + 1) * threads], of_all=cores)


def _visible_gpus() -> Sequence[str]:
    """Names of the GPUs that this process may use. PyTorch is not asked, as it would fix the choice at all of them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, timeout=60).stdout.split()
