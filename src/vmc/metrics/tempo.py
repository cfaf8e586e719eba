"""Whether a learned motion is performed slowly or quickly, as asked (paper, Sec. 4.3).

Axes: B videos, F frames, T steps between frames, C colors, H and W.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.base import Metric, Record, Scores
from vmc.metrics.columns import Column, Measure, Value
from vmc.utils.errors import VmcError

SLOW, QUICK = "slow", "quick"  # names of suites
NOISE = 16.0  # of 255: a smaller change of a pixel between frames is compression's or the autoencoder's


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
