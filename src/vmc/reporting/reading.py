"""Finding runs: every run folder below a folder, and the evaluations of untuned models beside them."""

import csv
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from vmc.data.clips import clip_name
from vmc.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vmc.evaluation.generation import VIDEOS
from vmc.evaluation.score_files import DIGEST, SCORES, SUMMARY, sha256_of
from vmc.reporting.checks import other_protocol, set_aside
from vmc.reporting.loaded_runs import DAMAGED, Control, Found, FoundRun, Further, Scored, one_line
from vmc.reporting.table_arms import CEILING, FLOOR, LANGUAGE, METHOD
from vmc.runs.earlier_versions import up_to_date
from vmc.runs.folder import shown_state
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.plain_yaml import read_yaml

log = logging.getLogger(__name__)

KINDS: dict[str, Any] = {"arm": str | int, "motion": dict, "model": dict, "seed": int, "steps": int | None}
"""Of a config's values that every report needs."""
PARTS = ("stop", "data", "prompts", "metrics", "timesteps")  # parts of a config that may be missing
CONTROL_FOLDERS = {"000000": FLOOR, "000000-language": LANGUAGE, "real": CEILING}
"""Where `vmc.evaluate` leaves what is no evaluation of a tuned model."""
REMEDY = "remove that run folder, or run its command again"
SCORED = "-scores"  # what `python -m vmc.evaluate videos=DIR` ends the name of the folder with
TABLES = ("-known", "-language")
"""Ends of the names of evaluations that are not shown: of other gestures, and of the untuned model's other prompts."""
SCORE_AGAIN = "remove it and score the videos again"


