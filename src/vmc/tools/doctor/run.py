"""The run that is asked about: a stack with overrides of `vmc.train`, composed as that does and not begun."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vmc.config.build import build_part, build_parts, build_regularization
from vmc.config.checks import check_config, check_parts, fill_missing, resolved
from vmc.config.command import compose
from vmc.models.base import VideoModel
from vmc.tools.doctor.memory import STATE_BYTES, HeldMemory, count_held
from vmc.tools.doctor.software import Row
from vmc.tools.downloads.download import cached_folder
from vmc.tools.downloads.sources import SOURCES, HubSource
from vmc.tools.full_size.folder import ZEROSCOPE
from vmc.utils.errors import VmcError

PUBLISHED = {source.repository: name for name, source in SOURCES.items() if isinstance(source, HubSource)}
"""Pipelines of the hub: repository -> name."""
PARTS = ("model", "parameters", "objective", "timesteps", "lr_schedule", "token", "sampler", "metrics")
"""Groups that refuse wrong values when they are made."""


@dataclass(frozen=True)
class PlannedRun:
    """A run by its config as plain dicts, the keys that are not given yet, and what `PARTS` describe, not loaded."""

    config: Mapping[str, Any]
    missing: Sequence[str]
    parts: Mapping[str, Any]

    @property
    def evaluates(self) -> bool:
        """Whether it is scored."""
        return bool(self.config["evaluate_every"])

    @property
    def model(self) -> str:
        """The base model: a folder, or the name of a hub repository."""
        return str(self.parts["model"].path)

    @cached_property
    def base(self) -> VideoModel | None:
        """The base model by its config files, or as published; None where no files are here that could be read."""
        model, folder = self.parts["model"], Path(self.model).expanduser()
        found = folder if folder.is_dir() else cached_folder(self.model, model.family)
        if found is None:
            return ZEROSCOPE if self.model in PUBLISHED and model.family == ZEROSCOPE.family else None
        try:
            return replace(model, path=replace(model, path=found).folder)
        except VmcError:  # a finding of its own
            return None

    @property
    def state_bytes(self) -> int:
        """Of a trained parameter's optimizer state; 0 for an optimizer that is not known."""
        return STATE_BYTES.get(self.config["optimizer"]["_target_"].rpartition(".")[2], 0)

    @cached_property
    def held(self) -> HeldMemory | None:
        """What it holds on a GPU; None where the sizes are not known."""
        if self.base is None:
            return None
        subset, trainer = self.parts["parameters"], self.config["trainer"]
        beside = ["text"] if subset and self.parts["token"].trains else []
        if self.evaluates and not trainer["offload"]:
            beside.append("autoencoder")
        state_bytes, precision = self.state_bytes, trainer["precision"]
        return count_held(self.base, subset, precision=precision, state_bytes=state_bytes, beside=beside)


def plan(stack: str, overrides: Sequence[str] = ()) -> PlannedRun:
    """The run of a stack with overrides. A path that is not given is a finding of the table, and no error.

    Raises:
        VmcError: they do not compose.
    """
    config = compose("train", [f"stack={stack}", *overrides])
    missing = fill_missing(config)
    check_config(config, "train")
    check_parts(config)
    parts = build_parts(config, PARTS)
    if parts["parameters"] is not None:
        parts["parameters"].check(parts["model"].groups)
    return PlannedRun(resolved(config), missing, parts)


def clips(run: PlannedRun) -> list[Row]:
    """A row for the run's clips, found and counted, none of them opened; none where they are rendered when needed."""
    data, motion, seed = run.config["data"], build_part(run.config, "motion"), run.config["seed"]
    path, jester = data["path"], data["source"]["_target_"].endswith(".Jester")
    part = "Jester" if jester else "clips"
    if "data.path" in run.missing:
        remedy = "python -m vmc.prepare jester PATH verifies a copy" if jester else "give data.path=DIR"
        return [Row(part, "note", "its folder is given by data.path", remedy)]
    if isinstance(path, Mapping):
        return []
    try:
        source, related = build_part(run.config, "data.source"), "no"
        exemplars = len(source.exemplars(label=motion.label, caption=motion.caption, seed=seed))
        if not run.config["regularization"]["_target_"].endswith(".SyntheticRegularization"):  # which are not made yet
            regularization = build_regularization(run.config, source=source, seed=seed, base_videos=None)
            related = str(len(regularization.clips()))
    except VmcError as error:
        return [Row(part, "fails", str(error), "set data.path to a folder of such clips")]
    found = f"{exemplars} exemplars and {related} regularization clips in {path}, none opened"
    return [Row(part, "ok", found, f"python -m vmc.prepare jester {path} looks for every frame" if jester else "")]
