"""The files of the gallery: generated videos linked into it, exemplars written as videos that every browser plays."""

import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.data.frames import resize_and_crop
from vmc.data.video import FOLDER_RATE, count_frames, frame_rate, read_frames, write_video
from vmc.errors import VmcError
from vmc.runs.reporting.found import FoundRun, Scored

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
