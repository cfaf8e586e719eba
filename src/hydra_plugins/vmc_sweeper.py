"""The sweeper of `vmc.train`. Here, because Hydra takes sweepers from the namespace `hydra_plugins` alone."""

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
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from vmc.config.checks import check_complete, check_config, check_overlays
from vmc.config.command import Job, Task, tell
from vmc.config.folders import config_folders
from vmc.config.launchers import check_launcher
from vmc.config.sweep import WAITING, Arm, distinct, row, table_lines, write_table
from vmc.runs.folder import COMMAND, RunFolder, shown_state
from vmc.utils.errors import VmcError
from vmc.utils.processes import PARENT, end_with_parent, handled, interrupt, run_module, take_place

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
State = dict[str, Any]

# What a resolved config needs to be a primary config of its own.
ALONE: dict[str, Any] = {
    "defaults": ["_self_", {"override hydra/job_logging": "stdout"}, {"override hydra/hydra_logging": "none"}],
    "hydra": {"run": {"dir": "."}, "output_subdir": None, "job": {"name": "train", "chdir": False}},
}


class VmcSweeper(BasicSweeper):
    """Runs the arms of a grid that are not done yet, each once, and ends with a table of all.

    What can be known before is checked before: every arm composes, and no two different ones write one folder. An arm
    that is done is not launched at all; an interrupted or failed one goes on from its newest checkpoint. The task is a
    `vmc.config.command.Job`, whose exit code says whether all arms are finished. `params`, the grid, is as in Hydra's
    own sweeper.
    """

    hydra_context: HydraContext  # type: ignore[assignment]
    config: DictConfig  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep is made of; the launcher is made when there is something to launch."""
        assert isinstance(task_function, Job)
        self.hydra_context, self.job, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; `arguments` are the command line's overrides."""
        try:
            if self.config.hydra.launcher.get("_target_") == JOBLIB:
                check_launcher("joblib")
            arms = distinct(self._arms(arguments))
        except VmcError as error:
            tell(error)
            self.job.exit_code = 1
            return
        states = [arm.settled() for arm in arms]
        try:
            with handled(interrupt, signal.SIGTERM), _environment(**{COMMAND: shlex.join(_command())}):
                self._launch(arms, states)
        except KeyboardInterrupt:
            print("the sweep was interrupted; the same command goes on with it", file=sys.stderr, flush=True)
        except Exception as error:  # of a launcher: a worker was killed, a job left no result
            tell(error)
        finally:  # launchers may exit
            self._end(arms, states)

    # --- the arms ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The sweep's, with its size: of its table, and of the group of its runs in W&B."""
        hydra = self.config.hydra
        name, size = Path(hydra.job.config_name).name, hydra.runtime.choices.get("size")
        return f"{'sweep' if name == 'train' else name}{f'-{size}' if size else ''}"

    def _arms(self, arguments: Sequence[str]) -> list[Arm]:
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        root = _root([override for override in overrides if override.key_or_group == "output"])
        (grid,) = self.split_arguments([one for one in overrides if one.key_or_group != "output"], None)
        arms = [self._arm(point, root) for point in grid]
        if root is not None:
            self.config.hydra.sweep.dir = root
        return arms

    def _arm(self, point: Sequence[str], root: str | None) -> Arm:
        """Compose one point of the grid, with what the sweep adds to it."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(point))
        check_overlays(config, config.hydra.runtime.choices)
        check_complete(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
        added = {}
        if root is not None:
            below = _below(config.output, config.hydra.sweep.dir)
            config.hydra.sweep.dir = root
            added = {"output": str(Path(config.hydra.sweep.dir) / below), "hydra.sweep.dir": config.hydra.sweep.dir}
        if config.logger.get("group", "") is None and not self.name.startswith("sweep"):
            added["logger.group"] = self.name
        for key, value in added.items():
            OmegaConf.update(config, key, value)
        with open_dict(config):
            del config["hydra"]
        check_config(config, "train")
        plain: Any = OmegaConf.to_container(config, resolve=True)
        quoted = [f"{key}={_quoted(value)}" for key, value in added.items()]
        return Arm(run=RunFolder(Path(config.output), config=plain), overrides=(*point, *quoted))

    # --- running them ------------------------------------------------------------------------------------------------

    def _launch(self, arms: Sequence[Arm], states: list[State | None]) -> None:
        """Launch the arms that have no state yet, and note how each ended."""
        places = [place for place, state in enumerate(states) if state is None]
        if not places:
            return
        target, control = self.config.hydra.launcher.get("_target_"), Path(tempfile.mkdtemp(prefix="vmc-sweep-"))
        workers = _workers(self.config.hydra.launcher.n_jobs) if target == JOBLIB else 1
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context,
            task_function=ArmJob(self.job.task, control=control, workers=workers),
            config=self.config,
        )
        try:
            if target == BASIC:
                self._one_by_one(launcher, arms, states, places)
            else:
                with _stopping_workers(control) if workers > 1 else handled(interrupt):
                    returned = launcher.launch([arms[place].overrides for place in places], 0)
                for place, one in zip(places, returned, strict=True):
                    states[place] = _state(one)
        finally:
            shutil.rmtree(control, ignore_errors=True)

    def _one_by_one(
        self, launcher: Launcher, arms: Sequence[Arm], states: list[State | None], places: Sequence[int]
    ) -> None:
        logging.getLogger("hydra").setLevel(logging.WARNING)  # it announces every launch
        for number, place in enumerate(places, 1):
            print(f"[{number}/{len(places)}] {arms[place].name}", flush=True)
            (returned,) = launcher.launch([arms[place].overrides], number - 1)
            states[place] = state = _state(returned)
            if state is not None and state["status"] == "stopped":
                raise KeyboardInterrupt
            gc.collect()  # one model at a time

    def _end(self, arms: Sequence[Arm], states: Sequence[State | None]) -> None:
        rows = [row(arm, arm.state(state)) for arm, state in zip(arms, states, strict=True)]
        file = Path(self.config.hydra.sweep.dir) / f"{self.name}.csv"
        write_table(file, rows)
        print("\n".join(["", *table_lines(rows), str(file)]), flush=True)
        self.job.exit_code = int(any(one["status"] != "finished" for one in rows))


class ArmJob:
    """The job of an arm, in whatever process its launcher runs it.

    Args:
        task: what trains an arm.
        control: folder that the sweep and its workers share while they run.
        workers: how many processes of this machine share the arms; 1 is the sweep's own, or one elsewhere.
    """

    def __init__(self, task: Task, *, control: Path, workers: int) -> None:
        self.task, self.control, self.workers, self.sweep = task, control, workers, os.getpid()

    def __call__(self, config: DictConfig) -> State:
        """Train the arm; its state."""
        if (self.control / "stop").exists():
            return dict(WAITING)
        # Each rank of several would start the whole sweep again.
        job = Job(train_apart if config.trainer.devices > 1 else self.task)
        if self.workers == 1:
            return job(config)
        with self._working(config):
            return job(config)

    @contextmanager
    def _working(self, config: DictConfig) -> Iterator[None]:
        """Be a worker: on cores and GPUs of its own, and stopped by the sweep's process alone."""
        trainer = config.trainer
        gpus = 0 if trainer.accelerator == "cpu" else trainer.devices
        take_place(self.control, self.workers, threads=trainer.threads, gpus=gpus)
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep too, which hands it on as SIGTERM
        mark = self.control / f"worker-{os.getpid()}"
        mark.touch()
        try:
            with handled(interrupt, signal.SIGTERM):
                yield
        finally:
            mark.unlink(missing_ok=True)
            if os.getppid() != self.sweep:  # killed; its workers would take up the next arm
                os._exit(1)


