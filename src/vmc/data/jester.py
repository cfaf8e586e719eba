"""Jester, a data set of people doing 27 hand gestures before a webcam (Materzynska et al., ICCV workshops 2019).

Two layouts on disk are read: the first release (`20bn-jester-v1/<id>/00001.jpg`, tables without header, separated by
semicolons) and a later mirror (`Train/<id>/`, `Train.csv` with header, separated by commas).
"""

import difflib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from vmc.data.clips import Clip, Role
from vmc.data.completeness import gap
from vmc.data.limits import checked_path, entries, exists, is_folder
from vmc.data.video import frame_files, natural_order
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator
from vmc.utils.text_files import normalize_label, read_lines

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
RELEASE = "20bn-jester-v1"
_FRAMES_FOLDERS = (RELEASE, *(split.capitalize() for split in SPLITS))
REGULARIZATION = {
    "Doing other things": "a person doing other things",
    "No gesture": "a person in front of a computer",
}
"""The paper's regularization classes and their captions (Sec. 4)."""


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a Jester folder lie."""

    root: Path
    mirror: bool

    def table(self, split: str) -> Path:
        return self.root / (f"{split.capitalize()}.csv" if self.mirror else f"jester-v1-{split}.csv")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What the user of a `Jester` calls its settings, for messages: keys of the configuration, or options.

    Where the split cannot be chosen, it has no name.
    """

    path: str = "data.path"
    exemplars: str = "data.source.exemplars"
    regularization_count: str = "data.source.regularization_count"
    split: str = "data.source.split"


KEYS = Keys()


