"""The metrics of a config group, and all of them over all videos: one row a video, the invalid ones included.

Axes: B videos, F frames, C colours, H and W.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric, NamedClips, Record, RunContext
from vmc.metrics.columns import Measure, Value, check_apart, measures_of
from vmc.metrics.copying import COPY_THRESHOLD, Copying
from vmc.metrics.declared import BASE, columns_with
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks.classifiers import TRNClassifier, TSMClassifier
from vmc.metrics.networks.files import CopyNetwork, ImageTextNetwork
from vmc.metrics.networks.hugging_face import HuggingFaceClassifier
from vmc.metrics.quality import SETTINGS, Quality, as_uint8, problem
from vmc.utils.errors import VmcError

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


class Suite:
    """A list of metrics in YAML: under each name a metric, or null for none, which leaves its columns empty.

    Three of them are written as the network that they measure with. Network files are opened once: by `check`, or when
    the first video is scored.

    Args:
        classifier: of gestures, for `MotionAccuracy`.
        appearance: of images and texts, for `Appearance`.
        copying: descriptor of images, for `Copying`.
        copy_threshold: similarity above which a video counts as copied.
        metrics: all others; `quality` is there unless it is None.

    Raises:
        VmcError: something is no metric, or two metrics have a name, a column or a measure in common.
    """

    def __init__(
        self,
        *,
        classifier: TRNClassifier | TSMClassifier | HuggingFaceClassifier | None = None,
        appearance: ImageTextNetwork | None = None,
        copying: CopyNetwork | None = None,
        copy_threshold: float = COPY_THRESHOLD,
        **metrics: Metric | None,
    ) -> None:
        if not -1 <= copy_threshold <= 1:
            raise VmcError(f"metrics.copy_threshold is {copy_threshold}; a similarity lies between -1 and 1")
        chosen: dict[str, Any] = {"quality": Quality()}
        if classifier is not None:
            chosen["classifier"] = MotionAccuracy(classifier=classifier)
        if appearance is not None:
            chosen["appearance"] = Appearance(model=appearance)
        if copying is not None:
            chosen["copying"] = Copying(descriptor=copying, threshold=copy_threshold)
        chosen |= metrics
        self.metrics: dict[str, Metric] = {name: metric for name, metric in chosen.items() if metric is not None}
        self._check_apart()

    def _check_apart(self) -> None:
        names: dict[str, str] = {}
        for place, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise VmcError(f"metrics.{place} is {metric}, which is no metric; give one as _target_, or null")
            if not isinstance(metric.columns, tuple):
                raise VmcError(f"metrics.{place} has {metric.columns} as columns; give a tuple of declarations")
            if other := names.get(metric.name):
                raise VmcError(f"metrics.{other} and metrics.{place} are both the metric {metric.name}; take one out")
            names[metric.name] = place
        declared = [(f"metrics.{place}", column) for place, one in self.metrics.items() for column in one.columns]
        check_apart([*(("every table", column) for column in BASE), *declared])

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the metrics say of a run."""
        return measures_of(column for metric in self.metrics.values() for column in metric.columns)

    def missing_files(self) -> list[str]:
        """Each file that is not there, with the command that gets it."""
        return [missing for metric in self.metrics.values() for missing in metric.missing()]

    def check(self, *, target: str | None = None) -> None:
        """To be called before anything that takes long. The networks are opened, and stay open for use.

        Args:
            target: name of the motion's class; None for a motion without one.

        Raises:
            VmcError: naming all missing files, else the first that is not what it should be; an unknown class.
        """
        if missing := self.missing_files():
            files = "a file that is" if len(missing) == 1 else f"{len(missing)} files that are"
            raise VmcError(f"the metrics need {files} not there: {'; '.join(missing)}")
        for metric in self.metrics.values():
            metric.check(target=target)

    def evaluator(
        self,
        *,
        target: str | None,
        exemplars: NamedClips | None,
        regularization: NamedClips = (),
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> Evaluator:
        """The metrics of one motion; those that need clips read them.

        Args:
            target: name of the motion's class; None for a motion without one.
            exemplars: names and frames, at the training crop, all frames, not augmented; None where there are none to
                compare with (a folder of videos made by anything else), which leaves what needs them empty.
            regularization: likewise.
            cache: folder for what is made of the clips; None keeps nothing.
            device: where the networks run.

        Raises:
            VmcError: a missing file, one that does not fit, an unknown class, or clips without frames.
        """
        self.check()
        run = RunContext(target=target, exemplars=exemplars, regularization=regularization, cache=cache, device=device)
        begun = [metric.begin(run) for metric in self.metrics.values()]
        return Evaluator([metric for metric in begun if metric is not None])
