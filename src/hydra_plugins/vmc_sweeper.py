"""The sweeper of `vmc.train`: which arms a sweep has, which are done and skipped, and the table of all at the end.

It is here because Hydra finds sweepers only in the namespace `hydra_plugins`.
"""

import gc
import logging
import shlex
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from vmc.config.checks import check_complete, check_config, check_overlays, resolved
from vmc.config.command import Job, print_error
from vmc.config.launchers import check_launcher
from vmc.config.sweep_workers import WAITING, ArmJob, State, returned_state, stopping_workers
from vmc.runs.folder import COMMAND, RunFolder, shown_state
from vmc.runs.lock import holder
from vmc.runs.resuming import differing_keys, is_done
from vmc.utils.errors import VmcError
from vmc.utils.files import csv_text, read_json, write_text
from vmc.utils.processes import environment, handle_signals, interrupt
from vmc.utils.tables import align

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
METRICS = ("motion_accuracy", "appearance", "copy_score")
STATE = ("status", "reason", "step", "seconds")
COLUMNS = ("arm", "motion", "seed", *STATE, "videos", *METRICS, "folder")
WIDEST = 40
"""Characters of a reason in the printed table; the file has all of it."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One run of a sweep.

    Args:
        run: its folder and resolved config.
        overrides: the overrides from which the launcher composes it.
    """

    run: RunFolder
    overrides: Sequence[str]

    @property
    def name(self) -> str:
        """Arm, motion and seed."""
        config = self.run.config
        return f"{config['arm']} {config['motion']['name']} seed{config['seed']}"

    def settled(self) -> dict[str, Any] | None:
        """The state of an arm that need not or cannot be run: done, running elsewhere, or refused; else None."""
        try:
            state = self.run.check()
        except VmcError as error:
            return {"status": "failed", "reason": str(error)}
        if is_done(state, self.run.config["steps"]):
            return state
        if by := holder(self.run.path):
            return {**state, "status": "running", "reason": f"another process is writing it ({by})"}
        return None

    def row(self, returned: Mapping[str, Any] | None) -> dict[str, Any]:
        """Its row of the table: the state in its folder, updated by what its job returned, and the main metrics of its
        newest evaluation.
        """
        config, folder = self.run.config, self.run.path
        state = {**(shown_state(folder) or WAITING), **(returned or {})}
        known = {key: state[key] for key in STATE if state.get(key) is not None}
        row = {"arm": config["arm"], "motion": config["motion"]["name"], "seed": config["seed"], **known}
        summaries = sorted((folder / "evaluation").glob("[0-9][0-9][0-9][0-9][0-9][0-9]/summary.json"))
        if summaries and "metrics" in (summary := read_json(summaries[-1]) or {}):  # not where it is damaged
            values = {name: summary["metrics"].get(name, {}).get("value") for name in METRICS}
            row |= {"videos": summary["videos"], **{name: one for name, one in values.items() if one is not None}}
        return {**row, "folder": str(folder)}


def distinct(arms: Sequence[Arm]) -> list[Arm]:
    """The arms without duplicates (five overlays of Table 2 are the method itself); a VmcError if two different ones
    would write to one folder.
    """
    kept: dict[Path, Arm] = {}
    for arm in arms:
        other = kept.setdefault(arm.run.path.absolute(), arm)
        if different := differing_keys(other.run.config, arm.run.config, free=("output", "logger")):
            raise VmcError(
                f"two different arms would write {arm.run.path} ({', '.join(different)} differ); name them apart,"
                f" as in \"arm='{arm.run.config['arm']}-${{{different[0]}}}'\", or sweep over one of them only"
            )
    return list(kept.values())


def write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table as CSV, atomically, unless the file holds it already."""
    text = csv_text(COLUMNS, rows)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table for the terminal: a line per arm, the number of arms by status, and the reason of each failure."""
    shown = [name for name in COLUMNS if name != "folder" and any(name in one for one in rows)]
    lines = align([shown, *([_cell(name, one.get(name)) for name in shown] for one in rows)], left=range(len(shown)))
    counts = Counter(one["status"] for one in rows)
    lines.append(f"{len(rows)} arms: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if any("appearance" in one for one in rows):
        lines.append("Scores are those of each run's newest evaluation; vmc.report compares arms at one appearance.")
    return lines + [f"{one['folder']} failed: {one['reason']}" for one in rows if one["status"] == "failed"]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if name == "seconds" else f"{value:.4f}"
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


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
        # The name of the table, and of the group of a file's runs in W&B.
        self.of_file = named != "train"
        self.name = f"{named if self.of_file else 'sweep'}{f'-{size}' if size else ''}"

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
        if config.logger.get("group", "") is None and self.of_file:
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
                with stopping_workers(control) if workers > 1 else handle_signals(interrupt):
                    returned = launcher.launch([arms[place].overrides for place in places], 0)
                for place, one in zip(places, returned, strict=True):
                    states[place] = returned_state(one)
                return
            logging.getLogger("hydra").setLevel(logging.WARNING)  # it logs every launch
            for number, place in enumerate(places):
                print(f"[{number + 1}/{len(places)}] {arms[place].name}", flush=True)
                (one,) = launcher.launch([arms[place].overrides], number)
                states[place] = state = returned_state(one)
                if state is not None and state["status"] == "stopped":
                    raise KeyboardInterrupt
                gc.collect()  # one model at a time
        finally:
            shutil.rmtree(control, ignore_errors=True)
