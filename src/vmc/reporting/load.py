"""Finding runs: every run folder below a folder, the untuned models beside them, and which of them stand where.

A run that stops at the threshold is made for the tables, one that nothing stops for Fig. 7 (`sweeps/tradeoff.yaml`). A
folder may hold both kinds; in the tables, the second serves where the first is missing.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vmc.reporting.catalogue import CEILING, FLOOR, LANGUAGE, METHOD
from vmc.reporting.loaded import DAMAGED, Control, Found, FoundRun, Scored, one_line, read_object
from vmc.runs.earlier import up_to_date
from vmc.runs.folder import shown_state
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import read_yaml

KINDS: dict[str, Any] = {"arm": str | int, "motion": dict, "model": dict, "seed": int, "steps": int | None}
"""Of a config's values that every report needs."""
CONTROL_FOLDERS = {"000000": FLOOR, "000000-language": LANGUAGE, "real": CEILING}
"""Where `vmc.evaluate` leaves what is no evaluation of a tuned model."""


def find_runs(root: Path) -> Found:
    """All runs below a folder, and the evaluations of untouched base models (`base/MOTION/`).

    A run of which a file does not read is damaged: it is listed so, and has no evaluations. The others are read.

    Raises:
        VmcError: no such folder, no run in it, or none that reads.
    """
    if not root.is_dir():
        raise VmcError(f"runs is {root}, which is no folder; give one that holds run folders of vmc.train")
    runs, controls, lost = list[FoundRun](), list[Control](), list[tuple[Path, str]]()
    for folder in _folders(root, lost):
        try:
            if _is_run(folder):
                runs.append(_read_run(folder))
            elif folder.name in CONTROL_FOLDERS and (scored := _scored(folder, root=folder)):
                kind = CONTROL_FOLDERS[folder.name]
                controls.append(Control(kind=kind, motion=folder.parent.name, seed=0, scored=scored))
        except (VmcError, OSError) as error:
            lost.append((folder, one_line(error)))
    # First what was made for it, of the whole test set; then what the method's runs have.
    own = [
        Control(kind=kind, motion=run.motion, seed=run.seed, scored=scored)
        for run in sorted(runs, key=lambda run: (run.trains, run.arm != METHOD))
        for kind, scored in run.controls.items()
    ]
    found = Found(runs, _once(own, controls, lost), lost)
    if runs and not all(run.damaged for run in runs):
        return found
    if found.damaged:
        raise VmcError(f"runs is {root}, in which no run reads; the first: {found.damaged[0][1]}")
    raise VmcError(
        f"runs is {root}, in which there is no run (no folder with config.yaml and run.json);"
        " give a folder that holds run folders of vmc.train"
    )


def _once(own: list[Control], others: list[Control], lost: list[tuple[Path, str]]) -> list[Control]:
    """One of each kind, motion and seed that reads; those of base folders only for motions of which no run has any."""
    kept: dict[tuple[str, str, int], Control] = {}
    covered = {(control.kind, control.motion) for control in own}
    for control in [*own, *(other for other in others if (other.kind, other.motion) not in covered)]:
        place = (control.kind, control.motion, control.seed)
        try:
            if place not in kept and control.scored.summary and len(control.scored.values):
                kept[place] = control
        except VmcError as error:
            lost.append((control.scored.folder, one_line(error)))
    return list(kept.values())


def _folders(root: Path, lost: list[tuple[Path, str]]) -> Iterator[Path]:
    """Folders below a root in order, not going into runs, videos or hidden folders; `lost` gets those that are shut."""

    def shut(error: OSError) -> None:
        lost.append((Path(error.filename), one_line(error)))

    for name, below, _ in os.walk(root, onerror=shut):
        folder = Path(name)
        yield folder
        try:
            inside = _is_run(folder)
        except OSError:
            inside = True
        below[:] = [] if inside else sorted(part for part in below if part != "videos" and not part.startswith("."))


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "run.json").is_file()