def train_apart(config: DictConfig) -> State:
    """Train an arm in a process of its own, from its resolved config; its state."""
    plain = OmegaConf.to_container(config, resolve=True)
    with tempfile.TemporaryDirectory(prefix="vmc-arm-") as folder:
        hydra = {**ALONE["hydra"], "searchpath": [f"file://{place}" for place in config_folders()]}
        text = yaml.safe_dump({**ALONE, "hydra": hydra, **_literal(plain)}, sort_keys=False, allow_unicode=True)
        (Path(folder) / "config.yaml").write_text(text, encoding="utf-8")
        code = run_module("vmc.train", "--config-path", folder, "--config-name", "config")
    state = shown_state(Path(config.output))
    if code == 0 or state.get("status") == "stopped":
        return state
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    said = state["reason"] if state.get("status") == "failed" else f"its process ended with exit code {code}, see above"
    return {"status": "failed", "reason": said}


@contextmanager
def _stopping_workers(control: Path) -> Iterator[None]:
    """A first signal lets every worker save its arm and begin no other; a second one ends all at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if (control / "stop").exists():
            raise KeyboardInterrupt
        (control / "stop").touch()
        print("stopping: every worker saves its arm; once more ends them at once", file=sys.stderr, flush=True)
        for mark in control.glob("worker-*"):
            os.kill(int(mark.name.partition("-")[2]), signal.SIGTERM)

    with handled(stop, signal.SIGINT, signal.SIGTERM), _environment(**{PARENT: str(os.getpid())}):
        yield


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables for processes that are started in the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _command() -> list[str]:
    return [Path(sys.executable).name, *sys.orig_argv[1:]]


def _workers(asked: int) -> int:
    from joblib import effective_n_jobs

    return effective_n_jobs(asked)


def _state(returned: JobReturn) -> State | None:
    """What an arm's job returned; None where its job was lost."""
    try:
        return returned.return_value
    except Exception as error:
        return {"status": "failed", "reason": tell(error)}


def _root(given: Sequence[Override]) -> str | None:
    """The folder of all arms, where the command line says `output=`."""
    if not given:
        return None
    if given[-1].is_sweep_override():
        raise VmcError(f"{given[-1].input_line}: in a sweep output is the folder of all arms; give one")
    return str(given[-1].value())


def _below(output: str, folder: str) -> Path:
    """Where a run's folder lies in that of its sweep."""
    try:
        return Path(output).relative_to(folder)
    except ValueError as error:
        raise VmcError(
            f"output is given in a sweep, where it takes the place of hydra.sweep.dir ({folder}), but an arm goes to"
            f" {output}; let the sweep's own output begin with its hydra.sweep.dir"
        ) from error


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"


def _literal(node: Any) -> Any:
    """The same values, with nothing that OmegaConf would read as an interpolation."""
    if isinstance(node, dict):
        return {key: _literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_literal(value) for value in node]
    return node.replace("${", "\\${") if isinstance(node, str) else node
