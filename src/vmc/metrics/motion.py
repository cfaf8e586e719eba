"""Motion accuracy: whether a classifier recognizes the motion that was to be learned (paper, Sec. 4).

Motion fidelity: whether a video moves as the exemplars do (Yatim et al., 2023, "Space-Time Diffusion Features for
Zero-Shot Text-Driven Motion Transfer", Sec. 5), with points tracked by OpenCV in place of CoTracker.

Axes: B videos, F frames, C colors, H and W, N points of one video, M of the other, T steps between frames.
"""

import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vmc.metrics.base import Metric, Record, RunContext, Scores
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.networks.classifiers import GestureClassifier, class_index
from vmc.utils.errors import VmcError

TABLES = ("table1", "table2")
ACCURACY = Measure("motion_accuracy", "Accuracy, %", how="share", digits=1, rank=0, tables=TABLES, curve=True)


class Classified(Metric):
    """Base class of metrics that use a gesture classifier. A classifier of None is that of `metrics.classifier`."""

    asks_class = True

    def __init__(self, *, classifier: GestureClassifier[Any] | None = None) -> None:
        self.classifier = classifier
        self.target: int | None = None

    @property
    def known(self) -> GestureClassifier[Any]:
        """The classifier; there being none is an error."""
        if self.classifier is None:
            raise VmcError(
                f"metrics.{self.name} needs a gesture classifier, and metrics.classifier is null; give one, or"
                f" metrics.{self.name}=null"
            )
        return self.classifier

    def check(self, *, target: str | None = None) -> None:
        """Open the classifier and look up the class."""
        labels = self.known.labels
        super().check()
        if target is not None:
            class_index(labels, target)

    def prepare(self, run: RunContext) -> bool:
        """Look up the motion's class; motions without one have no such scores."""
        self.target = None if run.target is None else class_index(self.known.labels, run.target)
        return self.target is not None

    def describe(self) -> dict[str, Any]:
        """The classifier and the class."""
        target = None if self.target is None else self.known.labels[self.target]
        return {"classifier": self.known.describe(), "target": target}


