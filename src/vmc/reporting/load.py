"""Finding runs: every run folder below a folder, and the evaluations of untuned models beside them."""

import csv
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from vmc.data.clips import clip_name
from vmc.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vmc.evaluation.files import DIGEST, SCORES, SUMMARY, sha256_of
from vmc.reporting.catalog import CEILING, FLOOR, LANGUAGE, METHOD
from vmc.reporting.checks import other_protocol, set_aside
from vmc.reporting.further import find_further
from vmc.reporting.loaded import DAMAGED, Control, Found, FoundRun, Scored, one_line
from vmc.runs.compatibility import up_to_date
from vmc.runs.folder import shown_state
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.plain_yaml import read_yaml

log = logging.getLogger(__name__)

KINDS: dict[str, Any] = {"arm": str | int, "motion": dict, "model": dict, "seed": int, "steps": int | None}
"""Of a config's values that every report needs."""
PARTS = ("stop", "data", "prompts", "metrics", "timesteps")
"""Of a config, that may be missing."""
CONTROL_FOLDERS = {"000000": FLOOR, "000000-language": LANGUAGE, "real": CEILING}
"""Where `vmc.evaluate` leaves what is no evaluation of a tuned model."""
REMEDY = "remove that run folder, or run its command again"
SCORE_AGAIN = "remove it and score the videos again"


def find_runs(root: Path) -> Found:
    """All runs below a folder, and the evaluations of untouched base models (`base/MOTION/`).

    A run of which a file does not read is damaged: it is listed so, and has no evaluations. The others are read.

    Raises:
        VmcError: no such folder, no run in it, or none that reads.
    """
    if not root.is_dir():
        raise VmcError(f"runs is {root}, which is no folder; give one that holds run folders of vmc.train")
    runs, bases, lost = list[FoundRun](), list[Control](), list[tuple[Path, str]]()
    for folder in _folders(root, lost):
        try:
            if _is_run(folder):
                runs.append(_read_run(folder))
            elif folder.name in CONTROL_FOLDERS and (scored := _read_evaluation(folder, root=folder)):
                kind = CONTROL_FOLDERS[folder.name]
                bases.append(Control(kind=kind, motion=folder.parent.name, seed=0, scored=scored))
        except (VmcError, OSError) as error:
            lost.append((folder, one_line(error)))
    others_tests = set_aside(runs)
    aside = [run for run in others_tests if run.counts]
    for run in aside:
        log.warning(
            "%s: the motion %s brings a test set or classes of its own, so it stands in the gallery and in no table;"
            " runs=%s makes tables of it alone",
            *(run.path, run.motion, run.path),
        )
    apart = {run.motion for run in others_tests}
    every, runs = runs, [run for run in runs if run not in aside]
    # First what was made for it, of the whole test set; then what the method's runs have.
    own = [
        Control(kind=kind, motion=run.motion, seed=run.seed, scored=scored)
        for run in sorted(runs, key=lambda run: (run.trains, run.arm != METHOD))
        for kind, scored in run.controls.items()
    ]
    covered = {(control.kind, control.motion) for control in own}
    left = [one for one in bases if (one.kind, one.motion) not in covered and one.motion not in apart]
    others = [one for one in left if not _has_own_classes(one, runs)]
    newest = {run.evaluations[max(run.evaluations)].folder for run in aside if run.evaluations}
    further = find_further(root, every, shown=newest, known=list(CONTROL_FOLDERS), read=_read_evaluation)
    found = Found(runs, _one_of_each([*own, *others], lost), lost, further)
    if runs and not all(run.damaged for run in runs):
        return found
    if found.damaged:
        raise VmcError(f"runs is {root}, in which no run reads; the first: {found.damaged[0][1]}")
    raise VmcError(
        f"runs is {root}, in which there is no run (no folder with config.yaml and run.json);"
        " give a folder that holds run folders of vmc.train"
    )


