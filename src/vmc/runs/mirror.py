"""The run folder's mirror in W&B. Nothing is ever read back from it."""

import json
import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

from vmc.files import written_whole
from vmc.metrics.base import COLUMNS
from vmc.metrics.scores import read_scores

USER_CHOSE_DATA_DIR = "WANDB_DATA_DIR" in os.environ


class Mirror(Protocol):
    """Where a run's numbers and videos are shown while it runs."""

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Begin, or go on with, the run of that folder, which trains or evaluates."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers at a training step."""

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str]) -> None:
        """Show the metrics of an evaluation's folder, and a table of the videos with these names."""

    def finish(self, exit_code: int) -> None:
        """End the run with its exit code."""


class NoMirror:
    """Nothing beside the run folder (`logger=csv`)."""

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Do nothing."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Do nothing."""

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str]) -> None:
        """Do nothing."""

    def finish(self, exit_code: int) -> None:
        """Do nothing."""


class WandbMirror:
    """W&B, offline unless the user is logged in or says otherwise.

    Args:
        project: W&B project.
        mode: online, offline or disabled; None asks WANDB_MODE, then whether the user is logged in.
        name: of the run; None takes arm, motion and seed.
        group: runs shown together; None takes the stack.
        tags: beside the arm, the motion and the stack.
    """

    def __init__(
        self,
        *,
        project: str = "vmc",
        mode: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self.project, self.mode, self.name, self.group, self.tags = project, mode, name, group, list(tags)
        self._run: Any = None

    def start(self, *, folder: Path, config: Mapping[str, Any], job_type: str = "train") -> None:
        """Begin the W&B run; a continued run keeps its identity, which is kept in the folder."""
        # Media of tables are staged under the user's data folder unless told otherwise.
        if not USER_CHOSE_DATA_DIR:
            os.environ["WANDB_DATA_DIR"] = str(folder / "wandb")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        arm, motion = config["arm"], config["motion"]["name"]
        name = f"{arm}-{motion}-seed{config['seed']}{'' if job_type == 'train' else f'-{job_type}'}"
        self._run = wandb.init(
            project=self.project,
            mode=self.mode or os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline"),  # type: ignore[arg-type]
            dir=folder,
            id=_identity(folder),
            resume="allow",
            name=self.name or name,
            group=self.group or config["stack_name"],
            job_type=job_type,
            tags=[arm, motion, config["stack_name"], *self.tags],
            config=dict(config),
        )
        self._run.define_metric("exemplar_updates", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Show numbers against the training step."""
        self._run.log({**values, "step": step})

    def evaluation(self, folder: Path, *, step: int, shown: Sequence[str]) -> None:
        """Show the metrics as curves, and a table of videos that play, each with its scores."""
        metrics = json.loads((folder / "summary.json").read_text())["metrics"]
        curves = {
            f"evaluation/{name}{end}": part[key]
            for name, part in metrics.items()
            for key, end in (("value", ""), ("low", "/low"), ("high", "/high"))
            if part[key] is not None
        }
        self._run.log({**curves, **(self._table(folder, shown) if shown else {}), "step": step})

    def _table(self, folder: Path, shown: Sequence[str]) -> dict[str, Any]:
        import wandb

        rows = {row["video"]: row for row in read_scores(folder / "scores.csv").to_dict("records")}
        columns = [column for column in COLUMNS if column != "video"]
        table = wandb.Table(columns=["video", *columns])
        for name in shown:
            video = wandb.Video(str(folder / "videos" / name), caption=str(rows[name]["prompt"]), format="mp4")
            table.add_data(video, *(rows[name][column] for column in columns))
        return {"evaluation/videos": table}

    def finish(self, exit_code: int) -> None:
        """End the W&B run; without this the next run in the process would be the same one."""
        if self._run is not None:
            self._run.finish(exit_code=exit_code)
            self._run = None


def _identity(folder: Path) -> str:
    """The run's id in W&B, kept in its folder; W&B's own agents give one to every run that they start."""
    file = folder / "wandb" / "id"
    given = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    if given or not file.is_file():
        with written_whole(file) as temporary:
            temporary.write_text(given or secrets.token_hex(4))
    return file.read_text().strip()


def logged_in() -> bool:
    """Whether `wandb login` has been done here, by the two places where it leaves the key; asks no server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
