"""The mirror of a run folder in W&B. Nothing is read back from it, and its failures never stop a run."""

import contextlib
import json
import logging
import netrc
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vmc.metrics.scores import columns_of, read_scores
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import write_text

log = logging.getLogger(__name__)
Result = TypeVar("Result")

USER_CHOSE_DATA_DIR = "WANDB_DATA_DIR" in os.environ
MODES = ("online", "offline", "disabled")
SERVER = "https://api.wandb.ai"
PATIENCE = 60.0  # seconds for the upload of what is left when a run ends
BEGINNING = 20.0  # seconds until a server must have answered
CALL = 30.0  # seconds until W&B's own process must have accepted numbers or videos, which it then uploads
ENDING = 10.0  # seconds that W&B may take to end beyond the limit that it is given
PROJECT = "vmc"
EVALUATION = "evaluation"  # prefix of the keys of a run's evaluation
VIDEOS = "videos"  # key of the table of its videos


class Mirror:
    """Interface of what shows a run's numbers and videos while it runs. This one shows nothing."""

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Start or continue the run of a folder, which trains or evaluates."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers at a training step."""

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str], name: str = EVALUATION) -> None:
        """Show the numbers of an evaluation, and a table of the videos with these names."""

    def report(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Show the tables and figures of a report, in a run of its own."""

    def finish(self, exit_code: int) -> None:
        """End the run with its exit code."""


class NoMirror(Mirror):
    """Nothing beside the run folder (`logger=csv`)."""


@dataclass(kw_only=True)
class WandbMirror(Mirror):
    """W&B, offline unless the user is logged in or says otherwise, and where the server does not answer.

    The first failure or timeout is logged, with the command that uploads later, and ends the mirroring.
    """

    project: str | None = None  # None takes WANDB_PROJECT, or `vmc`
    mode: str | None = None  # online, offline or disabled; None asks WANDB_MODE, then whether the user is logged in
    name: str | None = None  # of the run; None takes arm, motion and seed
    group: str | None = None  # of runs shown together; None takes the stack
    tags: Sequence[str] = ()  # beside the arm, the motion and the stack
    patience: float = PATIENCE  # seconds for the upload of what is left at the end

    def __post_init__(self) -> None:
        if not self.patience > 0:
            raise VmcError(f"logger.patience is {self.patience}; it must be a number of seconds above 0")
        self.project = self.project or os.environ.get("WANDB_PROJECT") or PROJECT
        self.mode = chosen_mode(self.mode)
        self._run: Any = None
        self.entity: str | None = None  # of the last run, where W&B's server has said it

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Start the W&B run. A continued run keeps its id, which is stored in the folder."""
        arm, motion = config["arm"], config["motion"]["name"]
        name = f"{arm}-{motion}-seed{config['seed']}{'' if job_type == 'train' else f'-{job_type}'}"
        group, tags = self.group or config["stack_name"], [arm, motion, config["stack_name"], *self.tags]
        shown = {"name": self.name or name, "group": group, "job_type": job_type, "tags": tags, "config": dict(config)}
        self._begin(folder, id=_run_id(folder), resume="allow", **shown)
        self._do(lambda run: run.define_metric("exemplar_updates", hidden=True))
        self._do(lambda run: run.define_metric("*", step_metric="step"))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers against the training step."""
        self._do(lambda run: run.log({**values, "step": step}))

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str], name: str = EVALUATION) -> None:
        """Show the numbers as curves, and a table of videos with their scores."""
        summary = json.loads((folder / "summary.json").read_text())

        def show(run: Any) -> None:
            table = {f"{name}/{VIDEOS}": _table_of_videos(folder, shown, summary)} if shown else {}
            run.log({**numbers(summary, name=name), **table, "step": step})

        self._do(show)

    def report(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Show a report's tables and figures, and log them as an artifact.

        An offline run is in `wandb/` beside the folder, because the next report replaces the folder.
        """
        name, tags = self.name or f"report-{folder.name}", ["report", *self.tags]
        self._begin(folder.parent, name=name, group=self.group, job_type="report", tags=tags, config=dict(about))
        self._do(lambda run: _show_report(run, folder, about))
        self.finish(0)

    def finish(self, exit_code: int) -> None:
        """End the run when all of it is uploaded, or after `patience`."""
        if (run := self._run) is None:
            return
        try:  # else the next run of this process would be the same one
            call_within(self.patience + ENDING, lambda: run.finish(exit_code=exit_code))
        except (Exception, SystemExit) as error:
            reason = f"no upload in {self.patience:.0f} s" if isinstance(error, TimeoutError) else first_line(error)
            self._leave(f"W&B has not got the whole run ({reason})")
        self._run = None

    def _begin(self, folder: Path, **settings: Any) -> None:
        """Start a W&B run, offline where the server does not answer."""
        import wandb

        folder = folder.resolve()  # W&B's own process and later uploads may have another working directory
        # By default, media of tables are staged in the user's data folder.
        if not USER_CHOSE_DATA_DIR:
            os.environ["WANDB_DATA_DIR"] = str(folder / "wandb")
        os.environ.setdefault("WANDB_SILENT", "true")
        # W&B reports its own errors, and the process would wait for that when it ends where the server hangs.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

        def begin(mode: Any = "online") -> Any:
            limits = wandb.Settings(init_timeout=BEGINNING, finish_timeout=self.patience, finish_timeout_raises=True)
            return wandb.init(mode=mode, settings=limits, project=self.project, dir=folder, **settings)

        failed = ""
        try:
            try:
                self._run = begin(self.mode) if self.mode != "online" else call_within(BEGINNING + ENDING, begin)
            except (wandb.errors.AuthenticationError, wandb.errors.UsageError):
                raise
            except (wandb.errors.CommError, ConnectionError, TimeoutError) as error:
                failed = first_line(error)
                _end_service()
                self._run = begin("offline")
        except (wandb.Error, OSError, ValueError) as error:
            raise VmcError(
                f"W&B cannot be used ({' '.join(str(error).split())}): wandb login, or give logger.mode=offline,"
                " or logger=csv to go without"
            ) from error
        self.entity = self._run.entity if self.mode == "online" and not failed else None
        if failed:
            log.warning(
                "W&B's server does not answer (%s): the run is kept offline; later, wandb sync %s uploads it",
                *(failed, self._run.settings.sync_dir),
            )

    def _do(self, act: Callable[[Any], Any]) -> None:
        """Call a function with the W&B run, unless mirroring has ended."""
        if (run := self._run) is None:
            return
        try:
            call_within(CALL, lambda: act(run))
        except (Exception, SystemExit) as error:  # the library raises errors of any kind
            self._leave(f"W&B fails ({first_line(error)}): the run goes on without it")

    def _leave(self, said: str) -> None:
        """End the mirroring; what is on disk can be uploaded later."""
        run, self._run = self._run, None
        log.warning("%s; later, wandb sync %s uploads what it was shown", said, run.settings.sync_dir)
        _end_service(run)


def call_within(seconds: float, act: Callable[[], Result]) -> Result:
    """Call a function in a thread and give its result; after a TimeoutError the thread goes on by itself."""
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="wandb", daemon=True).start()  # a daemon, so the process does not wait for it
    if not wait([future], seconds).done:
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    return future.result()


