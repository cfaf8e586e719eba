"""The run folder's mirror in W&B. Nothing is ever read back from it."""

import json
import netrc
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from vmc.metrics.declared import columns_of
from vmc.metrics.scores import read_scores
from vmc.runs.wandb_run import WandbRun
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write

USER_CHOSE_DATA_DIR = "WANDB_DATA_DIR" in os.environ
MODES = ("online", "offline", "disabled")
OLD_MODES = {"run": "online", "dryrun": "offline"}
"""Names that W&B still takes from its variable."""
SERVER = "https://api.wandb.ai"
PATIENCE = 60.0
"""Seconds for the upload of what is left when a run ends."""
PROJECT = "vmc"
EVALUATION = "evaluation"
"""Before the keys of a run's evaluation."""
VIDEOS = "videos"
"""Key of its table."""


class Mirror(Protocol):
    """Where a run's numbers and videos are shown while it runs."""

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Begin, or go on with, the run of that folder, which trains or evaluates."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers at a training step."""

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str], name: str = EVALUATION) -> None:
        """Show the numbers of an evaluation's folder, and a table of the videos with these names."""

    def report(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Show the tables and figures of a report, in a run of its own, from begin to end."""

    def finish(self, exit_code: int) -> None:
        """End the run with its exit code."""


class NoMirror:
    """Nothing beside the run folder (`logger=csv`)."""

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Do nothing."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Do nothing."""

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str], name: str = EVALUATION) -> None:
        """Do nothing."""

    def report(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, exit_code: int) -> None:
        """Do nothing."""


class WandbMirror:
    """W&B, offline unless the user is logged in or says otherwise, or where the server does not answer.

    Whatever W&B does, the run goes on and its process ends: what W&B fails in is said once, and how to upload later.

    Args:
        project: W&B project; None takes WANDB_PROJECT, or `vmc`.
        mode: online, offline or disabled; None asks WANDB_MODE, then whether the user is logged in.
        name: of the run; None takes arm, motion and seed.
        group: runs shown together; None takes the stack.
        tags: beside the arm, the motion and the stack.
        patience: seconds for the upload of what is left at the end.

    Raises:
        VmcError: an unknown mode, an address that is none, no time; later on, W&B cannot be used.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        mode: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        if not patience > 0:
            raise VmcError(f"logger.patience is {patience}; it must be a number of seconds above 0")
        self.project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self.mode = chosen_mode(mode)
        self.name, self.group, self.tags, self.patience = name, group, list(tags), patience
        self._run: WandbRun | None = None
        self.entity: str | None = None  # of the last run, where W&B's server has said it

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Begin the W&B run; a continued run keeps its identity, which is kept in the folder."""
        arm, motion = config["arm"], config["motion"]["name"]
        name = f"{arm}-{motion}-seed{config['seed']}{'' if job_type == 'train' else f'-{job_type}'}"
        self._begin(
            folder,
            id=_identity(folder),
            resume="allow",
            name=self.name or name,
            group=self.group or config["stack_name"],
            job_type=job_type,
            tags=[arm, motion, config["stack_name"], *self.tags],
            config=dict(config),
        )
        self._do(lambda run: run.define_metric("exemplar_updates", hidden=True))
        self._do(lambda run: run.define_metric("*", step_metric="step"))

    def _begin(self, folder: Path, **settings: Any) -> None:
        folder = folder.resolve()  # W&B's own process may stand in another folder, and so may a later upload
        # Media of tables are staged under the user's data folder unless told otherwise.
        if not USER_CHOSE_DATA_DIR:
            os.environ["WANDB_DATA_DIR"] = str(folder / "wandb")
        os.environ.setdefault("WANDB_SILENT", "true")
        # Reports of W&B's own errors, for which the end of a process would wait where the server hangs.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._run = WandbRun.begin(mode=self.mode, patience=self.patience, project=self.project, dir=folder, **settings)

    def _do(self, act: Callable[[Any], Any]) -> None:
        if self._run is not None:
            self._run(act)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers against the training step."""
        self._do(lambda run: run.log({**values, "step": step}))

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str], name: str = EVALUATION) -> None:
        """Show the numbers as curves, and a table of videos that play, each with its scores."""
        summary = json.loads((folder / "summary.json").read_text())

        def show(run: Any) -> None:
            table = {f"{name}/{VIDEOS}": self._table(folder, shown, summary)} if shown else {}
            run.log({**numbers(summary, name=name), **table, "step": step})

        self._do(show)

    def _table(self, folder: Path, shown: Sequence[str], summary: Mapping[str, Any]) -> Any:
        import wandb

        scores = read_scores(folder / "scores.csv", columns=columns_of(summary))
        rows = {row["video"]: row for row in scores.to_dict("records")}
        columns = [column for column in scores.columns if column != "video"]
        table = wandb.Table(columns=["video", *columns])
        for name in shown:
            video = wandb.Video(str(folder / "videos" / name), caption=str(rows[name]["prompt"]), format="mp4")
            table.add_data(video, *(rows[name][column] for column in columns))
        return table

    def report(self, folder: Path, *, about: Mapping[str, Any]) -> None:
        """Show a report's tables and figures, and keep them as an artifact.

        An offline run lies in `wandb/` beside the folder, which is replaced whole by the next report.
        """
        self._begin(
            folder.parent,
            name=self.name or f"report-{folder.name}",
            group=self.group,
            job_type="report",
            tags=["report", *self.tags],
            config=dict(about),
        )
        assert self._run is not None
        self.entity = self._run.entity
        self._do(lambda run: self._show_report(run, folder, about))
        self.finish(0)

    def _show_report(self, run: Any, folder: Path, about: Mapping[str, Any]) -> None:
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

    def finish(self, exit_code: int) -> None:
        """End the W&B run; without this the next run in the process would be the same one."""
        if self._run is not None:
            self._run.finish(exit_code)
            self._run = None


def numbers(summary: Mapping[str, Any], *, name: str = EVALUATION) -> dict[str, float]:
    """Every number of a `summary.json` by the key that it has in W&B; a metric's interval stands below its key.

    The protocol is left out: its numbers are those of the run's config.
    """
    found: dict[str, float | None] = {"count": summary["videos"], "of": summary.get("of")}
    for metric, part in summary["metrics"].items():
        found |= {metric: part["value"], f"{metric}/low": part["low"], f"{metric}/high": part["high"]}
    for group in ("stop", "gestures"):
        found |= {f"{group}/{key}": value for key, value in summary.get(group, {}).items()}
    # A curve of yes and no is one of 1 and 0.
    values = {key: int(value) if isinstance(value, bool) else value for key, value in found.items()}
    return {f"{name}/{key}": value for key, value in values.items() if value is not None}


def place_of(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`project` and `group` of the W&B runs with these configs, each where all agree in it."""
    found: dict[str, set[Any]] = {
        "project": {(config.get("logger") or {}).get("project") for config in configs},
        "group": {(config.get("logger") or {}).get("group") or config.get("stack_name") for config in configs},
    }
    return {key: values.pop() for key, values in found.items() if len(values) == 1 and None not in values}


