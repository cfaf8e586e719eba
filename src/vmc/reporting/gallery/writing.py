"""`index.html` and the videos beside it: generated ones linked, exemplars written as every browser plays them."""

import base64
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vmc.data.frames import resize_and_crop
from vmc.data.video import FOLDER_RATE, count_frames, frame_rate, read_frames, write_video
from vmc.reporting.catalogue import FLOOR, METHOD
from vmc.reporting.figures.style import MUTED, looks
from vmc.reporting.gallery.content import FLAGS, Column, Place, charts, fields_of, places, scores_of
from vmc.reporting.loaded import Control, FoundRun, Scored
from vmc.reporting.matched import ArmResult
from vmc.utils.errors import VmcError
from vmc.utils.tables import BREAKS, TextTable

log = logging.getLogger(__name__)

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of files that need no quoting in an address."""


@dataclass(frozen=True)
class Film:
    """How many frames a video has, its rate in frames per second, and width over height."""

    frames: int
    fps: float
    aspect: float


def link_videos(scored: Scored, rows: Iterable[Mapping[Any, Any]], folder: Path) -> dict[str, str]:
    """Put an evaluation's videos into a folder of the gallery; names of their files by the names in `scores.csv`.

    They are hard links where both lie on one file system: they take no room, and become files of their own as soon as
    the gallery is copied. Videos that are missing are left out, and so is, with a warning, what is no file of the run:
    a run may be somebody else's, and a gallery is sent on.
    """
    folder.mkdir(parents=True)
    linked, foreign = {}, list[str]()
    for number, row in enumerate(rows):
        name = str(row["video"])
        try:
            source = scored.video(name)
        except VmcError as error:
            foreign.append(str(error))
            continue
        if not source.is_file():
            continue
        file = name if PLAIN.fullmatch(name) else f"video-{number}{source.suffix}"
        _link(source, folder / file)
        linked[name] = file
    if foreign:
        log.warning("%s: %d videos are left out of the gallery; %s", scored.folder, len(foreign), foreign[0])
    return linked


def write_exemplars(runs: Iterable[FoundRun], folder: Path) -> list[dict[str, Any]]:
    """The exemplars of runs of one motion and training seed, as the model saw them: scaled and cropped.

    Clips come in many formats, of which browsers play few. Those that are gone are listed without a file.
    """
    found = {name: (path, run) for run in runs for name, path in run.clips("exemplar").items()}
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


def film_of(files: Iterable[Path]) -> Film:
    """Of the first video that reads; something plausible where none does."""
    for file in files:
        try:
            height, width = read_frames(file, [0]).shape[-2:]
            return Film(count_frames(file), frame_rate(file) or FOLDER_RATE, width / height)
        except VmcError:
            continue
    return Film(1, 1.0, 1.0)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one that has no hard links
        shutil.copyfile(source, target)


PACKAGE = "vmc.reporting.gallery"
SCRIPTS = ("base.js", "player.js", "loader.js", "grid.js", "detail.js", "chart.js", "main.js")
"""In the order in which they are put together."""
PAGE = "index.html"
TABLE_FILES = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}
"""Suffixes of a table's files, and what they are called; not every table has them all."""


def write_gallery(
    folder: Path,
    *,
    runs: Path,
    results: Mapping[str, ArmResult],
    controls: Sequence[Control],
    curves: Mapping[str, Sequence[FoundRun]],
    threshold: float | None,
    tables: Sequence[TextTable],
    figures: Mapping[str, str],
) -> None:
    """Write the page, and the videos that it plays, into the folder of a report.

    Args:
        folder: where; the figures are in its `figures`, the tables in its `tables`.
        runs: the folder that was reported on.
        results: every arm.
        controls: evaluations of the untuned model.
        curves: runs that are drawn together, by what they are called.
        threshold: the appearance score at which arms are compared.
        tables: in order.
        figures: captions by the name of the figure's files.
    """
    every = places(results, controls)
    fields = fields_of(every)
    found = [_data(place, folder, number, fields) for number, place in enumerate(every)]
    page = render(
        runs=str(runs),
        places=[one for one in found if one["rows"]],
        common={"fields": list(fields.values()), "flags": list(FLAGS)},
        charts=charts(curves, threshold=threshold),
        tables=tables,
        table_files={table.name: _files(table, folder) for table in tables},
        figures=figures,
    )
    (folder / PAGE).write_text(page, encoding="utf-8", newline="\n")


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
    return environment.get_template("page.html").render(
        **content, style=Markup(_own("style.css")), script=Markup(script), script_hash=_hash(script)
    )


def _files(table: TextTable, folder: Path) -> dict[str, str]:
    """The files of a table that are there, by what they are called."""
    named = {title: f"tables/{table.name}.{suffix}" for suffix, title in TABLE_FILES.items()}
    return {title: file for title, file in named.items() if (folder / file).is_file()}


def _stacked(text: str) -> Markup:
    """A cell of several lines where it may be broken: interval and p-value below their number."""
    first, *others = BREAKS.split(text)
    return Markup("<br>").join([first, *(Markup("<small>{}</small>").format(part) for part in others)])


def _own(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """By which the page allows its own script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(place: Place, folder: Path, number: int, fields: Iterable[str]) -> dict[str, Any]:
    """What the page knows of a motion and training seed; its videos are put beside the page."""
    looked = looks([column.arm for column in place.columns if column.arm != FLOOR])
    columns, first = [], list[Path]()
    for index, column in enumerate(place.columns):
        beside = f"videos/{number}/{index}"
        linked = link_videos(column.scored, column.rows.values(), folder / beside)
        first += [folder / beside / file for file in list(linked.values())[:1]]
        colour = None if column.arm == METHOD else MUTED if column.arm == FLOOR else looked[column.arm].colour
        columns.append(_column(place, column, linked, fields) | {"folder": beside, "colour": colour})
    film = film_of(first)
    exemplars = f"exemplars/{number}"
    return {
        "label": place.label,
        "notes": list(place.notes),
        "columns": columns,
        "rows": [list(key) for key in place.keys],
        "folder": exemplars,
        "exemplars": write_exemplars(place.runs, folder / exemplars),
        "frames": film.frames,
        "fps": film.fps,
        "aspect": film.aspect,
    }


def _column(place: Place, column: Column, linked: Mapping[str, str], fields: Iterable[str]) -> dict[str, Any]:
    """Its cells hold the video's file, or null where it is missing, and its scores."""
    cells: list[list[Any] | None] = []
    for key in place.keys:
        row = column.rows.get(key)
        cells.append(None if row is None else [linked.get(str(row["video"])), *scores_of(row, fields)])
    shown = {"name": column.name, "detail": column.detail, "state": column.state, "cells": cells}
    return shown | {"threshold": column.scored.copy_threshold}
