"""Jester, a data set of people performing 27 hand gestures in front of a webcam (Materzynska et al., ICCV workshops
2019).

Two layouts are read: the first release (`20bn-jester-v1/<id>/00001.jpg`, tables without header, separated by
semicolons) and a later mirror (`Train/<id>/`, `Train.csv` with header, separated by commas).
"""

import difflib
import itertools
import logging
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from tqdm import tqdm

from vmc.data.checks import check_path, explain_permissions
from vmc.data.clips import Clip, Role
from vmc.data.video import frame_files, natural_order
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator
from vmc.utils.text_files import normalize_label, read_lines

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
RELEASE = "20bn-jester-v1"
PUBLISHED = {"train": 118_562, "validation": 14_787, "test": 14_743}
"""Number of clips in each split of the whole data set."""
REGULARIZATION = {
    "Doing other things": "a person doing other things",
    "No gesture": "a person in front of a computer",
}
"""The paper's regularization classes and their captions (Sec. 4)."""
KEYS = {
    "path": "data.path",
    "exemplars": "data.source.exemplars",
    "regularization_count": "data.source.regularization_count",
    "split": "data.source.split",
}
"""Names of the settings of `Jester` in messages; the split has an empty name if it cannot be chosen."""


class Jester:
    """Exemplars and regularization clips drawn from a Jester folder, the same for the same seed.

    The folder is read only when clips are asked for.

    Args:
        path: the folder of the tables, its parent, or the folder of frames beside the tables.
        exemplars: clips drawn from the motion's class; the paper's 10.
        regularization: classes with the captions of their clips; the paper's two.
        regularization_count: clips drawn from each of these classes; the paper's 50.
        split: split that all are drawn from; the paper's validation split.
        keys: names of these settings in messages.
    """

    def __init__(
        self,
        path: Path | str | None,
        exemplars: int = 10,
        regularization: Mapping[str, str] = REGULARIZATION,
        regularization_count: int = 50,
        split: str = "validation",
        keys: Mapping[str, str] = KEYS,
    ) -> None:
        if exemplars < 1:
            raise VmcError(f"{keys['exemplars']} is {exemplars}; it must be at least 1")
        if regularization_count < 0:
            raise VmcError(f"{keys['regularization_count']} is {regularization_count}; it must be 0 or more")
        if split not in SPLITS:
            raise VmcError(f"{keys['split']} is {split!r}; it must be one of {', '.join(SPLITS)}")
        self.keys = keys
        self.path = None if path is None or not str(path) else check_path(path, key=keys["path"], missing=True)
        self.exemplar_count = exemplars
        self.regularization_captions = dict(regularization)
        self.regularization_count = regularization_count
        self.split = split

    def exemplars(self, *, label: str | None, caption: str | None, seed: int) -> list[Clip]:
        """Clips of the class `label`, drawn by seed and class; a VmcError if there are too few."""
        if caption is None:
            raise VmcError("motion.caption is not set: Jester's clips have no captions, so give one that holds {token}")
        return self._draw(label, caption, count=self.exemplar_count, seed=seed, role="exemplar")

    def regularization(self, *, seed: int) -> list[Clip]:
        """Clips of each regularization class, drawn by seed and class; errors as for `exemplars`."""
        clips: list[Clip] = []
        for label, caption in self.regularization_captions.items() if self.regularization_count else ():
            clips += self._draw(label, caption, count=self.regularization_count, seed=seed, role="regularization")
        return clips

    def held_out(self, *, label: str | None, seed: int) -> list[Clip]:
        """The clips of the class that are no exemplars of this seed, to score real videos of the motion."""
        drawn = self._draw(label, "", count=None, seed=seed, role="exemplar")
        if len(drawn) <= self.exemplar_count:
            leaves = f"{self.exemplar_count}, which leaves no clip of {label!r} held out"
            raise VmcError(f"{self.keys['exemplars']} is {leaves}; set it to less than {len(drawn)}")
        return drawn[self.exemplar_count :]

    def labels(self) -> list[str]:
        """The names of the classes, sorted."""
        if self.label_file is not None:
            return sorted(set(read_lines(self.label_file)))
        tables = [self.index(split) for split in self.splits() if split != "test"]
        return sorted(set(pd.concat(tables)["label"]) - {""})

    @property
    def label_file(self) -> Path | None:
        """The release's list of classes; the mirror has none."""
        root, mirror = self._layout
        file = root / "jester-v1-labels.csv"
        return file if file.is_file() and not mirror else None

    def splits(self) -> tuple[str, ...]:
        """The splits that have a table."""
        return tuple(split for split in SPLITS if self.table_file(split).is_file())

    def table_file(self, split: str) -> Path:
        """The file of a split's table, which may be missing."""
        return _table_file(*self._layout, split)

    def index(self, split: str) -> pd.DataFrame:
        """The table of a split in natural order of the ids: `id`, `label` (empty in the test split) and `frames` (their
        number, only in the mirror); a VmcError if the table is missing or broken.
        """
        file = self.table_file(split)
        if not file.is_file():
            raise VmcError(f"{file} does not exist: add the table of Jester's {split} split")
        format: dict[str, Any] = {"sep": ","} if self._layout[1] else {"sep": ";", "names": ["id", "label"]}
        try:
            table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", **format)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
            raise VmcError(f"{file} does not read as a table ({error}): download it again") from error
        table = table.rename(columns={"video_id": "id"})
        if "id" not in table:
            raise VmcError(f"{file} has the columns {', '.join(table.columns)}: it needs video_id and label")
        table = table.reindex(columns=["id", "label", "frames"], fill_value="").fillna("")
        table = table.apply(lambda column: column.str.strip())
        return table.sort_values("id", key=lambda ids: ids.map(natural_order), ignore_index=True)

    @explain_permissions()
    def frames_folder(self, split: str, id: str) -> Path:
        """Where a clip's frames lie, or should lie."""
        root, mirror = self._layout
        names = (split.capitalize() if mirror else RELEASE, "")
        folders = [folder / name / id for folder in (root, self.path or root) for name in names]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def known_label(self, label: str) -> str:
        """The label as Jester writes it; a VmcError names similar ones if there is none."""
        known, plain = {normalize_label(name): name for name in self.labels()}, normalize_label(label)
        if plain in known:
            return known[plain]
        near = [known[name] for name in difflib.get_close_matches(plain, known, n=3)] or known.values()
        raise VmcError(f"{label!r} is no label of Jester: use one of {', '.join(near)}")

    @cached_property
    @explain_permissions()
    def _layout(self) -> tuple[Path, bool]:
        """The folder of the tables (`path`, its parent, or a folder in it), and whether they are the mirror's."""
        key, path = self.keys["path"], self.path
        if path is None:
            raise VmcError(f"{key} is not set: give the folder that holds Jester's tables and frames")
        if not path.is_dir():
            raise VmcError(f"{key} is {path}, which is no folder: give the one with Jester's tables")
        # The 148,092 folders of frames are not listed if the tables are beside them.
        frames = path.name in (RELEASE, *map(str.capitalize, SPLITS))
        for inner in (False, True):
            near = [path.parent] if frames else sorted(filter(Path.is_dir, path.iterdir())) if inner else []
            for root, mirror in itertools.product([path, *near], (False, True)):
                if any(_table_file(root, mirror, split).exists() for split in SPLITS[:2]):
                    return root, mirror
        remedy = "put jester-v1-validation.csv or Validation.csv there, beside the frames"
        raise VmcError(f"{key} is {path}, where no table of Jester lies: {remedy}")

    def _draw(self, label: str | None, caption: str, *, count: int | None, seed: int, role: Role) -> list[Clip]:
        """`count` clips of a class, or all of them, in the order of the draw."""
        if label is None:
            raise VmcError("motion.label is not set: Jester holds 27 gestures, so name one of them, or use data=videos")
        label, index = self.known_label(label), self.index(self.split)
        index = index[index["label"].map(normalize_label) == normalize_label(label)].drop_duplicates("id")
        count = len(index) if count is None else count
        purpose, key = ("exemplars",) * 2 if role == "exemplar" else (role, "regularization_count")
        if len(index) < count:
            remedies = [f"set it to {len(index)} or less"] if len(index) else ["set it to 0"] * (role != "exemplar")
            remedies += [f"choose another {self.keys['split']}"] if self.keys["split"] else []
            has = f"but the {self.split} split has {len(index)} clips of {label!r}"
            raise VmcError(f"{self.keys[key]} is {count}, {has}: {', or '.join(remedies) or 'get the whole of Jester'}")
        logger.info(f"{self.keys['path']}: {count} of the {len(index)} clips of {label!r} in the {self.split} split")
        order = torch.randperm(len(index), generator=generator(seed, label, purpose))[:count].tolist()
        rows = index.iloc[order][["id", "frames"]].to_numpy().tolist()
        drawn = [(self.frames_folder(self.split, id), stated) for id, stated in rows]
        if missing := [folder for folder, _ in drawn if not folder.is_dir()]:
            told = f"the frames of {len(missing)} of the {count} clips drawn of {label!r} are missing"
            raise VmcError(f"{told}, the first in {missing[0]}: unpack all of Jester's frames there")
        clips = []
        for folder, stated in drawn:
            gap = _find_gap(frame_files(folder), stated)
            fault = gap and f"{gap}: unpack Jester's frames again"
            clips.append(Clip(path=folder, caption=caption, role=role, fault=fault))
        return clips


