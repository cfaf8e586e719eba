"""`index.html` and the videos beside it: generated ones linked, exemplars written as every browser plays them."""

import base64
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vmc.data.frames import resize_and_crop
from vmc.data.video import FOLDER_RATE, count_frames, frame_rate, read_frames, write_video
from vmc.reporting.catalogue import FLOOR, METHOD, arm_name
from vmc.reporting.figures.common import MUTED, looks
from vmc.reporting.gallery.content import FLAGS, Place, charts, fields_of, places, scores_of
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.results import Report
from vmc.utils.errors import VmcError
from vmc.utils.tables import BREAKS

log = logging.getLogger(__name__)

PACKAGE = "vmc.reporting.gallery"
SCRIPTS = ("base.js", "player.js", "loader.js", "grid.js", "detail.js", "chart.js", "main.js")
"""In the order in which they are put together."""
TABLE_FILES = {"CSV": "csv", "Markdown": "md", "LaTeX": "tex"}
"""What a table's files are called, and their suffixes; not every table has them all."""
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of files that need no quoting in an address."""


def write_gallery(report: Report, folder: Path, *, runs: Path, figures: Mapping[str, str]) -> None:
    """Write the page, and the videos that it plays, into the folder of a report.

    Args:
        report: the results.
        folder: where; the figures are in its `figures`, the tables in its `tables`.
        runs: the folder that was reported on.
        figures: captions by the name of the figure's files.
    """
    every = places(report.results, report.found.controls)
    fields = fields_of(every)
    found = [_place_data(place, folder, number, fields) for number, place in enumerate(every)]
    listed = {table.name: {t: f"tables/{table.name}.{s}" for t, s in TABLE_FILES.items()} for table in report.texts}
    page = render(
        runs=str(runs),
        places=[one for one in found if one["rows"]],
        common={"fields": list(fields.values()), "flags": list(FLAGS)},
        charts=charts(report.curves, threshold=report.threshold),
        tables=report.texts,
        table_files={
            name: {title: file for title, file in each.items() if (folder / file).is_file()}
            for name, each in listed.items()
        },
        figures=figures,
    )
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")


def render(**content: Any) -> str:
    """The page; everything that comes from runs is escaped, in markup and in scripts."""
    environment = Environment(
        loader=PackageLoader(PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["stacked"] = _stacked
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    script = "\n".join(_own(name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    # The page allows its own script by this, and no other.
    digest = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        **content, style=Markup(_own("style.css")), script=Markup(script), script_hash=digest
    )


def _own(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _stacked(text: str) -> Markup:
    """A cell of several lines where it may be broken: interval and p-value below their number."""
    first, *others = BREAKS.split(text)
    return Markup("<br>").join([first, *(Markup("<small>{}</small>").format(part) for part in others)])


def _place_data(place: Place, folder: Path, number: int, fields: Iterable[str]) -> dict[str, Any]:
    """What the page knows of a motion and training seed; its videos are put beside the page.

    A cell holds the video's file, or null where it is missing, and its scores.
    """
    looked = looks(column.arm for column in place.columns if column.arm != FLOOR)
    columns, first = [], list[Path]()
    for index, column in enumerate(place.columns):
        beside = f"videos/{number}/{index}"
        linked = link_videos(column.scored, column.rows.values(), folder / beside)
        first += [folder / beside / file for file in list(linked.values())[:1]]
        rows = [column.rows.get(key) for key in place.keys]
        shown = {
            "name": arm_name(column.arm),
            "detail": column.detail,
            "state": column.state,
            "cells": [row and [linked.get(str(row["video"])), *scores_of(row, fields)] for row in rows],
            "threshold": column.scored.copy_threshold,
            "folder": beside,
            "colour": {METHOD: None, FLOOR: MUTED}.get(column.arm, looked.get(column.arm, looked[METHOD]).colour),
        }
        columns.append(shown)
    exemplars = f"exemplars/{number}"
    return {
        "label": place.label,
        "notes": list(place.notes),
        "columns": columns,
        "rows": [list(key) for key in place.keys],
        "folder": exemplars,
        "exemplars": write_exemplars(place.runs, folder / exemplars),
        **_shape_of(first),
    }


def _shape_of(videos: Iterable[Path]) -> dict[str, float]:
    """Frames, frames per second, and width over height of the first video that reads; any where none does."""
    for file in videos:
        try:
            height, width = read_frames(file, [0]).shape[-2:]
            return {"frames": count_frames(file), "fps": frame_rate(file) or FOLDER_RATE, "aspect": width / height}
        except VmcError:
            continue
    return {"frames": 1, "fps": 1.0, "aspect": 1.0}


def link_videos(scored: Scored, rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Put an evaluation's videos into a folder of the gallery; names of their files by the names in `scores.csv`.

    They are hard links where both lie on one file system: they take no room, and become files of their own as soon as
    the gallery is copied. Videos that are missing are left out, and so is, with a warning, what is no file of the run:
    a run may be somebody else's, and a gallery is sent on.
    """
    folder.mkdir(parents=True)
    linked, foreign = {}, list[str]()
    for number, name in enumerate(str(row["video"]) for row in rows):
        try:
            source = scored.video(name)
        except VmcError as error:
            foreign.append(str(error))
            continue
        if source.is_file():
            linked[name] = name if PLAIN.fullmatch(name) else f"video-{number}{source.suffix}"
            try:
                os.link(source, folder / linked[name], follow_symlinks=False)
            except OSError:  # another file system, or one that has no hard links
                shutil.copyfile(source, folder / linked[name])
    if foreign:
        log.warning("%s: %d videos are left out of the gallery; %s", scored.folder, len(foreign), foreign[0])
    return linked


def write_exemplars(runs: Iterable[FoundRun], folder: Path) -> list[dict[str, Any]]:
    """The exemplars of runs of one motion and training seed, as the model saw them: scaled and cropped.

    Clips come in many formats, of which browsers play few. Those that are gone are listed without a file.
    """
    found = {name: (path, run) for run in runs for name, path in run.exemplars.items()}
    listed = []
    for number, (name, (path, run)) in enumerate(sorted(found.items())):
        entry: dict[str, Any] = {"name": name, "file": None}
        try:
            frames_FCHW = resize_and_crop(read_frames(path), int(run.config["data"]["size"]))
            file = folder / f"{number:04d}.mp4"
            write_video(file, frames_FCHW, fps=frame_rate(path) or FOLDER_RATE)
            entry |= {"file": file.name, "frames": len(frames_FCHW)}
        except VmcError:
            pass
        listed.append(entry)
    return listed
