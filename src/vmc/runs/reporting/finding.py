"""Finding runs: every run folder below a folder, and the evaluations of untuned models beside them."""

import os
from collections.abc import Iterator
from pathlib import Path

from vmc.errors import VmcError
from vmc.plain_yaml import read_yaml
from vmc.runs.folder import shown_state
from vmc.runs.reporting.catalogue import CEILING, FLOOR, LANGUAGE, METHOD
from vmc.runs.reporting.found import Control, Found, FoundRun, Scored, read_object

CONTROL_FOLDERS = {"000000": FLOOR, "000000-language": LANGUAGE, "real": CEILING}
"""Where `vmc.evaluate` leaves what is no evaluation of a tuned model."""


def find_runs(root: Path) -> Found:
    """All runs below a folder, and the evaluations of untouched base models (`base/MOTION/`).

    Raises:
        VmcError: no such folder, no run in it, or a file of a run that does not read.
    """
    if not root.is_dir():
        raise VmcError(f"runs is {root}, which is no folder; give one that holds run folders of vmc.train")
    runs, controls = list[FoundRun](), list[Control]()
    for folder in _folders(root):
        if _is_run(folder):
            runs.append(_read_run(folder))
        elif folder.name in CONTROL_FOLDERS and (scored := _scored(folder)):
            kind = CONTROL_FOLDERS[folder.name]
            controls.append(Control(kind=kind, motion=folder.parent.name, seed=0, scored=scored))
    if not runs:
        raise VmcError(
            f"runs is {root}, in which there is no run (no folder with config.yaml and run.json);"
            " give a folder that holds run folders of vmc.train"
        )
    # First what was made for it, of the whole test set; then what the method's runs have.
    own = [
        Control(kind=kind, motion=run.motion, seed=run.seed, scored=scored)
        for run in sorted(runs, key=lambda run: (run.trains, run.arm != METHOD))
        for kind, scored in run.controls.items()
    ]
    return Found(runs, _once(own, controls))


def _once(own: list[Control], others: list[Control]) -> list[Control]:
    """One of each kind, motion and seed; those of base folders only for motions of which no run has any."""
    kept: dict[tuple[str, str, int], Control] = {}
    covered = {(control.kind, control.motion) for control in own}
    for control in [*own, *(other for other in others if (other.kind, other.motion) not in covered)]:
        kept.setdefault((control.kind, control.motion, control.seed), control)
    return list(kept.values())


def _folders(root: Path) -> Iterator[Path]:
    """Folders below a root in order, not going into runs, videos or hidden folders."""
    for name, below, _ in os.walk(root):
        folder = Path(name)
        yield folder
        inside = _is_run(folder)
        below[:] = [] if inside else sorted(part for part in below if part != "videos" and not part.startswith("."))


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "run.json").is_file()


def _read_run(folder: Path) -> FoundRun:
    file = folder / "config.yaml"
    config = read_yaml(file, remedy="remove that run folder")
    for key in ("arm", "motion", "model", "seed", "steps"):
        if not isinstance(config, dict) or key not in config:
            raise VmcError(f"{file} has no {key}; it is no config of vmc.train, move its folder out of runs")
    state = read_object(folder / "run.json", remedy="remove that run folder, or run its command again")
    if state.get("status") == "running":
        state = shown_state(folder)
    evaluations = folder / "evaluation"
    steps = sorted(part for part in evaluations.glob("[0-9]*") if part.name.isdigit())
    scored = {int(part.name): found for part in steps if (found := _scored(part))}
    controls = {kind: found for name, kind in CONTROL_FOLDERS.items() if (found := _scored(evaluations / name))}
    return FoundRun(folder, config, state, scored, controls)


def _scored(folder: Path) -> Scored | None:
    complete = (folder / "scores.csv").is_file() and (folder / "summary.json").is_file()
    return Scored(folder) if complete else None
