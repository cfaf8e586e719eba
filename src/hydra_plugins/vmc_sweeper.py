"""The sweeper of `vmc.train`. It is here because Hydra finds sweepers only in the namespace `hydra_plugins`."""

import gc
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from vmc.config.checks import check_complete, check_config, check_overlays, resolved
from vmc.config.command import Job, Task, print_error
from vmc.config.folders import config_folders
from vmc.config.launchers import check_launcher
from vmc.config.sweep_arms import WAITING, Arm, distinct, table_lines, write_table
from vmc.runs.folder import COMMAND, RunFolder, shown_state
from vmc.utils.errors import VmcError
from vmc.utils.processes import PARENT, end_with_parent, environment, handle_signals, interrupt, run_module, take_place

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
State = dict[str, Any]
ALONE: dict[str, Any] = {"run": {"dir": "."}, "output_subdir": None, "job": {"name": "train", "chdir": False}}
"""Hydra's settings for a resolved config as the primary config of another process."""


class VmcSweeper(BasicSweeper):
    """Runs the arms of a grid that are not done yet, each once, and prints a table of all arms.

    Hydra's own sweeper with callbacks is not enough. All arms are composed and checked, and duplicates found, before
    the first begins. An arm that is done is not launched, where `vmc.train` would skip it: it would wait in Slurm's
    queue, or occupy a worker that loads torch for nothing. A signal stops the current arm and the sweep, where Hydra
    would begin the next arm; a killed worker ends neither the others nor the table. The task is a
    `vmc.config.command.Job`, whose exit code says whether all arms are finished. `params` is the grid, as in Hydra's.
    """

    hydra_context: HydraContext  # type: ignore[assignment]
    config: DictConfig  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the arguments; the launcher is created only if there is something to launch."""
        assert isinstance(task_function, Job)
        self.hydra_context, self.job, self.config = hydra_context, task_function, config
        self.launcher = config.hydra.launcher.get("_target_")
        size = config.hydra.runtime.choices.get("size")
        named = Path(config.hydra.job.config_name).name
        # The name of the table, and of the group of its runs in W&B.
        self.name = f"{'sweep' if named == 'train' else named}{f'-{size}' if size else ''}"

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; `arguments` are the command line's overrides."""
        try:
            if self.launcher == JOBLIB:
                check_launcher("joblib")
            arms = distinct(self._arms(arguments))
        except VmcError as error:
            print_error(error)
            self.job.exit_code = 1
            return
        states = [arm.settled() for arm in arms]
        command = shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]])
        try:
            with handle_signals(interrupt, signal.SIGTERM), environment(**{COMMAND: command}):
                self._launch(arms, states)
        except KeyboardInterrupt:
            print("the sweep was interrupted; the same command goes on with it", file=sys.stderr, flush=True)
        except Exception as error:  # of a launcher: a worker was killed, or a job left no result
            print_error(error)
        finally:  # a launcher may exit
            rows = [arm.row(state) for arm, state in zip(arms, states, strict=True)]
            file = Path(self.config.hydra.sweep.dir) / f"{self.name}.csv"
            write_table(file, rows)
            print("\n".join(["", *table_lines(rows), str(file)]), flush=True)
            self.job.exit_code = int(any(row["status"] != "finished" for row in rows))

    # --- the arms ----------------------------------------------------------------------------------------------------

    def _arms(self, arguments: Sequence[str]) -> list[Arm]:
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        outputs = [override for override in overrides if override.key_or_group == "output"]
        if outputs and outputs[-1].is_sweep_override():
            raise VmcError(f"{outputs[-1].input_line}: in a sweep output is the folder of all arms; give one")
        root = str(outputs[-1].value()) if outputs else None
        (grid,) = self.split_arguments([one for one in overrides if one not in outputs], None)
        arms = [self._arm(point, root) for point in grid]
        if root is not None:
            self.config.hydra.sweep.dir = root
        return arms

    def _arm(self, point: Sequence[str], root: str | None) -> Arm:
        """Compose a point of the grid, with the overrides that the sweep adds."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(point))
        check_overlays(config, config.hydra.runtime.choices)
        check_complete(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
        added = {}
        if root is not None:
            place, output = config.hydra.sweep.dir, Path(config.output)
            if not output.is_relative_to(place):
                raise VmcError(
                    f"output is given in a sweep, where it takes the place of hydra.sweep.dir ({place}), but an arm"
                    f" goes to {output}; let the sweep's own output begin with its hydra.sweep.dir"
                )
            config.hydra.sweep.dir = root
            root = config.hydra.sweep.dir  # with interpolations resolved
            added = {"output": str(Path(root) / output.relative_to(place)), "hydra.sweep.dir": root}
        if config.logger.get("group", "") is None and not self.name.startswith("sweep"):
            added["logger.group"] = self.name
        for key, value in added.items():
            OmegaConf.update(config, key, value)
        with open_dict(config):
            del config["hydra"]
        check_config(config, "train")
        quoted = ["{}='{}'".format(key, value.replace("'", "\\'")) for key, value in added.items()]
        return Arm(run=RunFolder(Path(config.output), config=resolved(config)), overrides=(*point, *quoted))

    # --- running them ------------------------------------------------------------------------------------------------

    def _launch(self, arms: Sequence[Arm], states: list[State | None]) -> None:
        """Launch the arms that have no state yet, and record how each ended."""
        places = [place for place, state in enumerate(states) if state is None]
        if not places:
            return
        workers = 1
        if self.launcher == JOBLIB:
            from joblib import effective_n_jobs

            workers = effective_n_jobs(self.config.hydra.launcher.n_jobs)
        control = Path(tempfile.mkdtemp(prefix="vmc-sweep-"))
        task = ArmJob(self.job.task, control=control, workers=workers)
        launcher = Plugins.instance().instantiate_launcher(self.hydra_context, task, self.config)
        try:
            if self.launcher != BASIC:
                with _stopping_workers(control) if workers > 1 else handle_signals(interrupt):
                    returned = launcher.launch([arms[place].overrides for place in places], 0)
                for place, one in zip(places, returned, strict=True):
                    states[place] = _state(one)
                return
            logging.getLogger("hydra").setLevel(logging.WARNING)  # it logs every launch
            for number, place in enumerate(places):
                print(f"[{number + 1}/{len(places)}] {arms[place].name}", flush=True)
                (one,) = launcher.launch([arms[place].overrides], number)
                states[place] = state = _state(one)
                if state is not None and state["status"] == "stopped":
                    raise KeyboardInterrupt
                gc.collect()  # one model at a time
        finally:
            shutil.rmtree(control, ignore_errors=True)


def _state(returned: JobReturn) -> State | None:
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
def _stopping_workers(control: Path) -> Iterator[None]:
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