class Jester:
    """Exemplars and regularization clips drawn from a Jester folder, the same for the same seed.

    Args:
        path: the folder with the tables, its parent, or the folder of frames beside the tables.
        exemplars: clips drawn of the motion's class; the paper's 10.
        regularization: classes and the captions of their clips; the paper's two.
        regularization_count: clips drawn of each of these classes; the paper's 50.
        split: where all of them are drawn from; the paper's validation split.
        keys: what messages call these settings.

    Raises:
        VmcError: a count or split that cannot be. The folder is looked at only when clips are asked for.
    """

    def __init__(
        self,
        path: Path | str | None,
        exemplars: int = 10,
        regularization: Mapping[str, str] = REGULARIZATION,
        regularization_count: int = 50,
        split: str = "validation",
        keys: Keys = KEYS,
    ) -> None:
        self.keys = keys
        if exemplars < 1:
            raise VmcError(f"{keys.exemplars} is {exemplars}; it must be at least 1")
        if regularization_count < 0:
            raise VmcError(f"{keys.regularization_count} is {regularization_count}; it must be 0 or more")
        self._check_split(split)
        self.path = None if path is None or not str(path) else checked_path(path, key=keys.path, missing=True)
        self.exemplar_count = exemplars
        self.regularization_captions = dict(regularization)
        self.regularization_count = regularization_count
        self.split = split

    def exemplars(self, *, label: str | None, caption: str | None, seed: int) -> list[Clip]:
        """Clips of the class `label`, drawn by seed and class.

        Raises:
            VmcError: no label or caption, an unknown label, too few clips, or frames that are missing.
        """
        if label is None:
            raise VmcError("motion.label is not set: Jester holds 27 gestures, so name one of them, or use data=videos")
        if caption is None:
            raise VmcError("motion.caption is not set: Jester's clips have no captions, so give one that holds {token}")
        return self._draw(label, caption, count=self.exemplar_count, seed=seed, role="exemplar")

    def regularization(self, *, seed: int) -> list[Clip]:
        """Clips of each regularization class, drawn by seed and class.

        Raises:
            VmcError: an unknown label, too few clips, or frames that are missing.
        """
        if not self.regularization_count:
            return []
        return [
            clip
            for label, caption in self.regularization_captions.items()
            for clip in self._draw(label, caption, count=self.regularization_count, seed=seed, role="regularization")
        ]

    def held_out(self, *, label: str | None, seed: int) -> list[Clip]:
        """The clips of the class that are no exemplars of this seed: how good real videos of the motion score.

        Raises:
            VmcError: as `exemplars`, or no clip is left.
        """
        if label is None:
            raise VmcError("motion.label is not set, so there are no held-out clips of the motion; name its class")
        label = self.known_label(label)
        index = self.index(self.split)
        total = int((index["label"].map(normalize_label) == normalize_label(label)).sum())
        drawn = self._draw(label, "", count=total, seed=seed, role="exemplar")[self.exemplar_count :]
        if not drawn:
            raise VmcError(
                f"{self.keys.exemplars} is {self.exemplar_count}, which leaves no clip of {label!r} held out;"
                f" set it to less than {total}"
            )
        return drawn

    def labels(self) -> list[str]:
        """The names of the classes, sorted."""
        layout = self._layout
        names = layout.root / "jester-v1-labels.csv"
        if not layout.mirror and names.is_file():
            return sorted(set(read_lines(names)))
        tables = [self.index(split) for split in SPLITS[:2] if layout.table(split).is_file()]
        return sorted(set(pd.concat(tables)["label"]) - {""})

    def index(self, split: str) -> pd.DataFrame:
        """Columns `id` and `label` of a split, in natural order of the ids; the test split's labels may be empty.

        Raises:
            VmcError: no such split, or its table is missing or broken.
        """
        table = self._table(split).reindex(columns=["id", "label"], fill_value="").fillna("")
        table = table.apply(lambda column: column.str.strip())
        return table.sort_values("id", key=lambda ids: ids.map(natural_order), ignore_index=True)

    def stated_frames(self, split: str) -> dict[str, int]:
        """How many frames each clip has, where the table says so: the mirror's.

        Raises:
            VmcError: as `index`.
        """
        table = self._table(split)
        if "frames" not in table:
            return {}
        known = table[table["frames"].fillna("").str.fullmatch(r"\s*[0-9]+\s*")]
        return {id.strip(): int(frames) for id, frames in zip(known["id"], known["frames"], strict=True)}

    def splits(self) -> tuple[str, ...]:
        """Those whose tables are there.

        Raises:
            VmcError: no Jester folder.
        """
        return tuple(split for split in SPLITS if self._layout.table(split).is_file())

    def table_file(self, split: str) -> Path:
        """Where a split's table lies, or should lie."""
        return self._layout.table(split)

    def _table(self, split: str) -> pd.DataFrame:
        self._check_split(split)
        layout = self._layout
        file = layout.table(split)
        if not file.is_file():
            raise VmcError(f"{file} does not exist: add the table of Jester's {split} split")
        names = None if layout.mirror else ["id", "label"]
        try:
            table = pd.read_csv(
                file,
                sep="," if layout.mirror else ";",
                names=names,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
            )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
            raise VmcError(f"{file} does not read as a table ({error}): download it again") from error
        table = table.rename(columns={"video_id": "id"})
        if "id" not in table:
            raise VmcError(f"{file} has the columns {', '.join(table.columns)}: it needs video_id and label")
        return table

    def frames_folder(self, split: str, id: str) -> Path:
        """Where a clip's frames lie, or should lie.

        Raises:
            VmcError: no such split, or no Jester folder.
        """
        self._check_split(split)
        layout = self._layout
        names = (split.capitalize() if layout.mirror else RELEASE, "")
        folders = [root / name / id for root in (layout.root, self.path or layout.root) for name in names]
        return next((folder for folder in folders if is_folder(folder)), folders[0])

    @cached_property
    def _layout(self) -> _Layout:
        for root in self._roots():
            for mirror in (False, True):
                layout = _Layout(root, mirror)
                if any(exists(layout.table(split)) for split in SPLITS[:2]):
                    return layout
        raise VmcError(
            f"{self.keys.path} is {self.path}, where no table of Jester lies: "
            "put jester-v1-validation.csv or Validation.csv there, beside the frames"
        )

    def _roots(self) -> Iterator[Path]:
        """Where the tables may lie: in `path`, beside it if it is the folder of frames, else one level below it."""
        if self.path is None:
            raise VmcError(f"{self.keys.path} is not set: give the folder that holds Jester's tables and frames")
        if not is_folder(self.path):
            raise VmcError(f"{self.keys.path} is {self.path}, which is no folder: give the one with Jester's tables")
        yield self.path
        if self.path.name in _FRAMES_FOLDERS:
            # It has 148,092 sub-folders, which are not looked through.
            yield self.path.parent
        else:
            yield from sorted(folder for folder in entries(self.path) if is_folder(folder))

    def _draw(self, label: str, caption: str, *, count: int, seed: int, role: Role) -> list[Clip]:
        label = self.known_label(label)
        index = self.index(self.split)
        ids = index["id"][index["label"].map(normalize_label) == normalize_label(label)].drop_duplicates().tolist()
        if len(ids) < count:
            key = self.keys.exemplars if role == "exemplar" else self.keys.regularization_count
            remedies = [f"set it to {len(ids)} or less"] if ids else []
            remedies += [f"choose another {self.keys.split}"] if self.keys.split else []
            raise VmcError(
                f"{key} is {count}, but the {self.split} split has {len(ids)} clips of {label!r}: "
                f"{', or '.join(remedies) or 'get the whole of Jester'}"
            )
        logger.info(f"{self.keys.path}: {count} of the {len(ids)} clips of {label!r} in the {self.split} split")
        purpose = "exemplars" if role == "exemplar" else role
        order = torch.randperm(len(ids), generator=generator(seed, label, purpose))[:count].tolist()
        folders = [self.frames_folder(self.split, ids[place]) for place in order]
        if missing := [folder for folder in folders if not is_folder(folder)]:
            raise VmcError(
                f"the frames of {len(missing)} of the {count} clips drawn of {label!r} are missing, "
                f"the first in {missing[0]}: unpack all of Jester's frames there"
            )
        stated = self.stated_frames(self.split) if self._layout.mirror else {}
        faults = [gap(frame_files(folder), stated.get(folder.name)) for folder in folders]
        return [
            Clip(path=folder, caption=caption, role=role, fault=fault and f"{fault}: unpack Jester's frames again")
            for folder, fault in zip(folders, faults, strict=True)
        ]

    def _check_split(self, split: str) -> None:
        if split not in SPLITS:
            raise VmcError(f"{self.keys.split} is {split!r}; it must be one of {', '.join(SPLITS)}")

    def known_label(self, label: str) -> str:
        """The label as Jester writes it.

        Raises:
            VmcError: there is none like it.
        """
        known = {normalize_label(name): name for name in self.labels()}
        if normalize_label(label) in known:
            return known[normalize_label(label)]
        near = [known[name] for name in difflib.get_close_matches(normalize_label(label), known, n=3)] or known.values()
        raise VmcError(f"{label!r} is no label of Jester: use one of {', '.join(near)}")
