"""Clips of other motions that preserve the base model's knowledge while it learns one (paper, Eq. 3, Table 2e)."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from vmc.data.checks import check_path, explain_permissions
from vmc.data.clips import Clip
from vmc.data.folder import VideoFolder
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

Mix = Literal["paired", "union"]
"""`paired`: every draw is an exemplar and a regularization clip (the release); `union`: one of either (Eq. 3)."""
Ratio = Literal["over_clips", "balanced"]
"""In a union, `over_clips` makes all clips equally likely (10 of 110 draws are exemplars), `balanced` both kinds."""
CSV_COLUMNS = ("videoid", "page_dir", "name")
"""A video's number, its folder, its caption; others (contentUrl, duration) are not read."""


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Clips beside the exemplars, and how a step mixes the two.

    Args:
        source: the run's `ClipSource`.
        seed: seed of the run; equal sources and seeds give equal clips.
        base_videos: makes videos with the base model.
        mix: how a step draws from both.
        weight: weight of the regularization loss in a pair.
        ratio: how likely each kind is in a union.
        variants: variants of each clip that are encoded and drawn from.
    """

    source: Any = None
    seed: int = 0
    base_videos: Any = None
    mix: Mix = "paired"
    weight: float = 0.5
    ratio: Ratio = "balanced"
    variants: int = 4

    def __post_init__(self) -> None:
        for name, value, least in (("weight", self.weight, 0), ("variants", self.variants, 1)):
            if not value >= least:
                raise VmcError(f"regularization.{name} is {value}; it must be at least {least}")

    def clips(self) -> list[Clip]:
        """The regularization clips: here none."""
        return []


@dataclass(frozen=True, kw_only=True)
class NoRegularization(Regularization):
    """The exemplars alone (Table 2e, "None")."""


@dataclass(frozen=True, kw_only=True)
class RealRegularization(Regularization):
    """Real videos of related motions, not augmented: those in the folder `path`, else those of the data source. The
    release pairs them with the exemplars, with a weight of 0.5.
    """

    path: str | Path | None = None

    def clips(self) -> list[Clip]:
        """The videos; a VmcError if there are none."""
        source = self.source if self.path is None else VideoFolder(self.path, regularization_path=self.path)
        clips = source.regularization(seed=self.seed)
        if not clips:
            raise VmcError(
                "regularization=real has no source: this data offers no related clips;"
                " set regularization.path to a folder of captioned videos, or use regularization=none"
            )
        return clips


@dataclass(frozen=True, kw_only=True)
class WebVidRegularization(Regularization):
    """Real videos of all kinds, drawn from a table of captions such as WebVid-10M's `results_*.csv` (Bain et al., ICCV
    2021; paper, for motions of internet videos), the same for the same seed.

    A row's video is `page_dir/videoid.mp4` or `videoid.mp4` in the folder or in its `videos`; it is looked for when the
    row is drawn, as tables have millions of rows.

    Args:
        path: folder of the videos.
        csv: the table; None for the only one that lies in the folder.
        count: clips drawn; the paper's 100.
        words: draw only rows whose caption contains one of these words, in any case; none draws from all.
        skip_bad: draw another row in place of one whose video is missing, and log how many; else that is an error.
    """

    path: str | Path | None = None
    csv: str | Path | None = None
    count: int = 100
    words: Sequence[str] = ()
    skip_bad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count < 1:
            raise VmcError(f"regularization.count is {self.count}; it must be at least 1")

    @explain_permissions()
    def clips(self) -> list[Clip]:
        """The videos; a VmcError if the table cannot be read, has too few rows or names a video that is missing."""
        folder = check_path(self.path, key="regularization.path")
        file = self._table(folder)
        rows = self._rows(file)
        order = torch.randperm(len(rows), generator=generator(self.seed, "webvid", "regularization")).tolist()
        clips, missing = list[Clip](), 0
        for place in order:
            if len(clips) == self.count:
                break
            identity, page, caption = (str(value).strip() for value in rows.iloc[place])
            places = [root / part / f"{identity}.mp4" for root in (folder, folder / "videos") for part in (page, "")]
            if (video := next(filter(Path.is_file, places), None)) is not None:
                # Braces stand for placeholders in captions.
                text = " ".join(caption.replace("{", "(").replace("}", ")").split())
                clips.append(Clip(path=video, caption=text, role="regularization"))
            elif self.skip_bad:
                missing += 1
            else:
                remedy = "download it, or set data.skip_bad=true to draw another row"
                raise VmcError(f"{file} names {identity!r}, whose video {places[0]} does not exist: {remedy}")
        if missing:
            logger.warning(f"skipped, {len(clips)} of {len(clips) + missing} rows drawn of {file} have a video")
        if len(clips) < self.count:
            such = f"{len(clips)} rows{' that match' * bool(self.words)}{' with a video' * self.skip_bad}"
            raise VmcError(f"regularization.count is {self.count}, but {file} has {such}: set it to that or less")
        return clips

    def _table(self, folder: Path) -> Path:
        if self.csv is not None:
            if not (file := Path(self.csv).expanduser()).is_file():
                has = "is a folder" if file.is_dir() else "does not exist"
                raise VmcError(f"regularization.csv is {file}, which {has}: give the table of the videos' captions")
            return file
        if not folder.is_dir():
            raise VmcError(f"regularization.path is {folder}, which is no folder: give that of the videos")
        found = sorted(file for file in folder.glob("*.csv") if file.name != "captions.csv")
        if len(found) != 1:
            has = f"holds {len(found)} tables" if found else "holds no table"
            raise VmcError(f"regularization.path is {folder}, which {has}: give the one as regularization.csv=FILE")
        return found[0]

    def _rows(self, file: Path) -> pd.DataFrame:
        """The rows that have a caption and contain one of the words, if there are any."""
        try:
            head = pd.read_csv(file, nrows=0, encoding="utf-8-sig")
            names = {str(name).strip().lower(): name for name in head.columns}
            if lacking := [name for name in CSV_COLUMNS if name not in names]:
                raise VmcError(f"{file} has no column {lacking[0]}: its first line must name {', '.join(CSV_COLUMNS)}")
            wanted = [names[name] for name in CSV_COLUMNS]
            rows = pd.read_csv(file, usecols=wanted, dtype=str, keep_default_na=False, encoding="utf-8-sig")[wanted]
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise VmcError(f"{file} does not read as a table ({error}): download it again") from error
        captions = rows[names["name"]]
        wanted_words = "|".join(map(re.escape, self.words))
        return rows[(captions.str.strip() != "") & captions.str.contains(wanted_words, case=False)]