def _table_file(root: Path, mirror: bool, split: str) -> Path:
    return root / (f"{split.capitalize()}.csv" if mirror else f"jester-v1-{split}.csv")


def _find_gap(files: Sequence[Path], stated: str) -> str | None:
    """What is wrong with frames that should be numbered from 1 to the number in the table, a clause, or None."""
    for number, file in enumerate(files, start=1):
        if not file.stem.isdecimal():
            return f"holds {file.name}, which is no numbered frame"
        if int(file.stem) != number:
            return f"has no frame {number:05d}{file.suffix}"
    if stated.isdecimal() and int(stated) != len(files):
        return f"has {len(files)} frames, where the table says {stated}"
    return None


class SplitCheck(NamedTuple):
    """The result of checking a split."""

    split: str
    labels: Counter[str]  # clips of each class; "" for clips without a label
    summary: str  # how many clips are complete, and how long they are
    problem: str | None  # what is wrong, a clause; None also for a split that was never unpacked


def check_tables(jester: Jester, *, names: Sequence[str]) -> None:
    """Raise a VmcError for a class that is not in `names`, a training clip without one, and a clip in two rows."""
    clips = pd.concat([jester.index(split).assign(split=split) for split in jester.splits()], ignore_index=True)
    labels, known = clips["label"], jester.label_file or "Jester's 27 classes"
    for wrong, told in (
        (~labels.isin([*names, ""]), f"is not in {known}"),
        ((labels == "") & (clips["split"] != "test"), "is none"),
        (clips.duplicated("id"), "stands in two rows or splits"),
    ):
        for clip in clips[wrong].to_dict("records")[:1]:
            where = f"{jester.table_file(clip['split'])} holds clip {clip['id']} of the class {clip['label']!r}"
            raise VmcError(f"{where}, which {told}: download the tables again")


