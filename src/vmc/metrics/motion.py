"""Motion accuracy: whether a classifier takes a video for the motion that was to be learned (paper, Sec. 4)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vmc.metrics.base import Metric, Record, RunContext, Scores
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.networks.classifiers import GestureClassifier, class_index

TABLES = ("table1", "table2")
ACCURACY = Measure("motion_accuracy", "Accuracy, %", how="share", digits=1, rank=0, tables=TABLES, curve=True)


class MotionAccuracy(Metric):
    """Columns predicted, motion_correct, and motion_probability, the softmax at the motion's class.

    An invalid video counts as wrong, so that collapse cannot raise the accuracy. Of a motion without a class only
    `predicted` can be said.
    """

    name = "motion"
    columns: tuple[Column, ...] = (
        Column("predicted", kind="text", title="Classified as", invalid=""),
        Column("motion_correct", kind="truth", title="", invalid=False, measure=ACCURACY),
        Column("motion_probability", title="Probability of the motion"),
    )

    def __init__(self, *, classifier: GestureClassifier[Any]) -> None:
        self.classifier = classifier
        self.target: int | None = None

    def check(self, *, target: str | None = None) -> None:
        """Open the classifier and look up the class."""
        super().check()
        if target is not None:
            class_index(self.classifier.labels, target)

    def prepare(self, run: RunContext) -> bool:
        """Look up the motion's class."""
        self.target = None if run.target is None else class_index(self.classifier.labels, run.target)
        self.columns = type(self).columns[: 1 if self.target is None else None]
        return True

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Classify the videos."""
        probabilities_BK = self.classifier.probabilities(frames_BFCHW)
        chosen = probabilities_BK.argmax(1).tolist()
        scores: dict[str, Sequence[Value]] = {"predicted": [self.classifier.labels[place] for place in chosen]}
        if self.target is not None:
            scores["motion_correct"] = [place == self.target for place in chosen]
            scores["motion_probability"] = probabilities_BK[:, self.target].tolist()
        return scores

    def describe(self) -> dict[str, Any]:
        """The classifier and the class."""
        target = None if self.target is None else self.classifier.labels[self.target]
        return {"classifier": self.classifier.describe(), "target": target}
