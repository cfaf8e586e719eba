"""Whether a Jester folder is whole: tables that agree with each other, and every frame of every clip."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmc.data.completeness import gap
from vmc.data.jester import Jester
from vmc.data.video import frame_files
from vmc.utils.errors import VmcError

PUBLISHED = {"train": 118_562, "validation": 14_787, "test": 14_743}
"""Clips of each split of the whole data set."""

Progress = Callable[[Iterable[str]], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """What was found of a split.

    Args:
        split: its name.
        labels: clips of each class; a clip without a label counts under the empty name.
        frames: of each clip whose frames are all there, in the table's order.
        missing: ids of clips that have no folder, or one without frames.
        broken: what is wrong with each other clip, by its id.
    """

    split: str
    labels: Counter[str]
    frames: Sequence[int]
    missing: Sequence[str]
    broken: dict[str, str]

    @property
    def clips(self) -> int:
        """In its table."""
        return self.labels.total()

    @property
    def is_unpacked(self) -> bool:
        """Whether any of its frames are on the disk."""
        return len(self.missing) < self.clips

    def line(self, *, shorter_than: int) -> str:
        """How many clips are complete, and how long they are."""
        if not self.is_unpacked:
            return f"{self.split}: {self.clips:,} clips in the table, none unpacked"
        told = f"{self.split}: {len(self.frames):,} of {self.clips:,} clips complete"
        if self.frames:
            low, high, median = min(self.frames), max(self.frames), statistics.median(self.frames)
            told += f", {low} to {high} frames, median {median:g}"
        if short := sum(count < shorter_than for count in self.frames):
            told += f"; {short:,} shorter than {shorter_than} frames are padded by their last one"
        return told

    def problem(self) -> str | None:
        """What keeps it from being whole, a clause; None for a whole split, and for one that was never unpacked."""
        if not self.is_unpacked:
            return None
        if self.missing:
            told = f"{len(self.missing):,} of {self.clips:,} {self.split} clips have no frames"
            return f"{told}, the first {self.missing[0]}"
        if self.broken:
            id, reason = next(iter(self.broken.items()))
            return f"{len(self.broken):,} of {self.clips:,} {self.split} clips are broken, the first {id}: {reason}"
        return None


def check_tables(jester: Jester, *, names: Sequence[str]) -> None:
    """Refuse tables that name a class or a clip wrongly.

    Args:
        jester: the folder.
        names: of the classes.

    Raises:
        VmcError: a class that is not among `names`, a training or validation clip without one, a clip that stands in
            two rows, or in two splits.
    """
    seen: dict[str, str] = {}
    for split in jester.splits():
        index, file = jester.index(split), jester.table_file(split)
        for id, label in zip(index["id"], index["label"], strict=True):
            if label and label not in names:
                raise VmcError(f"{file} gives clip {id} the class {label!r}, which is not in {_source(jester)}")
            if not label and split != "test":
                raise VmcError(f"{file} gives clip {id} no class: download it again")
            if id in seen:
                both = "two rows" if seen[id] == split else f"the {seen[id]} split too"
                raise VmcError(f"{file} holds clip {id}, which stands in {both}: download the tables again")
            seen[id] = split


def label_file(jester: Jester) -> Path | None:
    """The release's list of classes; the mirror has none."""
    file = jester.table_file(jester.splits()[0]).with_name("jester-v1-labels.csv")
    return file if file.is_file() else None


def _source(jester: Jester) -> str:
    return str(label_file(jester) or "Jester's 27 classes")


def check_split(jester: Jester, split: str, *, progress: Progress = iter) -> SplitCheck:
    """Look for every frame of a split's clips; pictures are not opened.

    Args:
        jester: the folder.
        split: one whose table is there.
        progress: shows how far it is.
    """
    index, stated = jester.index(split), jester.stated_frames(split)
    frames: list[int] = []
    missing: list[str] = []
    broken: dict[str, str] = {}
    for id in progress(index["id"].tolist()):
        folder = jester.frames_folder(split, id)
        files = frame_files(folder) if folder.is_dir() else []
        if not files:
            missing.append(id)
        elif reason := gap(files, stated.get(id)):
            broken[id] = f"{folder} {reason}"
        else:
            frames.append(len(files))
    return SplitCheck(split=split, labels=Counter(index["label"]), frames=frames, missing=missing, broken=broken)
