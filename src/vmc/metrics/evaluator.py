"""All metrics over all videos: one row a video, the invalid ones included.

Axes: B videos, F frames, C colours, H and W.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from vmc.errors import VmcError
from vmc.metrics.base import Metric
from vmc.metrics.columns import Value, check_apart
from vmc.metrics.declared import BASE, columns_with
from vmc.metrics.record import Record
from vmc.metrics.validity import SETTINGS, as_uint8, problem

log = logging.getLogger(__name__)

Row = dict[str, Value]
"""A video's value of every column of `scores.csv`."""


class Evaluator:
    """Shows each valid video to all metrics and keeps the rows of all videos in the order they came.

    An invalid video has the values that the columns of its metrics declare for it.

    Args:
        metrics: of which no two have a column in common.

    Raises:
        VmcError: two have.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        check_apart((f"the metric {metric.name}", column) for metric in metrics for column in metric.columns)
        self.metrics = list(metrics)
        self.columns = columns_with(metrics)
        self._size: tuple[int, int] | None = None  # of the first video, which others are told apart from
        self._told = False
        self.reset()

    def reset(self) -> None:
        """Forget all videos, but not the size of the first."""
        for metric in self.metrics:
            metric.reset()
        self._records: list[tuple[Record, int | None]] = []  # the second: the place in the metrics' values
        self._scored = 0

    def update(self, frames_BFCHW: Tensor | Sequence[Tensor | None], records: Sequence[Record]) -> None:
        """Score these videos.

        Args:
            frames_BFCHW: a batch, or a list of videos, which may differ in their number of frames and in their size,
                each scored at its own; None for one that cannot be read. uint8, or floats in 0..1.
            records: one for each.

        Raises:
            VmcError: another number of records, or frames of another type. Nothing of this call is kept then.
        """
        videos = list(frames_BFCHW)
        if len(videos) != len(records):
            raise VmcError(f"{len(videos)} videos came with {len(records)} records; give one for each")
        reasons = [problem(video) for video in videos]
        self._tell_of_sizes(videos, records)
        alike: dict[tuple[int, ...], list[int]] = {}
        places: dict[int, int] = {}
        for index, (video, reason) in enumerate(zip(videos, reasons, strict=True)):
            if reason is None and video is not None:
                alike.setdefault(tuple(video.shape), []).append(index)
            else:
                log.info("%s counts as wrong: %s", records[index].video, reason)
        for indices in alike.values():
            batch = torch.stack([as_uint8(video) for index in indices if (video := videos[index]) is not None])
            for metric in self.metrics:
                metric.update(batch, [records[index] for index in indices])
            places |= {index: self._scored + place for place, index in enumerate(indices)}
            self._scored += len(indices)
        self._records += [(record, places.get(index)) for index, record in enumerate(records)]

    def rows(self) -> list[Row]:
        """One row a video with all columns, in the order they came."""
        values = {column: part for metric in self.metrics for column, part in metric.compute().items()}
        return [self._row(record, place, values) for record, place in self._records]

    def protocol(self) -> dict[str, Any]:
        """What the scores depend on: of each metric its network files with their SHA-256, and its settings."""
        return {"validity": dict(SETTINGS), **{metric.name: metric.describe() for metric in self.metrics}}

    def _row(self, record: Record, place: int | None, values: dict[str, list[Value]]) -> Row:
        row: Row = {column.name: None for column in self.columns}
        base = {column.name for column in BASE}
        row |= {name: value for name, value in asdict(record).items() if name in base}
        row["valid"] = place is not None
        if place is not None:
            return row | {column: part[place] for column, part in values.items()}
        return row | {column.name: column.invalid for metric in self.metrics for column in metric.columns}

    def _tell_of_sizes(self, videos: Sequence[Tensor | None], records: Sequence[Record]) -> None:
        """Warn once where a video has another size than the first: every network scales what it is shown."""
        for video, record in zip(videos, records, strict=True):
            if video is None or self._told:
                continue
            height, width = (int(side) for side in video.shape[-2:])
            self._size = self._size or (height, width)
            if (height, width) != self._size:
                log.warning(
                    "%s is %d x %d px, the first video %d x %d; each is scored at its own size, and stillness and"
                    " dynamic degree compare less well between sizes",
                    *(record.video, width, height, self._size[1], self._size[0]),
                )
                self._told = True