def _read_run(folder: Path) -> FoundRun:
    """A run whose files have been read, as far as they will be needed; of a damaged one its config alone.

    Raises:
        VmcError: not even its config reads.
    """
    config = _read_config(folder / "config.yaml")
    try:
        return _checked(folder, config)
    except (VmcError, OSError) as error:
        return FoundRun(folder, config, {"status": DAMAGED, "reason": one_line(error)}, {}, {})


def _checked(folder: Path, config: dict[str, Any]) -> FoundRun:
    remedy = "remove that run folder, or run its command again"
    state = read_object(folder / "run.json", remedy=remedy)
    for key, kinds in (("status", str), ("step", int)):
        if not isinstance(state.get(key), kinds | None):
            raise VmcError(f"{folder / 'run.json'} has {state[key]!r} as {key}; {remedy}")
    if state.get("status") == "running":
        state = shown_state(folder)
    evaluations = folder / "evaluation"
    steps = sorted(part for part in evaluations.glob("[0-9]*") if part.name.isdecimal())
    scored = {int(part.name): found for part in steps if (found := _scored(part, root=folder))}
    named = {kind: _scored(evaluations / name, root=folder) for name, kind in CONTROL_FOLDERS.items()}
    controls = {kind: one for kind, one in named.items() if one}
    run = FoundRun(folder, config, state, scored, controls)
    for one in (*scored.values(), *controls.values()):
        one.summary  # noqa: B018 - read here, where it is known which run is damaged
    run.step, run.clips("exemplar")
    return run


def _read_config(file: Path) -> dict[str, Any]:
    config = read_yaml(file, remedy="remove that run folder")
    for key, kinds in KINDS.items():
        if not isinstance(config, dict) or key not in config:
            raise VmcError(f"{file} has no {key}; it is no config of vmc.train, move its folder out of runs")
        if not isinstance(config[key], kinds):
            raise VmcError(f"{file} has {one_line(config[key])[:60]} as {key}; move its folder out of runs")
    for key in ("stop", "data", "prompts", "metrics", "timesteps"):
        if not isinstance(config.get(key), dict | None):
            raise VmcError(f"{file} has {one_line(config[key])[:60]} as {key}; move its folder out of runs")
    threshold = (config.get("stop") or {}).get("appearance")
    if not isinstance(config["motion"].get("name"), str) or not isinstance(threshold, int | float | None):
        raise VmcError(f"{file} has no motion.name, or no number as stop.appearance; move its folder out of runs")
    return up_to_date(config)


def _scored(folder: Path, *, root: Path) -> Scored | None:
    complete = (folder / "scores.csv").is_file() and (folder / "summary.json").is_file()
    return Scored(folder, root) if complete else None


def check_once(runs: Sequence[FoundRun]) -> None:
    """Refuse two runs of one kind; damaged ones are only listed.

    Raises:
        VmcError: two runs of one arm, motion and seed that both stop, or both do not.
    """
    seen: dict[tuple[object, ...], FoundRun] = {}
    for run in (run for run in runs if not run.damaged):
        other = seen.setdefault((run.arm, *run.place, run.threshold is None), run)
        if other is not run:
            raise VmcError(
                f"{other.path} and {run.path} are both arm {run.arm} of {run.label}; give a folder that holds one of"
                " them"
            )


def for_tables(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """Of each arm, motion and seed the run that stops, or the one there is."""
    stopping = {(run.arm, *run.place) for run in runs if run.threshold is not None}
    trained = [run for run in runs if run.trains]
    return [run for run in trained if run.threshold is not None or (run.arm, *run.place) not in stopping]


def for_curves(runs: Sequence[FoundRun]) -> dict[str, list[FoundRun]]:
    """Runs that are drawn together: those that nothing stops (`tradeoff`) apart from those that stop (`stopping`)."""
    evaluated = [run for run in runs if run.trains and run.evaluations]
    unstopped = [run for run in evaluated if run.threshold is None]
    stopping = [run for run in evaluated if run.threshold is not None]
    if unstopped and stopping:
        return {"tradeoff": unstopped, "stopping": stopping}
    return {"tradeoff": evaluated} if evaluated else {}