def _has_own_classes(control: Control, runs: list[FoundRun]) -> bool:
    """Whether a control is of a motion without a run here, and of classes or metrics that are not the runs'."""
    alone = control.motion not in {run.motion for run in runs} and bool(other_protocol(runs, control))
    if alone:
        log.warning(
            "%s: the motion %s brings classes of its own and has no run here, so it stands in no table",
            *(control.scored.folder, control.motion),
        )
    return alone


def _one_of_each(controls: Iterable[Control], lost: list[tuple[Path, str]]) -> list[Control]:
    """The first control of each kind, motion and seed that reads."""
    kept: dict[tuple[str, str, int], Control] = {}
    for control in controls:
        place = (control.kind, control.motion, control.seed)
        try:
            if place not in kept and len(control.scored.values):
                kept[place] = control
        except VmcError as error:
            lost.append((control.scored.folder, one_line(error)))
    return list(kept.values())


def _folders(root: Path, lost: list[tuple[Path, str]]) -> Iterator[Path]:
    """Folders below a root in order, not going into runs, videos or hidden folders; `lost` gets those that are shut."""
    for name, below, _ in os.walk(root, onerror=lambda error: lost.append((Path(error.filename), one_line(error)))):
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
    """A run with all that will be needed but its scores; of a damaged one its config alone."""
    config = _read_config(folder / "config.yaml")
    try:
        state = _read_object(folder / "run.json", remedy=REMEDY)
        _check_kinds(state, {"status": str | None, "step": int | None}, folder / "run.json", REMEDY)
        if state.get("status") == "running":
            state = shown_state(folder)
        evaluations = folder / "evaluation"
        steps = sorted(part for part in evaluations.glob("[0-9]*") if part.name.isdecimal())
        scored = {int(part.name): found for part in steps if (found := _read_evaluation(part, root=folder))}
        named = {kind: _read_evaluation(evaluations / name, root=folder) for name, kind in CONTROL_FOLDERS.items()}
        controls = {kind: one for kind, one in named.items() if one}
        others = [_read_evaluation(part, root=folder) for part in sorted(evaluations.glob("[0-9]*-*"))]
        suites = [found for found in others if found and found.summary.get("suites")]
        asked = {int(part.name.partition("-")[0]): _read_known(part) for part in evaluations.glob("[0-9]*-known")}
        known = {step: found for step, found in asked.items() if found}
        updates = _read_updates(folder / "train.csv")
        exemplars, stills = (_read_clips(folder / "clips.csv", role) for role in ("exemplar", "subject"))
        return FoundRun(folder, config, state, scored, controls, updates, exemplars, stills, suites, known)
    except (VmcError, OSError) as error:
        return FoundRun(folder, config, {"status": DAMAGED, "reason": one_line(error)})


def _read_config(file: Path) -> dict[str, Any]:
    config = read_yaml(file, remedy="remove that run folder")
    for key in KINDS:
        if not isinstance(config, dict) or key not in config:
            raise VmcError(f"{file} has no {key}; it is no config of vmc.train, move its folder out of runs")
    _check_kinds(config, KINDS | dict.fromkeys(PARTS, dict | None), file, "move its folder out of runs")
    threshold = (config.get("stop") or {}).get("appearance")
    if not isinstance(config["motion"].get("name"), str) or not isinstance(threshold, int | float | None):
        raise VmcError(f"{file} has no motion.name, or no number as stop.appearance; move its folder out of runs")
    return up_to_date(config)


def _read_evaluation(folder: Path, *, root: Path) -> Scored | None:
    """An evaluation with its summary; None where it is not complete.

    Raises:
        VmcError: the summary does not read, holds something else, or is not of the table beside it.
    """
    scores, file = folder / SCORES, folder / SUMMARY
    if not scores.is_file() or not file.is_file():
        return None
    summary = _read_object(file, remedy="score the videos again")
    _check_kinds(summary, {"metrics": dict, "videos": int, "protocol": dict}, file, SCORE_AGAIN)
    copying = summary["protocol"].get("copying") or {}
    numbers = [("of", summary.get("of")), ("copying", _get(copying, "threshold"))]
    numbers += [(key, _get(part, end)) for key, part in summary["metrics"].items() for end in ("value", "low", "high")]
    for key, number in numbers:
        right = isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < math.inf
        if not right and number is not None:
            raise VmcError(f"{file} has {number!r} under {key}; {SCORE_AGAIN}")
    if DIGEST in summary and summary[DIGEST] != sha256_of(scores):
        raise VmcError(
            f"{file} is not of the {SCORES} beside it; run the command of its run again, or `python -m vmc.evaluate`"
            " on it"
        )
    try:
        return Scored(folder, root, summary)
    except VmcError as error:  # a column that is declared as none can be
        raise VmcError(f"{file}: {error}; {SCORE_AGAIN}") from error


