"""The gallery: arms as columns, prompts as rows, a video in each cell, the numbers of its chart; and its folder.

Generated videos are linked, exemplars are written as every browser plays them.
"""

import base64
import hashlib
import logging
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vmc.data.video import FOLDER_RATE, count_frames, frame_rate, read_frames, write_video
from vmc.metrics.columns import Measure, united
from vmc.metrics.scores import COLUMNS
from vmc.reporting.figures.common import BANDS, MUTED, arm_styles
from vmc.reporting.figures.curves import COLUMNS as POINT
from vmc.reporting.figures.curves import Curve, curve_of, drawn_measures
from vmc.reporting.loaded_runs import Control, FoundRun, Further, Scored, VideoKey
from vmc.reporting.report import Report
from vmc.reporting.results import Result
from vmc.reporting.table_arms import APPEARANCE, FLOOR, LANGUAGE, METHOD, arm_name, arm_order
from vmc.utils.errors import VmcError
from vmc.utils.tables import BREAKS

log = logging.getLogger(__name__)

WEB = Path(__file__).with_name("web")  # templates, scripts and style
SCRIPTS = ("player.js", "grid.js", "chart.js", "main.js")  # in the order in which they are put together
TABLE_FILES = {"CSV": "csv", "Markdown": "md", "LaTeX": "tex"}
"""What a table's files are called, and their suffixes; not every table has them all."""
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # names of files that need no quoting in an address
FLAGS = ("valid", "motion_correct", "copied", "nearest_clip", "nearest_frame")
"""Columns of `scores.csv` that the page looks at itself."""
TITLES = {"tradeoff": "Figure 7", "stopping": "Runs that stop at the threshold"}  # of the sets of curves


class ArmColumn:
    """A column: an arm, or the untuned model, at one evaluation. `detail` says which, else its step and appearance.

    `state` is what is to be said of a run that does not stand in the tables as the others do.
    """

    def __init__(self, arm: str, scored: Scored, *, step: int = 0, state: str = "", detail: str = "") -> None:
        self.arm, self.scored, self.state = arm, scored, state
        appearance = "" if math.isnan(scored.appearance) else f", appearance {scored.appearance:.4f}"
        self.detail = detail or f"step {step}{appearance}"
        self.rows = scored.rows_by_key


@dataclass(kw_only=True)
class Place:
    """A grid of videos: a motion and training seed, its columns, and notes on runs that have nothing to show."""

    label: str
    runs: list[FoundRun] = field(default_factory=list)
    columns: list[ArmColumn] = field(default_factory=list)  # the method first, the untuned model last
    notes: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[VideoKey]:
        """The keys of the rows' videos, in the order of the test set."""
        return list(dict.fromkeys(key for column in self.columns for key in column.rows))


def places(results: Mapping[str, Result], controls: Sequence[Control]) -> list[Place]:
    """Return the grids of motions and training seeds that have a run, and of motions of the untuned model alone."""
    found: dict[tuple[str, int], Place] = {}

    def at(motion: str, seed: int) -> Place:
        label = f"{motion.replace('_', ' ')}, training seed {seed}"
        return found.setdefault((motion, seed), Place(label=label))

    for arm, result in results.items():
        for one in result.matched:
            here, state = at(*one.run.place), "did not reach the threshold" * one.behind
            here.runs.append(one.run)
            here.columns.append(ArmColumn(arm, one.scored, step=one.shown, state=state))
        for run, reason in result.left_out:
            here, last = at(*run.place), _last_column(run, reason)
            here.runs.append(run)
            here.columns += [last] if last else []
            here.notes += [] if last else [f"{arm_name(arm)}, nothing to show: {reason}"]
    motions = {motion for motion, _ in found}
    for control in controls:
        if control.kind in (FLOOR, LANGUAGE) and control.motion not in motions:
            at(control.motion, control.seed)
    for (motion, seed), here in found.items():
        for kind in (FLOOR,) if here.runs else (FLOOR, LANGUAGE):
            # Any training seed's will do, as nothing was trained.
            others = [control for control in controls if control.kind == kind and control.motion == motion]
            for control in sorted(others, key=lambda control: control.seed != seed)[:1]:
                here.columns.append(ArmColumn(kind, control.scored))
    return [found[place] for place in sorted(found)]


