"""The metrics of a config group, and their application to videos: a row for each video, also for invalid ones.

Axes: B videos, F frames, C colors, H and W.
"""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric, Record, RunContext
from vmc.metrics.columns import Measure, Row, check_distinct, measures_of
from vmc.metrics.copying import COPY_THRESHOLD, Copying
from vmc.metrics.motion import Classified, MotionAccuracy
from vmc.metrics.networks.classifiers import GestureClassifier
from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.sscd import CopyNetwork
from vmc.metrics.quality import SETTINGS, Quality, as_uint8, problem
from vmc.metrics.scores import BASE, SUITE, columns_with
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)


class Evaluator:
    """Scores valid videos by all metrics. Invalid ones have the values that the columns declare for them."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = list(metrics)
        self.columns = columns_with(metrics)
        self._sizes: list[tuple[int, int]] = []  # height and width of videos, each once

    def score(self, videos: Tensor | Sequence[Tensor | None], records: Sequence[Record]) -> list[Row]:
        """Score videos of uint8, or of floats in 0..1, and give a row with all columns for each.

        Videos of a list may differ in size and number of frames; one that cannot be read is None.

        Raises:
            VmcError: another number of records, or frames of another type.
        """
        if len(videos) != len(records):
            raise VmcError(f"{len(videos)} videos came with {len(records)} records; give one for each")
        rows = [self._invalid(record) for record in records]
        alike: dict[tuple[int, ...], dict[int, Tensor]] = {}  # videos of one shape are scored together
        for index, (video, record) in enumerate(zip(videos, records, strict=True)):
            reason = problem(video)
            if video is not None:
                self._compare_size(video, record)
            if video is None or reason:
                log.info("%s counts as wrong: %s", record.video, reason)
            else:
                rows[index]["valid"] = True
                alike.setdefault(tuple(video.shape), {})[index] = as_uint8(video)
        for batch in alike.values():
            frames_BFCHW, chosen = torch.stack([*batch.values()]), [records[index] for index in batch]
            for metric in self.metrics:
                scores = metric.score(frames_BFCHW, chosen)
                for column in metric.columns:
                    for index, value in zip(batch, scores[column.name], strict=True):
                        rows[index][column.name] = value
        return rows

    def protocol(self) -> dict[str, Any]:
        """What the scores depend on: the description of each metric, by its name."""
        return {"validity": dict(SETTINGS), **{metric.name: metric.describe() for metric in self.metrics}}

    def _invalid(self, record: Record) -> Row:
        """The row of an invalid video."""
        row: Row = {column.name: None for column in self.columns}
        counted = (one for metric in self.metrics for one in metric.columns if one.counts_in(record.suite))
        row |= {column.name: column.invalid for column in counted}
        row |= {SUITE: record.suite} if record.suite else {}
        return row | {column.name: getattr(record, column.name, False) for column in BASE}  # `valid` is of no record

    def _compare_size(self, video: Tensor, record: Record) -> None:
        """Warn once where a video has another size than the first: every network scales what it is shown."""
        height, width = video.shape[-2:]
        if (height, width) in self._sizes:
            return
        self._sizes.append((height, width))
        if len(self._sizes) == 2:
            first = f"the first video {self._sizes[0][1]} x {self._sizes[0][0]}"
            log.warning(
                f"{record.video} is {width} x {height} px, {first}; each is scored at its own size, and stillness and"
                " dynamic degree compare less well between sizes"
            )


class Suite:
    """The metrics of a config: under each name a metric, or None, which leaves its columns empty.

    `classifier`, `appearance` and `copying` are given as the network that they measure with; `quality` is there unless
    it is None. `alignment_in_tables` is False where the appearance model cannot tell motions apart: text alignment is
    then measured, but stands in none of the paper's tables. Network files are opened once, by `check` or when the first
    video is scored. Two metrics of one name, column or measure are refused.
    """

    def __init__(
        self,
        *,
        classifier: GestureClassifier | None = None,
        appearance: ImageTextNetwork | None = None,
        copying: CopyNetwork | None = None,
        copy_threshold: float = COPY_THRESHOLD,
        alignment_in_tables: bool = True,
        **metrics: Metric | None,
    ) -> None:
        if not -1 <= copy_threshold <= 1:
            raise VmcError(f"metrics.copy_threshold is {copy_threshold}; a similarity lies between -1 and 1")
        shown = {"alignment_in_tables": alignment_in_tables}
        chosen: dict[str, Metric | None] = {
            "quality": Quality(),
            "classifier": MotionAccuracy(classifier=classifier) if classifier else None,
            "appearance": Appearance(model=appearance, **shown) if appearance else None,
            "copying": Copying(descriptor=copying, threshold=copy_threshold) if copying else None,
        }
        self.metrics = {name: metric for name, metric in (chosen | metrics).items() if metric is not None}
        names: dict[str, str] = {}
        for place, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise VmcError(f"metrics.{place} is {metric}, which is no metric; give one as _target_, or null")
            if other := names.get(metric.name):
                raise VmcError(f"metrics.{other} and metrics.{place} are both the metric {metric.name}; take one out")
            names[metric.name] = place
            if isinstance(metric, Classified):
                metric.classifier = metric.classifier or classifier
        declared = [(f"metrics.{place}", column) for place, one in self.metrics.items() for column in one.columns]
        check_distinct([*(("every table", column) for column in BASE), *declared])

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measures of all metrics."""
        return measures_of(column for metric in self.metrics.values() for column in metric.columns)

    def used(self, *, target: str | None) -> dict[str, Metric]:
        """The metrics of a motion. Without a class, metrics that ask for one are left out if they lack a file."""
        metrics = self.metrics.items()
        return {name: one for name, one in metrics if target is not None or not (one.asks_class and one.missing())}

    def missing_files(self, *, target: str | None) -> list[str]:
        """Missing files that are needed, each with the command that downloads it."""
        return [missing for metric in self.used(target=target).values() for missing in metric.missing()]

    def check(self, *, target: str | None = None) -> None:
        """Open the networks, which stay open for use; to be called before anything that takes long.

        The error names all missing files, or else the first damaged one or the unknown class.
        """
        if missing := self.missing_files(target=target):
            files = "a file that is" if len(missing) == 1 else f"{len(missing)} files that are"
            raise VmcError(f"the metrics need {files} not there: {'; '.join(missing)}")
        for metric in self.used(target=target).values():
            metric.check(target=target)

    def evaluator(self, run: RunContext) -> Evaluator:
        """Prepare the metrics for the videos of one run; those that need clips read them."""
        self.check(target=run.target)
        used = self.used(target=run.target)
        for name in self.metrics.keys() - used:
            missing = "; ".join(self.metrics[name].missing())
            log.info("metrics.%s is left out: the motion has no class, and %s is not there", name, missing)
        return Evaluator([own for metric in used.values() if (own := metric.begin(run)) is not None])