def _read_known(folder: Path) -> dict[str, Scored]:
    """An evaluation of known gestures by their classes; nothing where it is not complete."""
    if not (folder / SUMMARY).is_file():
        return {}
    found = [_read_evaluation(part, root=folder) for part in sorted(folder.iterdir()) if part.is_dir()]
    return {str(_get(one.summary["protocol"].get("motion"), "target")): one for one in found if one}


def _check_kinds(content: Mapping[str, Any], kinds: Mapping[str, Any], file: Path, remedy: str) -> None:
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            has = f"{one_line(repr(content[key]))[:60]} as" if key in content else "no"
            raise VmcError(f"{file} has {has} {key}; {remedy}")


def _get(part: Any, key: str) -> Any:
    """The value of a key; of what is no dict its text, which is no number."""
    return part.get(key) if isinstance(part, dict) else str(part)


def _read_object(file: Path, *, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise VmcError(f"{file} does not read ({one_line(error)}); {remedy}") from error
    if not isinstance(content, dict):
        raise VmcError(f"{file} holds no JSON object; {remedy}")
    return content


def _read_table(file: Path) -> list[dict[str, Any]]:
    """The rows; none where there is no such file."""
    if not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise VmcError(f"{file} does not read as a table ({one_line(error)})") from error


def _read_updates(file: Path) -> dict[int, int]:
    """Exemplar updates after each step; a half-written last row is passed over."""
    rows = _read_table(file)
    try:
        return {int(row["step"]): int(row["exemplar_updates"]) for row in rows if row.get("seconds")}
    except (KeyError, TypeError, ValueError) as error:
        raise VmcError(f"{file} holds something else than steps ({one_line(error)})") from error


def _read_clips(file: Path, role: str) -> dict[str, Path]:
    """Paths of a run's clips of a role by name; they may be gone.

    Clips lie wherever their owner has them, and a report is sent on. So that a table from elsewhere shows nothing of
    the reader's disk, a clip is taken only where the table knows its SHA-256.
    """
    rows = [row for row in _read_table(file) if row.get("role") == role and row.get("path")]
    paths = [(Path(row["path"]), row.get("sha256")) for row in rows]
    names = Counter(clip_name(path) for path, _ in paths)
    kept = [path for path, digest in paths if _is_clip(path, digest)]
    taken = {clip_name(path) if names[clip_name(path)] == 1 else path.parent.name: path for path in kept}
    if left := [clip_name(path) for path, _ in paths if path not in kept]:
        log.warning(
            "%s names %d clips that are not here as the run had them (%s); the report goes without them",
            *(file, len(left), left[0][:80]),
        )
    return taken


def _is_clip(path: Path, digest: str | None) -> bool:
    """Whether a path is that of a clip, by its suffix, with the content of this SHA-256; it may be gone."""
    try:
        if path.is_dir():  # of frames; one with others in it is none, and may be the whole disk
            return all(part.is_file() for part in path.iterdir()) and _has_content(path, digest)
        known = path.suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
        return known and (not path.exists() or (path.is_file() and _has_content(path, digest)))
    except (OSError, ValueError):  # a folder that is shut, or a path that is none
        return False


def _has_content(path: Path, digest: str | None) -> bool:
    about = path.stat()
    return bool(digest) and _fingerprint(path, about.st_mtime_ns, about.st_size) == digest


@lru_cache(maxsize=4096)
def _fingerprint(path: Path, changed: int, size: int) -> str:
    """Read once in a report: many arms have the same clips."""
    return fingerprint(path)