def further_places(further: Sequence[Further]) -> list[Place]:
    """Return grids of videos that are in no table; those of the same prompts and seeds share one, unless they are runs
    of different motions, whose exemplars are others.
    """
    shown = list[tuple[Further, ArmColumn]]()
    for one in further:
        *_, above, last = ("", *Path(one.name).parts)
        arm = one.run.arm if one.run else above if last.isdecimal() else last
        own = f"seed {one.run.seed}, {one.scored.folder.relative_to(one.run.path).as_posix()}" if one.run else one.name
        shown.append((one, ArmColumn(arm, one.scored, detail=own)))
    # What is of no run stands at the motion of the first run of the same prompts.
    motions_of = {frozenset(column.rows): one.run.motion for one, column in reversed(shown) if one.run}
    found: dict[tuple[str, frozenset[VideoKey]], Place] = {}
    for one, column in shown:
        keys = frozenset(column.rows)
        motion = one.run.motion if one.run else motions_of.get(keys, "")
        here = found.setdefault((motion, keys), Place(label=one.name))
        here.runs += [one.run] if one.run else []
        here.columns.append(column)
    taken = set[str]()
    for here in found.values():
        motions = dict.fromkeys(run.motion.replace("_", " ") for run in here.runs)
        here.label = f"further videos: {', '.join(motions) or here.label}"
        if here.label in taken:
            here.label += f", {', '.join(arm_name(column.arm) for column in here.columns)}"
        taken.add(here.label)
    return list(found.values())


def _last_column(run: FoundRun, state: str) -> ArmColumn | None:
    """Return the last evaluation, of those whose scores can be read, of a run that is in no table."""
    for step in sorted(run.evaluations, reverse=True):
        with suppress(VmcError):
            return ArmColumn(run.arm, run.evaluations[step], step=step, state=state)
    return None


def charts(curves: Mapping[str, Sequence[FoundRun]], *, threshold: float | None) -> dict[str, Any]:
    """Return every set of curves that are drawn together, and the panels that they are drawn into."""
    shown = united(*(drawn_measures(runs) for runs in curves.values()))
    sets = list[dict[str, Any]]()
    for name, runs in curves.items():
        arms, found = sorted({run.arm for run in runs}, key=arm_order), list[dict[str, Any]]()
        drawn = arm_styles(arms)
        for arm in arms:
            own, look = [run for run in runs if run.arm == arm], drawn[arm]
            curve = curve_of(own)
            # A line in SVG has lengths in units of about half of matplotlib's, which are of the line's width.
            lengths = " ".join(f"{2 * length:g}" for length in look.dash[1]) if isinstance(look.dash, tuple) else ""
            if not curve.points.empty:
                one: dict[str, Any] = {"arm": arm, "name": arm_name(arm), "note": curve.note}
                one |= {"colour": None if arm == METHOD else look.color, "dash": lengths if curve.finished else "2 4"}
                single = [_points(curve_of([run]), shown) for run in own] if len(own) > 1 else []
                found.append(one | {"points": _points(curve, shown), "runs": single})
        sets += [{"title": TITLES[name], "arms": found}] if found else []
    limits = {APPEARANCE.name: threshold}
    panels = [{"name": m.name, "title": m.title, "digits": m.digits, "threshold": limits.get(m.name)} for m in shown]
    return {"sets": sets, "panels": panels, "bands": BANDS}


def _points(curve: Curve, shown: Sequence[Measure]) -> dict[str, list[list[Any]]]:
    """Return by metric: step, exemplar updates, value, both ends of its interval, whether it is the whole test set."""
    tables = {m.name: curve.having(m)[list(POINT[1:])].round(6).astype(object) for m in shown}
    return {name: table.where(table.notna(), None).to_numpy().tolist() for name, table in tables.items()}


def write_gallery(report: Report, folder: Path, *, runs: Path, figures: Mapping[str, str]) -> None:
    """Write the page, and the videos that it plays, into the folder of a report beside its `tables` and `figures`."""
    every = [*places(report.results, report.found.controls), *further_places(report.found.further)]
    # Scores of a video in the order in which they are listed, by what they are called.
    columns = [*COLUMNS, *(one for place in every for column in place.columns for one in column.scored.columns)]
    titles = {column.name: column.label for column in reversed(columns) if column.label}
    fields = {column.name: titles[column.name] for column in columns if column.label}
    found = [_place_data(place, folder, number, fields) for number, place in enumerate(every)]
    page = render_page(
        "page.html",
        SCRIPTS,
        runs=str(runs),
        places=[one for one in found if one["rows"]],
        common={"fields": list(fields.values()), "flags": list(FLAGS)},
        charts=charts(report.curves, threshold=report.threshold),
        tables=report.texts,
        table_files={
            table.name: {
                title: file
                for title, suffix in TABLE_FILES.items()
                if (folder / (file := f"tables/{table.name}.{suffix}")).is_file()
            }
            for table in report.texts
        },
        figures=figures,
    )
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")