def find_runs(root: Path) -> Found:
    """Find all runs below a folder, and the evaluations of untouched base models (`base/MOTION/`).

    A run of which a file does not read is damaged: it is listed so, and has no evaluations. A VmcError where there is
    no such folder, no run in it, or none that reads.
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
    aside, apart = [run for run in others_tests if run.counts], {run.motion for run in others_tests}
    for run in aside:
        log.warning(
            "%s: the motion %s brings a test set or classes of its own, so it stands in the gallery and in no table;"
            " runs=%s makes tables of it alone",
            *(run.path, run.motion, run.path),
        )
    every, runs = runs, [run for run in runs if run not in aside]
    newest = {run.evaluations[max(run.evaluations)].folder for run in aside if run.evaluations}
    further = _find_further(root, every, shown=newest)
    found = Found(runs, _choose_controls(runs, bases, apart, lost), lost, further)
    if not runs or all(run.damaged for run in runs):
        raise VmcError(
            f"runs is {root}, in which no run reads; the first: {found.damaged[0][1]}"
            if found.damaged
            else f"runs is {root}, in which there is no run (no folder with config.yaml and run.json);"
            " give a folder that holds run folders of vmc.train"
        )
    return found


def _choose_controls(
    runs: Sequence[FoundRun], bases: Iterable[Control], apart: Container[str], lost: list[tuple[Path, str]]
) -> list[Control]:
    """Choose the first readable control of each kind, motion and seed; one of `bases` where no run has its own."""
    # First what was made for it, of the whole test set; then what the method's runs have.
    controls = [
        Control(kind=kind, motion=run.motion, seed=run.seed, scored=scored)
        for run in sorted(runs, key=lambda run: (run.trains, run.arm != METHOD))
        for kind, scored in run.controls.items()
    ]
    covered, motions = {(one.kind, one.motion) for one in controls}, {run.motion for run in runs}
    for one in (one for one in bases if (one.kind, one.motion) not in covered and one.motion not in apart):
        if one.motion in motions or not other_protocol(runs, one):
            controls.append(one)
        else:
            log.warning(
                "%s: the motion %s brings classes of its own and has no run here, so it stands in no table",
                *(one.scored.folder, one.motion),
            )
    kept: dict[tuple[str, str, int], Control] = {}
    for one in controls:
        place = (one.kind, one.motion, one.seed)
        try:
            if place not in kept and len(one.scored.values):
                kept[place] = one
        except VmcError as error:
            lost.append((one.scored.folder, one_line(error)))
    return list(kept.values())


def _folders(root: Path, lost: list[tuple[Path, str]]) -> Iterator[Path]:
    """List folders below a root in order, but none in runs, videos or hidden folders; `lost` gets unreadable ones."""
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
    """Read a run with everything but its scores; of a damaged one its config alone."""
    config = _read_config(folder / "config.yaml")
    try:
        state = _read_object(folder / "run.json", {"status": str | None, "step": int | None}, remedy=REMEDY)
        if state.get("status") == "running":
            state = shown_state(folder)
        parts = sorted(chain.from_iterable((folder / "evaluation").glob(name) for name in ("[0-9]*", "real")))
        read = {part.name: one for part in parts if (one := _read_evaluation(part, root=folder))}
        scored = {int(name): one for name, one in read.items() if name.isdecimal()}
        controls = {kind: read[name] for name, kind in CONTROL_FOLDERS.items() if name in read}
        suites = [one for name, one in read.items() if re.match(r"\d.*-", name) and one.summary.get("suites")]
        asked = {int(part.name.partition("-")[0]): _read_known(part) for part in parts if part.match("[0-9]*-known")}
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
    """Read an evaluation with its summary; None where it is not complete.

    A VmcError where the summary does not read, holds something else, or is not of the table beside it.
    """
    scores, file = folder / SCORES, folder / SUMMARY
    if not scores.is_file() or not file.is_file():
        return None
    summary = _read_object(file, {"metrics": dict, "videos": int, "protocol": dict}, remedy=SCORE_AGAIN)
    copying = summary["protocol"].get("copying") or {}
    numbers = [("of", summary.get("of")), ("copying", _get(copying, "threshold"))]
    numbers += [(key, _get(part, end)) for key, part in summary["metrics"].items() for end in ("value", "low", "high")]
    for key, number in numbers:
        if number is not None and (type(number) not in (int, float) or not abs(number) < math.inf):
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
    """Read an evaluation of known gestures by their classes; nothing where it is not complete."""
    complete = (folder / SUMMARY).is_file()
    found = [_read_evaluation(part, root=folder) for part in sorted(folder.iterdir()) if complete and part.is_dir()]
    return {str(_get(one.summary["protocol"].get("motion"), "target")): one for one in found if one}


def _check_kinds(content: Mapping[str, Any], kinds: Mapping[str, Any], file: Path, remedy: str) -> None:
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            has = f"{one_line(repr(content[key]))[:60]} as" if key in content else "no"
            raise VmcError(f"{file} has {has} {key}; {remedy}")


def _get(part: Any, key: str) -> Any:
    """Return the value of a key; of what is no dict its text, which is no number."""
    return part.get(key) if isinstance(part, dict) else str(part)


def _read_object(file: Path, kinds: Mapping[str, Any], *, remedy: str) -> dict[str, Any]:
    """Read the JSON object in a file, whose values are of these kinds."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise VmcError(f"{file} does not read ({one_line(error)}); {remedy}") from error
    if not isinstance(content, dict):
        raise VmcError(f"{file} holds no JSON object; {remedy}")
    _check_kinds(content, kinds, file, remedy)
    return content


def _read_table(file: Path, **form: Any) -> list[dict[str, Any]]:
    """Read the rows of a CSV in the `form` that `csv.DictReader` takes; none where there is no such file."""
    if not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream, **form))
    except (OSError, ValueError, csv.Error) as error:
        raise VmcError(f"{file} does not read as a table ({one_line(error)})") from error


def _read_updates(file: Path) -> dict[int, int]:
    """Read the exemplar updates after each step; a half-written last row is skipped."""
    rows = _read_table(file)
    try:
        return {int(row["step"]): int(row["exemplar_updates"]) for row in rows if row.get("seconds")}
    except (KeyError, TypeError, ValueError) as error:
        raise VmcError(f"{file} holds something else than steps ({one_line(error)})") from error