def _end_service(run: Any = None) -> None:
    """Kill W&B's own process, for which this one would otherwise wait at its end. The next run starts another."""
    import wandb
    from wandb.sdk import wandb_setup

    with contextlib.suppress(AttributeError):  # none is running, or it belongs to another process
        wandb_setup.singleton()._connection._proc._process.kill()  # type: ignore[union-attr] # no public method does it
    # Restore the console, which W&B captures; both calls fail now.
    for end in (run.finish if run is not None else None, wandb.teardown):
        if end is not None:
            with contextlib.suppress(Exception, SystemExit):
                call_within(ENDING, end)


def numbers(summary: Mapping[str, Any], *, name: str = EVALUATION) -> dict[str, float]:
    """The numbers of a `summary.json` by their keys in W&B, except of the protocol, which repeats the run's config."""
    found: dict[str, float | None] = {"count": summary["videos"], "of": summary.get("of")}
    for metric, part in summary["metrics"].items():
        found |= {metric: part["value"], f"{metric}/low": part["low"], f"{metric}/high": part["high"]}
    for group in ("stop", "gestures"):
        found |= {f"{group}/{key}": value for key, value in summary.get(group, {}).items()}
    # W&B draws curves of numbers.
    values = {key: int(value) if isinstance(value, bool) else value for key, value in found.items()}
    return {f"{name}/{key}": value for key, value in values.items() if value is not None}


