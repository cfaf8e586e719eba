"""Room on the disk that a run takes, computed from what it trains and how often it saves."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmc.tools.doctor.chosen import PUBLISHED, Chosen
from vmc.tools.doctor.rows import Row
from vmc.tools.downloads.download import cached_folder
from vmc.tools.downloads.sources import SOURCES
from vmc.training.callbacks import Checkpoints
from vmc.training.delta import check_dtype
from vmc.utils.files import cache_root

GB = 1e9
OTHERS = 1.0
"""GB of a run's videos, and of the caches that all runs share, each an estimate."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes of a run that is trained to its last step.

    Args:
        weights: all files of `weights/`.
        checkpoint: one file of `checkpoints/`.
        saved: how many are written in all.
    """

    weights: int = 0
    checkpoint: int = 0
    saved: int = 0

    @property
    def stays(self) -> int:
        """In the run folder, its videos left out."""
        return self.weights + self.checkpoint * min(self.saved, Checkpoints.KEPT)

    @property
    def most(self) -> int:
        """While a checkpoint is written: the oldest is removed only then."""
        return self.weights + self.checkpoint * min(self.saved, Checkpoints.KEPT + 1)


def room(chosen: Chosen) -> Room | None:
    """Of a run; None where the sizes of its model are not known."""
    if chosen.load is None:
        return None
    if not chosen.trains:
        return Room()
    config, trained = chosen.config, chosen.load.trained
    saved = _steps(config.steps, config.checkpoint_every)
    evaluated = _steps(config.steps, config.evaluate_every) if chosen.evaluates else set()
    each = check_dtype(config.weights_dtype).itemsize
    weights = len(saved) * each + len(evaluated - saved) * 4  # what is only evaluated is kept in float32
    return Room(weights=trained * weights, checkpoint=trained * (4 + chosen.state_bytes), saved=len(saved))


def _steps(last: int, every: int) -> set[int]:
    return {last, *(range(every, last + 1, every) if every else ())}


def disk(chosen: Chosen) -> Row:
    """What is free against what the run takes, where it may write at all."""
    places = {"output": Path(chosen.config.output), "cache": Path(chosen.config.cache or cache_root())}
    for key, path in places.items():
        there = _existing(path)
        if not (there.is_dir() and os.access(there, os.W_OK)):
            told = f"{key} is {path}, but {there} cannot be written"
            if key == "cache":  # one that holds all that is needed serves
                return Row(part="disk", state="note", found=told, remedy="set cache= or VMC_CACHE to one that can")
            return Row(part="disk", state="fails", found=told, remedy="set output= to a folder that can be written")
    found, run = room(chosen), "a run's size is not known before its model is there"
    here, caches = OTHERS, OTHERS
    if found is not None:
        here += found.most / GB
        run = f"a run leaves about {OTHERS + found.stays / GB:.0f} and takes {here:.0f} while it saves"
    if (name := PUBLISHED.get(chosen.model)) and not cached_folder(chosen.model, chosen.value("model").family):
        caches += SOURCES[name].size
        run += f", the download of {name} {SOURCES[name].size:g} beside the caches"
    free = {
        "here": shutil.disk_usage(_existing(places["output"])).free / GB,
        "for caches": shutil.disk_usage(_existing(places["cache"])).free / GB,
    }
    told = f"{', '.join(f'{size:.0f} GB free {place}' for place, size in free.items())}; {run} (estimate)"
    if free["here"] < here or free["for caches"] < caches:
        remedy = "set output= and VMC_CACHE to another disk, or save less: weights_dtype=bfloat16, checkpoint_every=0"
        return Row(part="disk", state="note", found=told, remedy=remedy)
    return Row(part="disk", state="ok", found=told)


def _existing(path: Path) -> Path:
    path = path.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return path
