"""Fig. 8: generated frames beside the exemplar frames that they are nearest to, around the copy threshold.

`scores.csv` names the exemplar and its frame, not the frame of the generated video. That one is found again here: of
all frames of the video as written, the one most similar to the exemplar's frame by the run's own copy descriptor. It
is known to be the right one where that similarity is the one in `scores.csv`. Where the network is not there, frames
are compared as small grey pictures, and the figure says so.

Axes: F frames, C colours, H and W, D descriptor width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.data.frames import resize_and_crop
from vmc.data.video import read_frames
from vmc.errors import VmcError
from vmc.runs.reporting.found import Scored
from vmc.runs.reporting.standing import ArmResult, Stand

Descriptor = Callable[[Tensor], Tensor]
"""descriptors_ND, of length one, of RGB uint8 frames_NCHW."""
SIDE = 3
"""Pairs on each side of the threshold."""
AGREES = 0.01
"""Difference from the similarity in `scores.csv` up to which a frame is the one that was measured."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A generated frame and an exemplar's.

    Args:
        arm: whose video.
        similarity: to the nearest frame of any exemplar, as measured.
        first: to the nearest first frame, by which a video counts as copied.
        copied: whether it does.
        clip: name of the exemplar; `frame`, which of its frames.
        generated: which frame of the video; None where one of the files is missing.
        frames_FCHW: the generated frame and the exemplar's; None for a file that is missing.
        confirmed: whether the generated frame has the measured similarity.
        missing: the files that are.
    """

    arm: str
    similarity: float
    first: float
    copied: bool
    clip: str
    frame: int
    generated: int | None
    frames_FCHW: tuple[Tensor | None, Tensor | None]
    confirmed: bool
    missing: str = ""


def pairs(result: ArmResult, *, descriptor: Descriptor | None) -> list[Pair]:
    """An arm's pairs next to the copy threshold, from most to least similar, over all its runs.

    At most `SIDE` above it and `SIDE` below; where a side has too few, the other gives more.
    """
    rows = [
        (stand, row)
        for stand in result.stands
        for row in _scored(stand).scores.to_dict("records")
        if row["copy_similarity_any"] is not None and row["nearest_clip"] is not None
    ]
    rows.sort(key=lambda pair: -pair[1]["copy_similarity_any"])
    above = [pair for pair in rows if pair[1]["copy_similarity_any"] > _scored(pair[0]).copy_threshold]
    below = rows[len(above) :]
    upper = min(len(above), max(SIDE, 2 * SIDE - len(below)))
    chosen = [*above[len(above) - upper :], *below[: 2 * SIDE - upper]]
    return [_pair(stand, row, descriptor) for stand, row in chosen]


def _scored(stand: Stand) -> Scored:
    return stand.run.evaluations[stand.shown]


def _pair(stand: Stand, row: dict[Any, Any], descriptor: Descriptor | None) -> Pair:
    similarity, frame = row["copy_similarity_any"], row["nearest_frame"]
    video = _read(lambda: read_frames(_scored(stand).video(row["video"])))
    path = stand.run.clips("exemplar").get(row["nearest_clip"])
    size = int(stand.run.config["data"]["size"])
    exemplar = _read(lambda: resize_and_crop(read_frames(path, [frame]), size)) if path else None
    generated, found = None, float("nan")
    if video is not None and exemplar is not None:
        generated, found = nearest(video, exemplar[0], descriptor=descriptor)
    gone = [name for name, frames in (("video", video), ("exemplar", exemplar)) if frames is None]
    return Pair(
        arm=stand.run.arm,
        similarity=similarity,
        first=row["copy_similarity_first"],
        copied=bool(row["copied"]),
        clip=row["nearest_clip"],
        frame=frame,
        generated=generated,
        frames_FCHW=(None if video is None else video[generated or 0], None if exemplar is None else exemplar[0]),
        confirmed=descriptor is not None and abs(found - similarity) <= AGREES,
        missing=" and ".join(gone),
    )


@torch.no_grad()
def nearest(frames_FCHW: Tensor, frame_CHW: Tensor, *, descriptor: Descriptor | None) -> tuple[int, float]:
    """Which frame is most similar to a given one, and how similar; by plain pictures without a descriptor."""
    describe = descriptor or _small_picture
    descriptors_FD, descriptor_D = describe(frames_FCHW).float(), describe(frame_CHW[None])[0].float()
    similarity_F = descriptors_FD @ descriptor_D
    place = int(similarity_F.argmax())
    return place, float(similarity_F[place])


def _small_picture(frames_NCHW: Tensor) -> Tensor:
    """Grey, 16 x 16, without their mean, of length one: their product is a correlation."""
    grey_NHW = frames_NCHW.float().mean(1)
    small_ND = F.interpolate(grey_NHW[:, None], size=(16, 16), mode="area").flatten(1)
    return F.normalize(small_ND - small_ND.mean(1, keepdim=True), dim=1)


def _read(read: Callable[[], Tensor]) -> Tensor | None:
    try:
        return read()
    except VmcError:
        return None


def all_pairs(results: Sequence[ArmResult], *, descriptor: Descriptor | None) -> dict[str, list[Pair]]:
    """By arm; arms without a copy score are left out."""
    found = {result.arm: pairs(result, descriptor=descriptor) for result in results}
    return {arm: each for arm, each in found.items() if each}
