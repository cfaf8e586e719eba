"""Reading what an earlier process or version has left in a run folder, even where some of it is damaged."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmc.utils.errors import VmcError
from vmc.utils.files import read_json
from vmc.utils.plain_yaml import read_yaml

# First columns of every `train.csv`; columns of the objective and the schedule follow.
TRAIN_COLUMNS = ("step", "exemplar_updates", "loss", "loss_motion", "loss_regularization", "seconds")
# Classes by their names in configs of earlier versions.
RENAMED = {
    "vmc.data.folder.StillFolder": "vmc.data.subject_images.StillFolder",
    "vmc.data.folder.Stills": "vmc.data.subject_images.Stills",
    "vmc.diffusion.components.BaseModel": "vmc.models.zeroscope.UNet3D",
    "vmc.models.unet3d.UNet3D": "vmc.models.zeroscope.UNet3D",
    "vmc.metrics.generalization.People": "vmc.metrics.people.People",
    "vmc.metrics.generalization.GestureSequence": "vmc.metrics.sequence.GestureSequence",
    "vmc.metrics.generalization.Tempo": "vmc.metrics.tempo.Tempo",
    "vmc.diffusion.lora.LoraSubset": "vmc.models.lora.LoraSubset",
    "vmc.diffusion.parameters.ParameterSubset": "vmc.models.parameters.ParameterSubset",
    "vmc.diffusion.token.MotionToken": "vmc.models.token.MotionToken",
    "vmc.cli.CheckLauncher": "vmc.config.command.CheckLauncher",
    "vmc.metrics.classifiers.TRNClassifier": "vmc.metrics.networks.classifiers.TRNClassifier",
    "vmc.metrics.motion_fidelity.MotionFidelity": "vmc.metrics.motion.MotionFidelity",
    "vmc.metrics.preference.Preference": "vmc.metrics.appearance.Preference",
    "vmc.metrics.networks.CopyNetwork": "vmc.metrics.networks.sscd.CopyNetwork",
    "vmc.metrics.networks.files.CopyNetwork": "vmc.metrics.networks.sscd.CopyNetwork",
    "vmc.metrics.networks.ImageTextNetwork": "vmc.metrics.networks.files.ImageTextNetwork",
    "vmc.mini.blank.blank_folder": "vmc.mini.makers.blank.blank_folder",
    "vmc.mini.jester_folder.default_folder": "vmc.mini.world.jester_folder.default_folder",
    "vmc.mini.known.known_prompts": "vmc.mini.world.known.known_prompts",
    "vmc.mini.test_set.test_set_file": "vmc.mini.world.test_set.test_set_file",
    "vmc.runs.reporting.drawing.figure3": "vmc.reporting.figures.strips.figure3",
    "vmc.runs.reporting.drawing.figure7": "vmc.reporting.figures.curves.figure7",
    "vmc.runs.reporting.drawing.figure8": "vmc.reporting.figures.copies.figure8",
    "vmc.runs.reporting.drawing.timesteps": "vmc.reporting.figures.curves.timesteps",
    "vmc.training.synthetic.SyntheticRegularization": "vmc.training.synthetic_regularization.SyntheticRegularization",
    "vmc.evaluation.synthetic.SyntheticRegularization": "vmc.training.synthetic_regularization.SyntheticRegularization",
    "vmc.metrics.classifiers.TSMClassifier": "vmc.metrics.networks.classifiers.TSMClassifier",
    "vmc.metrics.hf_classifier.HuggingFaceClassifier": "vmc.metrics.networks.classifiers.HuggingFaceClassifier",
    "vmc.training.optimizers.AdamW8bit": "bitsandbytes.optim.AdamW8bit",
}
# Keys that configs of earlier versions lack, with the values that apply to them; then keys within others.
ADDED: Mapping[str, Any] = {
    "objective": {"_target_": "vmc.diffusion.objective.Denoising"},
    "lr_schedule": {"_target_": "vmc.training.optimizers.Constant"},
    "init": None,
    "subject": {"_target_": "vmc.training.subject.NoSubject"},
}
ADDED_WITHIN: Mapping[str, Mapping[str, Any]] = {"prompts": {"each": None}, "stop": {"early": True}}


def up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a config of an earlier version to this version."""
    known = {**ADDED, **_renamed(config)}
    within = {
        key: {**added, **known[key]} for key, added in ADDED_WITHIN.items() if isinstance(known.get(key), Mapping)
    }
    return {**known, **within}


def _renamed(node: Any) -> Any:
    if isinstance(node, Mapping):
        if node.get("_target_") == "vmc.training.optimizers.AdamW8bit":  # it made the optimizer by itself
            node = {**node, "_partial_": True}
        return {key: _renamed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value) for value in node]
    return RENAMED.get(node, node) if isinstance(node, str) else node


def read_losses(file: Path, step: int) -> dict[int, dict[str, str]]:
    """Read the complete rows of `train.csv` up to a step, by step; damaged rows are left out."""
    try:
        lines = file.read_bytes().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    columns = tuple(lines[0].split(",")) if lines else ()
    if columns[: len(TRAIN_COLUMNS)] != TRAIN_COLUMNS or len(set(columns)) < len(columns):  # the head is damaged
        columns = TRAIN_COLUMNS
    rows = {}
    for line in lines:
        try:
            (fields,) = csv.reader([line])
            row = dict(zip(columns, fields, strict=True))
            number, *_ = int(row["step"]), int(row["exemplar_updates"]), float(row["seconds"])
            _ = [float(cell or 0) for cell in fields]
        except (ValueError, csv.Error):  # the head, or a truncated or damaged row
            continue
        if 1 <= number <= step:
            rows[number] = row
    return dict(sorted(rows.items()))


def stored_state(folder: Path) -> dict[str, Any] | None:
    """The content of `run.json`: empty where there is none, None where it is damaged."""
    file = folder / "run.json"
    if (state := read_json(file)) is None and not file.exists():
        return {}
    kinds: dict[str, Any] = {"status": str, "step": int, "seconds": (int, float)}
    if state is None or "status" not in state:
        return None
    return state if all(isinstance(state[key], kind) for key, kind in kinds.items() if key in state) else None


def read_state(folder: Path) -> dict[str, Any]:
    """The content of `run.json`: empty where there is none, rebuilt from checkpoints and losses where it is damaged."""
    state = stored_state(folder)
    if state is not None:
        return state
    found = checkpoints(folder)
    step = int(found[-1].stem) if found else 0
    seconds = [float(row["seconds"]) for row in read_losses(folder / "train.csv", step).values()]
    return {"status": "running", "reason": None, "step": step, "seconds": max(seconds, default=0.0)}


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run folder, the newest last."""
    return sorted(file for file in (folder / "checkpoints").glob("*.ckpt") if file.stem.isdigit())


def read_config(path: Path) -> dict[str, Any]:
    """Read the config of a run, converted to this version."""
    file, remedy = path / "config.yaml", "give the output folder of vmc.train"
    if not file.is_file():
        raise VmcError(f"run is {path}, which holds no config.yaml; {remedy}")
    if not isinstance(config := read_yaml(file, remedy=remedy), dict):
        raise VmcError(f"{file} is no config of vmc.train; {remedy}")
    return up_to_date(config)
