"""Motion accuracy: whether a classifier takes a video for the motion that was to be learned (paper, Sec. 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vmc.metrics.base import StreamingMetric, Value
from vmc.metrics.classifiers import GestureClassifier, class_index
from vmc.metrics.record import Record


class MotionAccuracy(StreamingMetric):
    """Columns predicted, motion_correct, and motion_probability, the softmax at the motion's class.

    Args:
        classifier: of gestures.
        target: name of the motion's class; None for a motion without one, of which only `predicted` can be said.

    Raises:
        VmcError: the classifier knows no such class.
    """

    name = "motion"
    columns = ("predicted", "motion_correct", "motion_probability")

    def __init__(self, *, classifier: GestureClassifier, target: str | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.target = None if target is None else class_index(classifier.labels, target)

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""
        probabilities_BK = self.classifier.probabilities(frames_BFCHW)
        chosen = probabilities_BK.argmax(1).tolist()
        empty: list[Value] = [None] * len(records)
        return {
            "predicted": [self.classifier.labels[place] for place in chosen],
            "motion_correct": empty if self.target is None else [place == self.target for place in chosen],
            "motion_probability": empty if self.target is None else probabilities_BK[:, self.target].tolist(),
        }

    def describe(self) -> dict[str, Any]:
        """The classifier and the class."""
        target = None if self.target is None else self.classifier.labels[self.target]
        return {"classifier": self.classifier.describe(), "target": target}
