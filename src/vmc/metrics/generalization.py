"""Whether a learned motion generalizes (paper, Sec. 4.3): to several people, to another speed, and to a sequence with
another gesture. Each metric scores only the videos of its own suites of the test set.

Axes: B videos, F frames, T steps between frames, C colors, H and W.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.metrics.base import Metric, Record, Scores
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.motion import Classified
from vmc.metrics.networks.classifiers import GestureClassifier, class_index
from vmc.utils.errors import VmcError

PEOPLE, SLOW, QUICK, SEQUENCE = "people", "slow", "quick", "sequence"  # names of suites
NOISE = 16.0  # of 255: a smaller change of a pixel between frames is compression's or the autoencoder's


def _share_and_all(suite: str, *, share: str, both: str) -> tuple[Column, ...]:
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


class People(SuiteAccuracy):
    """Columns people_share and people_all: which of two people side by side perform the motion.

    A person's crop is a square around the middle of the left or right half that stands on the bottom edge, `side`
    picture heights wide; beyond the picture its edge is repeated. This is where the miniature places two people; people
    who stand elsewhere are not found.
    """

    name = suite = PEOPLE
    columns = _share_and_all(PEOPLE, share="Share of people", both="Both people, %")

    def __init__(self, *, side: float = 0.667, classifier: GestureClassifier[Any] | None = None) -> None:
        super().__init__(classifier=classifier)
        if not 0 < side <= 1:
            raise VmcError(f"metrics.people.side is {side}; a crop's side lies between 0 and 1 picture heights")
        self.side = side

    def right(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Tensor:
        """Whether the person on the left performs the motion, and the one on the right."""
        assert self.target is not None
        crops = [crop_square(frames_BFCHW, center=center, side=self.side) for center in (0.25, 0.75)]
        return torch.stack([self.classify(crop) for crop in crops], dim=1).eq(self.target)

    def describe(self) -> dict[str, Any]:
        """The classifier, the class and the crops."""
        return {**super().describe(), "side": self.side}


class GestureSequence(SuiteAccuracy):
    """Columns sequence_share and sequence_all: whether the motion comes first, and then the gesture asked for.

    Both halves of a video are classified. Nobody changes from one gesture to the other exactly in the middle, so the
    video is split in the middle, an eighth earlier and an eighth later, and the best of the three counts.
    """

    name = suite = SEQUENCE
    columns = _share_and_all(SEQUENCE, share="Share of two gestures", both="Both gestures, %")

    def right(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Tensor:
        """Whether the first part shows the motion, and the second the gesture asked for."""
        if unsaid := [record for record in records if record.then is None]:
            raise VmcError(
                f"the prompt '{unsaid[0].prompt}' is of the suite {SEQUENCE} and has no `then`; name a class"
            )
        frames = frames_BFCHW.shape[1]
        labels = self.known.labels
        wanted_BP = torch.tensor([[self.target, class_index(labels, str(record.then))] for record in records])
        found = []
        for shift in (0, -1, 1):
            cut = min(max(frames // 2 + shift * max(frames // 8, 1), 1), frames - 1)
            first_B, second_B = self.classify(frames_BFCHW[:, :cut]), self.classify(frames_BFCHW[:, cut:])
            found.append(torch.stack([first_B, second_B], dim=1) == wanted_BP)
        right_SBP = torch.stack(found)
        best_B = right_SBP.sum(2).argmax(0)
        return right_SBP[best_B, torch.arange(len(records))]


class Tempo(Metric):
    """Columns motion_span and tempo_correct: how much of a video's time its motion takes, and whether that is as asked.

    Time is weighted by how much pixels change from frame to frame, above noise. The span is the duration of a constant
    motion with the same standard deviation in time, in video lengths: 1 for motion throughout, and also for a hand that
    is raised at the start and lowered at the end. Slow motions must have a span above `ordinary`, quick ones below. A
    video without motion is wrong and has no span. Motion of the camera counts as motion.
    """

    name = "tempo"
    columns = (
        Column("motion_span", suites=(SLOW, QUICK), measure=Measure("motion_span", "Span", digits=3, better="neither")),
        Column(
            "tempo_correct",
            kind="truth",
            title="",
            invalid=False,
            suites=(SLOW, QUICK),
            measure=Measure("tempo_correct", "Tempo, %", how="share", digits=1),
        ),
    )

    def __init__(self, *, ordinary: float = 0.85) -> None:
        if not 0 < ordinary < 2:
            raise VmcError(f"metrics.tempo.ordinary is {ordinary}; it must be a span between 0 and 2 video lengths")
        self.ordinary = ordinary

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Measure the videos that ask for a tempo."""
        spans, right = list[Value](), list[Value]()
        for frames_FCHW, record in zip(frames_BFCHW, records, strict=True):
            asked = record.suite in (SLOW, QUICK)
            span = motion_span(frames_FCHW) if asked else None
            spans.append(span)
            right.append((span is not None and (span > self.ordinary) == (record.suite == SLOW)) if asked else None)
        return {"motion_span": spans, "tempo_correct": right}

    def describe(self) -> dict[str, Any]:
        """The limits of slow motion and of noise."""
        return {"ordinary": self.ordinary, "noise": NOISE}


def crop_square(frames_BFCHW: Tensor, *, center: float, side: float) -> Tensor:
    """Crop a square that stands on the bottom edge, and resize it to the height of the frames_BFCHW, uint8.

    Args:
        frames_BFCHW: uint8.
        center: of the square, in picture widths.
        side: of the square, in picture heights.
    """
    height, width = frames_BFCHW.shape[-2:]
    pixels = round(side * height)
    left = round(center * width - pixels / 2)
    frames_NCHW = F.pad(frames_BFCHW.flatten(0, 1).float(), (pixels, pixels, 0, 0), mode="replicate")
    square_NCHW = frames_NCHW[..., height - pixels :, left + pixels : left + 2 * pixels]
    resized = F.interpolate(square_NCHW, (height, height), mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).byte().unflatten(0, frames_BFCHW.shape[:2])


def motion_span(frames_FCHW: Tensor) -> float | None:
    """Duration of a constant motion whose changes have the same standard deviation in time, in video lengths.

    None where nothing changes.
    """
    change_THW = frames_FCHW.float().diff(dim=0).abs().amax(1)
    weight_T = (change_THW - NOISE).clamp(min=0).flatten(1).mean(1).double()
    if not weight_T.sum() > 0:
        return None
    weight_T = weight_T / weight_T.sum()
    time_T = torch.arange(len(weight_T), dtype=torch.float64)
    deviation = (weight_T * (time_T - (weight_T * time_T).sum()).square()).sum().sqrt()
    return float(deviation) * 12**0.5 / len(weight_T)
