"""Common Objects in 3D, sequences in which a camera moves around an object (Reizenstein et al., ICCV 2021; CO3Dv2).

CATEGORY/SEQUENCE/images/frame000001.jpg ...   about 200 upright images of one turn, each sequence of its own size
CATEGORY/sequence_annotations.jgz              gzipped JSON: sequence_name, category, viewpoint_quality_score of each
CATEGORY/frame_annotations.jgz, set_lists/     cameras and splits, which are not read
"""

import difflib
import gzip
import json
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from vmc.data.checks import check_path, explain_permissions
from vmc.data.clips import Clip
from vmc.data.folder import VideoFolder
from vmc.data.video import frame_files, natural_order
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

TABLE = "sequence_annotations.jgz"
OBJECT = "[object]"
"""Placeholder in captions for the object of a sequence (paper, Fig. 4)."""
_TWO_WORDS = (
    *("toy bus", "toy plane", "toy train", "toy truck", "baseball bat", "baseball glove", "cell phone", "hair dryer"),
    *("hot dog", "parking meter", "stop sign", "teddy bear", "wine glass", "TV"),
)
"""Categories whose folders are not named as English writes them."""


def object_name(category: str) -> str:
    """The name of a category's objects with its article: "a toy bus", "an apple"."""
    written = {name.replace(" ", "").lower(): name for name in _TWO_WORDS}
    return with_article(written.get(category, category.replace("_", " ")))


def with_article(name: str) -> str:
    """The name with "a" or "an" before it, by its first letter."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


class _Sequence(NamedTuple):
    """A row of the annotations, and the folder that should hold its images."""

    name: str
    category: str
    quality: float | None
    images: Path


@dataclass(frozen=True)
class CO3D:
    """Exemplars drawn from CO3D's sequences, and captioned regularization clips if a second folder is given.

    Sequences are drawn uniformly among those that are annotated and unpacked, the same for the same seed.

    Args:
        path: the folder of the categories, or that of one category.
        count: sequences drawn; the paper's 10.
        caption: caption of every clip, with `{token}`, and with `[object]` for what it shows.
        categories: categories drawn from; None for all.
        sequences: names of sequences to take in place of drawing.
        min_quality: least viewpoint quality of a drawn sequence, as CO3D scores it; None for any.
        regularization_path: folder of the regularization clips, as in `VideoFolder`, or None.
    """

    path: Path | str | None
    count: int = 10
    caption: str = f"A camera {{token}} around {OBJECT}"
    categories: Sequence[str] | None = None
    sequences: Sequence[str] | None = None
    min_quality: float | None = None
    regularization_path: Path | str | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise VmcError(f"data.source.count is {self.count}; it must be at least 1")

    def exemplars(self, *, label: str | None = None, caption: str | None = None, seed: int = 0) -> list[Clip]:
        """The sequences that are named, else `count` drawn by seed; a VmcError if there are too few."""
        return self._clips(self._chosen(seed)[: None if self.sequences else self.count], caption)

    def regularization(self, *, seed: int = 0) -> list[Clip]:
        """The clips of `regularization_path`, none if that is None."""
        return VideoFolder(None, regularization_path=self.regularization_path).regularization(seed=seed)

    def held_out(self, *, label: str | None, seed: int) -> list[Clip]:
        """The sequences that are no exemplars of this seed: how good real videos of the motion score."""
        taken = {one.path for one in self.exemplars(seed=seed)}
        rest = [one for one in self._found() if one.images not in taken and one.images.is_dir()]
        if not rest:
            raise VmcError(f"data.source.count is {self.count}, which leaves no sequence held out; set it to less")
        return self._clips(rest, None)

    def _clips(self, sequences: Sequence[_Sequence], caption: str | None) -> list[Clip]:
        clips = []
        for one in sequences:
            text = (caption or self.caption).replace(OBJECT, object_name(one.category))
            fault = None if frame_files(one.images) else "holds no images: unpack the sequence's images again"
            clips.append(Clip(path=one.images, caption=text, role="exemplar", fault=fault))
        return clips

    @explain_permissions()
    def _chosen(self, seed: int) -> list[_Sequence]:
        """The named sequences in their order, else all in the order of the draw."""
        found = self._found()
        if self.sequences:
            by_name = {one.name: one for one in found}
            for name in self.sequences:
                if name not in by_name:
                    near = (difflib.get_close_matches(name, by_name, 1) or list(by_name))[0]
                    raise VmcError(f"data.source.sequences has {name!r}, which {TABLE} lacks: did you mean {near}?")
                if not by_name[name].images.is_dir():
                    raise VmcError(f"sequence {name} has no folder {by_name[name].images}: unpack its images there")
            return [by_name[name] for name in self.sequences]
        there = [one for one in found if one.images.is_dir()]
        if not there:
            raise VmcError(f"no sequence of {self.path} has images, the first not in {found[0].images}: unpack them")
        good = [one for one in there if self.min_quality is None or (one.quality or 0) >= self.min_quality]
        if len(good) < self.count:
            limit = f" of at least that quality ({self.min_quality:g})" if self.min_quality is not None else ""
            remedy = f"set it to {len(good)} or less" if good else "set data.source.min_quality lower"
            raise VmcError(f"data.source.count is {self.count}, but {len(good)} sequences{limit} are there: {remedy}")
        logger.info(f"data.path: {self.count} of {len(good)} sequences, which are {len(found)} in the annotations")
        order = torch.randperm(len(good), generator=generator(seed, "co3d", "exemplars")).tolist()
        return [good[place] for place in order]

    def _found(self) -> list[_Sequence]:
        """All annotated sequences of the chosen categories, by category and name."""
        root = check_path(self.path, key="data.path")
        folders = [root] if (root / TABLE).is_file() else sorted(file.parent for file in root.glob(f"*/{TABLE}"))
        if not folders:
            remedy = "give CO3D's folder, whose categories hold it, or a category's"
            raise VmcError(f"data.path is {root}, where no {TABLE} lies: {remedy}")
        known = {folder.name: folder for folder in folders}
        for name in self.categories or ():
            if name not in known:
                near = difflib.get_close_matches(name, known, 3) or known
                raise VmcError(f"data.source.categories names {name!r}, which is not there: use {', '.join(near)}")
        return [one for name in known if name in (self.categories or known) for one in _read(known[name])]


def _read(folder: Path) -> list[_Sequence]:
    """The sequences of a category, in natural order of their names."""
    file, rows = folder / TABLE, []
    try:
        for row in json.loads(gzip.decompress(file.read_bytes())):
            name, quality = str(row["sequence_name"]), row.get("viewpoint_quality_score")
            rows.append(_Sequence(name, str(row["category"]), quality, folder / name / "images"))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VmcError(f"{file} does not read as CO3D's annotations ({error!r}): download it again") from error
    if not rows:
        raise VmcError(f"{file} names no sequence: download it again")
    return sorted(rows, key=lambda one: natural_order(one.name))
