"""An arm of a sweep in the process that trains it: its core, its GPU, its signals, and what is left if it is killed."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from vmc.config.checks import resolved
from vmc.config.command import Job, Task, print_error
from vmc.config.folders import config_folders
from vmc.runs.folder import shown_state
from vmc.utils.processes import PARENT, end_with_parent, environment, handle_signals, interrupt, run_module, take_place

WAITING = {"status": "waiting", "reason": "not begun"}
State = dict[str, Any]
ALONE: dict[str, Any] = {"run": {"dir": "."}, "output_subdir": None, "job": {"name": "train", "chdir": False}}
"""Hydra's settings for a resolved config as the primary config of another process."""


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
            return job(config)
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