def check_split(jester: Jester, split: str) -> SplitCheck:
    """Check that no frame of a split's clips is missing; images are not opened."""
    index = jester.index(split)
    frames, missing, broken = [], [], []
    stated_frames = dict(zip(index["id"], index["frames"], strict=True))
    for id, stated in tqdm(stated_frames.items(), desc=split, unit="clip", disable=None, leave=False):
        folder = jester.frames_folder(split, id)
        files = frame_files(folder) if folder.is_dir() else []
        if not files:
            missing.append(id)
        elif reason := _find_gap(files, stated):
            broken.append(f"{id}: {folder} {reason}")
        else:
            frames.append(len(files))
    total, labels = len(index), Counter(index["label"])
    if len(missing) == total:
        return SplitCheck(split, labels, f"{split}: {total:,} clips in the table, none unpacked", None)
    told = f"{split}: {len(frames):,} of {total:,} clips complete"
    if frames:
        told += f", {min(frames)} to {max(frames)} frames, median {statistics.median(frames):g}"
    if short := sum(count < 16 for count in frames):
        told += f"; {short:,} shorter than 16 frames are padded by their last one"
    bad, what = (missing, "have no frames") if missing else (broken, "are broken")
    problem = f"{len(bad):,} of {total:,} {split} clips {what}, the first {bad[0]}" if bad else None
    return SplitCheck(split, labels, told, problem)
