"""W&B, and the launchers of sweeps; a run needs none of them."""

import os

from vmc.config.launchers import PACKAGES, check_launcher
from vmc.tools.doctor.rows import Row
from vmc.utils.errors import VmcError


def services() -> list[Row]:
    """W&B's state, and whether each launcher could work."""
    return [_wandb(), *(_launcher(name) for name in PACKAGES)]


def _wandb() -> Row:
    from vmc.runs.mirror import logged_in

    if mode := os.environ.get("WANDB_MODE"):
        return Row(part="W&B", state="ok", found=f"WANDB_MODE is {mode}")
    if logged_in():
        return Row(part="W&B", state="ok", found="logged in: runs are uploaded")
    return Row(
        part="W&B",
        state="note",
        found="not logged in: runs stay offline, in the run folder",
        remedy="wandb login uploads them, logger=csv goes without",
    )


def _launcher(name: str) -> Row:
    part = f"launcher {name}"
    try:
        check_launcher(name)
    except VmcError as error:
        found, _, remedy = str(error).partition("; ")
        if "pip install" not in remedy:
            remedy = "start such sweeps where the cluster's jobs are submitted; all else works without"
        return Row(part=part, state="note", found=found, remedy=remedy)
    return Row(part=part, state="ok", found=f"hydra/launcher={name} can be used")
