"""Captioned videos listed in a table as WebVid-10M's `results_*.csv` (Bain et al., ICCV 2021): the paper's
regularization clips for motions of internet videos.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from vmc.data.checks import check_path, explain_permissions
from vmc.data.clips import Clip
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

COLUMNS = ("videoid", "page_dir", "name")
"""A video's number, its folder, its caption; others (contentUrl, duration) are not read."""


@dataclass(frozen=True)
class WebVid:
    """Clips drawn from a table of captioned videos, the same for the same seed.

    A row's video is `page_dir/videoid.mp4` or `videoid.mp4` in the folder or in its `videos`; it is looked for when the
    row is drawn, as tables have millions of rows.

    Args:
        path: folder of the videos.
        csv: the table; None for the only one that lies in the folder.
        count: clips drawn; the paper's 100.
        words: draw among the captions that hold one of these alone, in upper or lower case; none for all.
        skip_bad: draw another row in place of one whose video is missing, saying how many, where otherwise it is an
            error.
    """

    path: Path | str | None
    csv: Path | str | None = None
    count: int = 100
    words: Sequence[str] = ()
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise VmcError(f"regularization.count is {self.count}; it must be at least 1")

    @explain_permissions()
    def regularization(self, *, seed: int = 0) -> list[Clip]:
        """The clips; a VmcError where the table cannot be read, has too few rows or names a video that is missing."""
        folder = check_path(self.path, key="regularization.path")
        file = self._table(folder)
        rows = self._rows(file)
        order = torch.randperm(len(rows), generator=generator(seed, "webvid", "regularization")).tolist()
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
            return check_path(self.csv, key="regularization.csv")
        if not folder.is_dir():
            raise VmcError(f"regularization.path is {folder}, which is no folder: give that of the videos")
        found = sorted(file for file in folder.glob("*.csv") if file.name != "captions.csv")
        if len(found) != 1:
            has = f"holds {len(found)} tables" if found else "holds no table"
            raise VmcError(f"regularization.path is {folder}, which {has}: give the one as regularization.csv=FILE")
        return found[0]

    def _rows(self, file: Path) -> pd.DataFrame:
        """The columns of all rows that have a caption and, where words are given, match."""
        try:
            head = pd.read_csv(file, nrows=0, encoding="utf-8-sig")
            names = {str(name).strip().lower(): name for name in head.columns}
            if lacking := [name for name in COLUMNS if name not in names]:
                raise VmcError(f"{file} has no column {lacking[0]}: its first line must name {', '.join(COLUMNS)}")
            wanted = [names[name] for name in COLUMNS]
            rows = pd.read_csv(file, usecols=wanted, dtype=str, keep_default_na=False, encoding="utf-8-sig")[wanted]
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise VmcError(f"{file} does not read as a table ({error}): download it again") from error
        captions = rows[names["name"]]
        wanted_words = "|".join(map(re.escape, self.words))
        return rows[(captions.str.strip() != "") & captions.str.contains(wanted_words, case=False)]