class MotionAccuracy(Classified):
    """Columns predicted, motion_correct, and motion_probability, the softmax at the motion's class.

    Invalid videos count as wrong, so that a collapsed model does not score higher. Motions without a class have
    `predicted` only.
    """

    name = "motion"
    columns: tuple[Column, ...] = (
        Column("predicted", kind="text", title="Classified as", invalid=""),
        Column("motion_correct", kind="truth", title="", invalid=False, measure=ACCURACY),
        Column("motion_probability", title="Probability of the motion"),
    )

    def prepare(self, run: RunContext) -> bool:
        """Look up the motion's class."""
        self.columns = type(self).columns[: None if super().prepare(run) else 1]
        return True

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Classify the videos."""
        probabilities_BK = self.known.probabilities(frames_BFCHW)
        chosen = probabilities_BK.argmax(1).tolist()
        scores: dict[str, Sequence[Value]] = {"predicted": [self.known.labels[place] for place in chosen]}
        if self.target is not None:
            scores["motion_correct"] = [place == self.target for place in chosen]
            scores["motion_probability"] = probabilities_BK[:, self.target].tolist()
        return scores


SIDE = 128  # px of the shorter side when points are tracked; with less, a hand is only a few px wide
WINDOW, LEVELS = 21, 3  # px around a point that are matched, and pyramid levels: enough for the strides of a hand
POINTS = 16  # of the grid along each side
MOVED = 0.06  # of the shorter side; a point whose path is shorter rests, and its direction is noise

Array = NDArray[np.float32]


class MotionFidelity(Metric):
    """Column motion_fidelity: how well the tracks of a video and of the most similar exemplar match, from -1 to 1.

    A grid of points is tracked through the frames by pyramidal Lucas-Kanade (`cv2.calcOpticalFlowPyrLK`), which needs
    no network; exemplars are sampled at as many evenly spaced frames as the video has. Each track of either video is
    matched with the track of the other that it correlates with best; the score is the mean of these maxima over both
    sets, half the sum of the paper's equation. The best exemplar counts, not the mean: people perform a gesture at
    their own pace, and a video that moves as one of them has learned it. So scores are comparable between runs with
    the same exemplars only.

    It measures directions of motion and their order in time, anywhere in the picture, but not who or what moves, how
    far, or the shape of a hand. Points start in the first frame, so what enters the picture later is seen only where it
    drags them along. Strides beyond a quarter of the picture, blur and plain surfaces are lost. Motion of the camera
    counts as motion.

    Args:
        steps: `length` weights each step by how far a point moved in it, so that noise at rest counts little; `equal`
            is the paper's correlation, the mean cosine over steps.
    """

    name = "motion_fidelity"
    columns = (Column("motion_fidelity", measure=Measure("motion_fidelity", "Motion fidelity")),)

    def __init__(self, *, steps: Literal["length", "equal"] = "length") -> None:
        if steps not in ("length", "equal"):
            raise VmcError(f"metrics.motion_fidelity.steps is {steps}; it must be length or equal")
        self.steps = steps

    def missing(self) -> list[str]:
        """The package OpenCV, where it is not installed."""
        return [] if find_spec("cv2") else ["opencv-python-headless (pip install 'vmc[tracks]')"]

    def prepare(self, run: RunContext) -> bool:
        """Keep the exemplars as small gray frames."""
        if run.exemplars is None:
            return False
        self._exemplars = [gray(frames_FCHW) for _, frames_FCHW in run.exemplars]
        if not self._exemplars:
            raise VmcError("there are no exemplars to compare motion with; give the clips that the model learned from")
        self._directions: dict[int, list[Array]] = {}  # of the exemplars, by the number of frames
        return True

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Track points and compare their tracks with those of the exemplars."""
        count = frames_BFCHW.shape[1]
        if count not in self._directions:
            sampled = [frames[np.linspace(0, len(frames) - 1, count).round().astype(int)] for frames in self._exemplars]
            self._directions[count] = [directions(track(frames), steps=self.steps) for frames in sampled]
        values: list[Value] = []
        for frames_FCHW in frames_BFCHW:
            own = directions(track(gray(frames_FCHW)), steps=self.steps)
            values.append(max(fidelity(own, other) for other in self._directions[count]))
        return {"motion_fidelity": values}

    def describe(self) -> dict[str, Any]:
        """The settings of tracking and comparing, and the exemplars."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(frames.tobytes()).digest() for frames in self._exemplars))
        tracker = {"side": SIDE, "window": WINDOW, "levels": LEVELS, "points": POINTS, "moved": MOVED}
        exemplars = {"clips": len(self._exemplars), "sha256": digest.hexdigest()}
        return {"tracker": {"kind": "pyramidal Lucas-Kanade", **tracker}, "steps": self.steps, "exemplars": exemplars}


def gray(frames_FCHW: Tensor) -> NDArray[np.uint8]:
    """Convert frames to gray frames_FHW whose shorter side has `SIDE` px."""
    cv2: Any = import_module("cv2")  # an extra, whose types are not always there
    height, width = frames_FCHW.shape[-2:]
    scale = SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    pictures = frames_FCHW.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return np.stack([cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size) for picture in pictures])


def track(frames_FHW: NDArray[np.uint8]) -> Array:
    """tracks_NF2: positions of a grid of points in every gray frame, in shorter sides; lost points stay in place."""
    cv2: Any = import_module("cv2")
    height, width = frames_FHW.shape[1:]
    rows, columns = (side * (np.arange(POINTS, dtype=np.float32) + 0.5) / POINTS for side in (height, width))
    tracks = [np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)]
    for frame_HW, next_HW in pairwise(frames_FHW):
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            frame_HW, next_HW, tracks[-1][:, None], None, winSize=(WINDOW, WINDOW), maxLevel=LEVELS
        )
        tracks.append(np.where(status == 1, found[:, 0], tracks[-1]))
    return np.stack(tracks, axis=1) / min(height, width)


def directions(tracks_NF2: Array, *, steps: str) -> Array:
    """directions_MD of moving tracks, of length one, so that the product of two is the correlation of their tracks."""
    strides_NT2 = np.diff(tracks_NF2, axis=1)
    lengths_NT1 = np.linalg.norm(strides_NT2, axis=-1, keepdims=True)
    if steps == "equal":
        still = MOVED / strides_NT2.shape[1]
        strides_NT2 = np.where(lengths_NT1 > still, strides_NT2 / np.maximum(lengths_NT1, still), 0)
    moved_MD = strides_NT2[lengths_NT1.sum((1, 2)) > MOVED].reshape(-1, 2 * strides_NT2.shape[1])
    norm = np.sqrt(strides_NT2.shape[1]) if steps == "equal" else np.linalg.norm(moved_MD, axis=1, keepdims=True)
    return moved_MD / norm


def fidelity(one_ND: Array, other_MD: Array) -> float:
    """Mean of each track's best correlation with the other set, over both sets; 0 where a set is empty."""
    if not len(one_ND) or not len(other_MD):
        return 0.0
    correlation_NM = one_ND @ other_MD.T
    return float((correlation_NM.max(1).mean() + correlation_NM.max(0).mean()) / 2)


def share_and_all(suite: str, *, share: str, both: str) -> tuple[Column, ...]:
    """Columns for the share of correct parts of a video, and for whether all are correct, with titles of measures."""
    parts = Measure(f"{suite}_share", share, digits=3)
    whole = Measure(f"{suite}_all", both, how="share", digits=1)
    return (
        Column(parts.name, invalid=0.0, suites=(suite,), measure=parts),
        Column(whole.name, kind="truth", invalid=False, suites=(suite,), measure=whole),
    )


class SuiteAccuracy(Classified):
    """Base class of metrics that classify parts of the videos of one suite."""

    suite: str

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Score the videos of the suite; others have no value."""
        chosen = [place for place, record in enumerate(records) if record.suite == self.suite]
        scores: dict[str, list[Value]] = {column.name: [None] * len(records) for column in self.columns}
        if chosen:
            right_BP = self.right(frames_BFCHW[chosen], [records[place] for place in chosen])
            for place, right_P in zip(chosen, right_BP.tolist(), strict=True):
                share, whole = (column.name for column in self.columns)
                scores[share][place], scores[whole][place] = sum(right_P) / len(right_P), all(right_P)
        return scores

    def right(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Tensor:
        """right_BP: whether each part of each video shows what it should."""
        raise NotImplementedError

    def classify(self, frames_BFCHW: Tensor) -> Tensor:
        """Predict classes_B of videos of any length."""
        return self.known.probabilities(frames_BFCHW).argmax(1)