def place_of(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The W&B `project` and `group` of runs with these configs, each if all of them agree."""
    loggers = [(config.get("logger") or {}, config.get("stack_name")) for config in configs]
    found: dict[str, set[Any]] = {
        "project": {logger.get("project") for logger, _ in loggers},
        "group": {logger.get("group") or stack for logger, stack in loggers},
    }
    return {key: values.pop() for key, values in found.items() if len(values) == 1 and None not in values}


def _table_of_videos(folder: Path, shown: Sequence[str], summary: Mapping[str, Any]) -> Any:
    import wandb

    scores = read_scores(folder / "scores.csv", columns=columns_of(summary))
    rows = {row["video"]: row for row in scores.to_dict("records")}
    columns = [column for column in scores.columns if column != "video"]
    table = wandb.Table(columns=["video", *columns])
    for name in shown:
        video = wandb.Video(str(folder / "videos" / name), caption=str(rows[name]["prompt"]), format="mp4")
        table.add_data(video, *(rows[name][column] for column in columns))
    return table


def _show_report(run: Any, folder: Path, about: Mapping[str, Any]) -> None:
    import wandb

    tables = {f"report/{file.stem}": _table_of(file) for file in sorted((folder / "tables").glob("*.csv"))}
    figures = {f"report/{file.stem}": wandb.Image(str(file)) for file in sorted((folder / "figures").glob("*.png"))}
    run.log({key: shown for key, shown in {**tables, **figures}.items() if shown is not None})
    artifact = wandb.Artifact("report", type="report", metadata=dict(about))
    for part in ("tables", "figures"):
        if (folder / part).is_dir():
            artifact.add_dir(str(folder / part), name=part)
    artifact.add_file(str(folder / "report.md"))
    run.log_artifact(artifact)


def _table_of(file: Path) -> Any:
    """Convert a CSV to a W&B table; None where it has no rows."""
    import pandas as pd
    import wandb

    table = pd.read_csv(file, encoding="utf-8").astype(object)
    rows: Any = table.where(table.notna(), None).to_numpy().tolist()
    return wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True) if rows else None


def _run_id(folder: Path) -> str:
    """The run's id in W&B, stored in its folder. W&B's agents assign an id to every run that they start."""
    file = folder / "wandb" / "id"
    given = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    if given or not file.is_file():
        write_text(file, given or secrets.token_hex(4))
    return file.read_text().strip()


def chosen_mode(mode: str | None) -> str:
    """The mode of W&B: as given, or by its environment variable, or by whether the user is logged in."""
    key, chosen = ("logger.mode", mode) if mode else ("WANDB_MODE", os.environ.get("WANDB_MODE"))
    if chosen and chosen not in MODES:
        raise VmcError(f"{key} is '{chosen}'; it must be {', '.join(MODES)}{' or null' if mode else ''}")
    url = os.environ.get("WANDB_BASE_URL") or SERVER
    if not re.fullmatch(r"https?://([^\s/:@\[\]]+|\[[\da-f:.]+\])(:\d+)?(/\S*)?", url, re.IGNORECASE):
        raise VmcError(f"WANDB_BASE_URL is '{url}'; it must be the address of a server, such as {SERVER}")
    return chosen or ("online" if logged_in() else "offline")


def logged_in() -> bool:
    """Whether there is a key of `wandb login`, in the environment or in netrc, without asking a server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or SERVER).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