def render_page(template: str, scripts: Sequence[str], **content: Any) -> str:
    """Render a page with the gallery's style; everything that comes from runs is escaped, in markup and in scripts.

    Its script is put together of several files, in this order; the content is what the template names.
    """
    plain: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(WEB), autoescape=True, **plain)
    environment.filters["stacked"] = _stacked
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    style, *parts = (Markup((WEB / name).read_text(encoding="utf-8")) for name in ("style.css", *scripts))
    script = Markup('"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n")
    # The page allows its own script by this, and no other.
    digest = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(**content, style=style, script=script, script_hash=digest)


def _stacked(text: str) -> Markup:
    """Break a cell into lines: interval and p-value below their number."""
    first, *others = BREAKS.split(text)
    return Markup("<br>").join([first, *(Markup("<small>{}</small>").format(part) for part in others)])


def _place_data(place: Place, folder: Path, number: int, fields: Iterable[str]) -> dict[str, Any]:
    """Return what the page shows of a motion and training seed, and put its videos beside the page.

    A cell holds the video's file, or null where it is missing, then its flags and scores, numbers with four digits.
    """
    looked = arm_styles(column.arm for column in place.columns if column.arm != FLOOR)
    columns, first = list[dict[str, Any]](), list[Path]()
    for index, column in enumerate(place.columns):
        beside = f"videos/{number}/{index}"
        linked = link_videos(column.scored, column.rows.values(), folder / beside)
        first += [folder / beside / file for file in list(linked.values())[:1]]
        cells = [
            row and [linked.get(str(row["video"])), *(_rounded(row.get(name)) for name in (*FLAGS, *fields))]
            for row in map(column.rows.get, place.keys)
        ]
        color = {METHOD: None, FLOOR: MUTED}.get(column.arm, looked.get(column.arm, looked[METHOD]).color)
        about = {"name": arm_name(column.arm), "detail": column.detail, "state": column.state, "cells": cells}
        columns.append(about | {"threshold": column.scored.copy_threshold, "folder": beside, "colour": color})
    rows = [next((row for column in place.columns if (row := column.rows.get(key))), {}) for key in place.keys]
    suites = [str(row.get("suite") or "") for row in rows]  # of the test set, where it has some
    return {
        "label": place.label,
        "notes": place.notes,
        "columns": columns,
        "rows": [list(key) for key in place.keys],
        "suites": suites if any(suites) else [],
        "folder": f"exemplars/{number}",
        "exemplars": write_exemplars(place.runs, folder / f"exemplars/{number}"),
        **shape_of(first),
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def shape_of(videos: Iterable[Path]) -> dict[str, float]:
    """Return frames, frames per second, and width over height of the first video that can be read."""
    for file in videos:
        try:
            height, width = read_frames(file, [0]).shape[-2:]
            return {"frames": count_frames(file), "fps": frame_rate(file) or FOLDER_RATE, "aspect": width / height}
        except VmcError:
            continue
    return {"frames": 1, "fps": 1.0, "aspect": 1.0}


def link_videos(scored: Scored, rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Put an evaluation's videos into a folder of the gallery; return file names by the names in `scores.csv`.

    They are hard links where both lie on one file system: they take no room, and become files of their own as soon as
    the gallery is copied. Videos that are missing are left out, and so is, with a warning, what is no file of the run:
    a run may be somebody else's, and a gallery is sent on.
    """
    folder.mkdir(parents=True)
    names = [str(row["video"]) for row in rows]
    linked, foreign, taken = {}, list[str](), set(filter(PLAIN.fullmatch, names))
    for number, name in enumerate(names):
        try:
            source = scored.video(name)
        except VmcError as error:
            foreign.append(str(error))
            continue
        if source.is_file():
            plain = (f"video-{other}{source.suffix}" for other in count(number))
            linked[name] = name if name in taken else next(file for file in plain if file not in taken)
            taken.add(linked[name])
            try:
                os.link(source, folder / linked[name], follow_symlinks=False)
            except OSError:  # another file system, or one that has no hard links
                # Never onto a file that is there: it may be a link to another video of the run.
                with source.open("rb") as content, (folder / linked[name]).open("xb") as copy:
                    shutil.copyfileobj(content, copy)
    if foreign:
        log.warning("%s: %d videos are left out of the gallery; %s", scored.folder, len(foreign), foreign[0])
    return linked


def write_exemplars(runs: Iterable[FoundRun], folder: Path) -> list[dict[str, Any]]:
    """Write the exemplars of runs of one motion and training seed, and a subject's stills, and list them.

    Those that are gone are listed without a file.
    """
    clips = [(run, "", run.exemplars) for run in runs] + [(run, "still: ", run.stills) for run in runs]
    found = {f"{kind}{name}": (path, run) for run, kind, own in clips for name, path in own.items()}
    listed = list[dict[str, Any]]()
    for number, (name, (path, run)) in enumerate(sorted(found.items())):
        frames = write_exemplar(path, folder / (file := f"{number:04d}.mp4"), run)
        listed.append({"name": name, "file": file, "frames": frames} if frames else {"name": name, "file": None})
    return listed


def write_exemplar(path: Path, file: Path, run: FoundRun) -> int:
    """Write a clip as a run's model saw it and return how many frames it has, 0 where it cannot be read.

    Clips come in many formats, of which browsers play few.
    """
    try:
        frames_FCHW = run.frames_of(path)
        write_video(file, frames_FCHW, fps=frame_rate(path) or FOLDER_RATE)
    except VmcError:
        return 0
    return len(frames_FCHW)