def _read_clips(file: Path, role: str) -> dict[str, Path]:
    """Read the paths of a run's clips of a role, by name; they may be gone.

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
    """Return whether a path is that of a clip, by its suffix, with the content of this SHA-256; it may be gone."""
    try:
        if path.is_dir():  # of frames; one with others in it is none, and may be the whole disk
            known = all(part.is_file() for part in path.iterdir())
        else:
            known = path.suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
            if not path.exists():
                return known
            known = known and path.is_file()
        about = path.stat()
        return known and bool(digest) and _fingerprint(path, about.st_mtime_ns, about.st_size) == digest
    except (OSError, ValueError):  # a folder that is shut, or a path that is none
        return False


@lru_cache(maxsize=4096)
def _fingerprint(path: Path, changed: int, size: int) -> str:
    """Compute a clip's fingerprint once in a report: many arms have the same clips."""
    return fingerprint(path)


# --- videos that stand in no table -----------------------------------------------------------------------------------


def _find_further(root: Path, runs: Sequence[FoundRun], *, shown: Container[Path]) -> list[Further]:
    """Find videos below a folder that are in no table, in order; what cannot be read is left out, with a warning.

    They are of runs merged with each other, of further prompts, of `vmc.generate`; and the evaluations `shown`.
    """
    by_path, found = {run.path: run for run in runs}, list[Further]()
    for folder, run in _video_folders(root, by_path):
        try:
            scored = _read_further(folder, run, shown=shown)
            if scored and scored.rows:
                name = folder.name if folder == root else folder.relative_to(root).as_posix()
                found.append(Further(name=name, run=run, scored=scored))
        except (VmcError, OSError) as error:
            log.warning("%s; the gallery goes without these videos", error)
    return found


def _video_folders(root: Path, runs: dict[Path, FoundRun]) -> Iterator[tuple[Path, FoundRun | None]]:
    """List folders that may hold such videos, with the run that they are part of."""
    for name, below, _ in os.walk(root):
        folder = Path(name)
        done = (folder / "config.yaml").is_file() or ((folder / SCORES).is_file() and (folder / SUMMARY).is_file())
        below[:] = [] if done else sorted(part for part in below if not part.startswith("."))
        if run := runs.get(folder):
            yield from ((part, run) for part in sorted([*folder.glob("evaluation/*/"), *folder.glob("videos/*/")]))
        elif not (folder / "config.yaml").is_file():
            yield folder, None


def _read_further(folder: Path, run: FoundRun | None, *, shown: Container[Path]) -> Scored | None:
    """Read a folder's videos that are in no table; None where there are none, a VmcError where a file is damaged."""
    if (folder / VIDEOS).is_file():
        # Where somebody has scored them, they are shown with their scores.
        return None if (folder.with_name(f"{folder.name}{SCORED}") / SCORES).is_file() else _read_generated(folder)
    if folder.name.endswith(SCORED) and not (folder / "videos").is_dir():
        if scored := _read_evaluation(folder, root=folder.parent):
            scored.place = folder.with_name(folder.name.removesuffix(SCORED))
        return scored
    in_tables = folder.name in CONTROL_FOLDERS or folder.name.endswith(TABLES) or (run and folder.name.isdecimal())
    return None if in_tables and folder not in shown else _read_evaluation(folder, root=folder)


def _read_generated(folder: Path) -> Scored:
    """Read the table of videos that `vmc.generate` made and nobody has scored; a VmcError where it is damaged."""
    scored = Scored(folder, folder, {"metrics": {}, "videos": 0, "protocol": {}}, place=folder)
    try:
        scored.rows = [
            {"video": row["video"], "prompt": row["prompt"], "seed": int(row["seed"]) if row.get("seed") else None}
            | {name: row.get(name) or None for name in ("subject", "suite")}
            for row in _read_table(folder / VIDEOS, strict=True)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise VmcError(f"{folder / VIDEOS} does not read as a table of videos ({error!r})") from error
    return scored
