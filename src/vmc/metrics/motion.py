"""Motion accuracy: whether a classifier takes a video for the motion that was to be learned (paper, Sec. 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vmc.metrics.base import Metric, Record, RunContext
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.networks.classifiers import GestureClassifier, class_index

ACCURACY = Measure(
    "motion_accuracy", "Accuracy, %", how="share", digits=1, rank=0, tables=("table1", "table2"), curve=True
)


class MotionAccuracy(Metric):
    """Columns predicted, motion_correct, and motion_probability, the softmax at the motion's class.

    An invalid video counts as wrong, so that collapse cannot raise the accuracy. Of a motion without a class only
    `predicted` can be said.

    Args:
        classifier: of gestures.
    """

    name = "motion"
    columns: tuple[Column, ...] = (
        Column("predicted", kind="text", title="Classified as", invalid=""),
        Column("motion_correct", kind="truth", title="", invalid=False, measure=ACCURACY),
        Column("motion_probability", title="Probability of the motion"),
    )

    def __init__(self, *, classifier: GestureClassifier) -> None:
        self.classifier = classifier
        self.target: int | None = None

    def check(self, *, target: str | None = None) -> None:
        """Open the classifier and look up the class.

        Raises:
            VmcError: the file is not what it should be, or the classifier knows no such class.
        """
        super().check()
        if target is not None:
            class_index(self.classifier.labels, target)

    def prepare(self, run: RunContext) -> bool:
        """Look up the motion's class."""
        self.target = None if run.target is None else class_index(self.classifier.labels, run.target)
        if self.target is None:
            self.columns = type(self).columns[:1]
            self.reset()
        return True

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""
        probabilities_BK = self.classifier.probabilities(frames_BFCHW)
        chosen = probabilities_BK.argmax(1).tolist()
        predicted: dict[str, Sequence[Value]] = {"predicted": [self.classifier.labels[place] for place in chosen]}
        if self.target is None:
            return predicted
        return predicted | {
            "motion_correct": [place == self.target for place in chosen],
            "motion_probability": probabilities_BK[:, self.target].tolist(),
        }

    def describe(self) -> dict[str, Any]:
        """The classifier and the class."""
        target = None if self.target is None else self.classifier.labels[self.target]
        return {"classifier": self.classifier.describe(), "target": target}