def _table_of(file: Path) -> Any:
    """A CSV as a W&B table; None where it has no row."""
    import pandas as pd
    import wandb

    if len(file.read_text(encoding="utf-8").splitlines()) < 2:
        return None
    table = pd.read_csv(file, encoding="utf-8").astype(object)
    rows: Any = table.where(table.notna(), None).to_numpy().tolist()
    return wandb.Table(columns=[str(column) for column in table.columns], data=rows, allow_mixed_types=True)


def _identity(folder: Path) -> str:
    """The run's id in W&B, kept in its folder; W&B's own agents give one to every run that they start."""
    file = folder / "wandb" / "id"
    given = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    if given or not file.is_file():
        with atomic_write(file) as temporary:
            temporary.write_text(given or secrets.token_hex(4))
    return file.read_text().strip()


def chosen_mode(mode: str | None) -> str:
    """How W&B is used: as given, as its own variable says, or by whether the user is logged in.

    Raises:
        VmcError: that is no mode, or W&B's address is none.
    """
    given = os.environ.get("WANDB_MODE")
    key, chosen = ("logger.mode", mode) if mode else ("WANDB_MODE", given and OLD_MODES.get(given, given))
    if chosen and chosen not in MODES:
        raise VmcError(f"{key} is '{chosen}'; it must be {', '.join(MODES)}{' or null' if mode else ''}")
    url = os.environ.get("WANDB_BASE_URL") or SERVER
    try:
        parts = urlparse(url)
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        right = False
    if not right:
        raise VmcError(f"WANDB_BASE_URL is '{url}'; it must be the address of a server, such as {SERVER}")
    return chosen or ("online" if logged_in() else "offline")


def logged_in() -> bool:
    """Whether `wandb login` has been done here, by the two places where it leaves the key; asks no server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL") or SERVER).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
