"""Fig. 8: generated frames beside the first frames of exemplars that they are nearest to, around the copy threshold.

A video counts as copied by its similarity to first frames (Sec. 4.2), of which `scores.csv` has the number alone. The
pair is found again here: of all frames of the video as written and the first frames of all exemplars, the two most
similar by the run's own copy descriptor. They are known to be the right ones where their similarity is the one in
`scores.csv`. Where the network is not there, frames are compared as small grey pictures, and the figure says so.

Axes: F frames, E exemplars, C colours, H and W, D descriptor width.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import fill
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from vmc.data.frames import resize_and_crop
from vmc.data.video import read_frames
from vmc.reporting.catalogue import NOT_REACHED, arm_name
from vmc.reporting.figures.style import MUTED, WRONG, enlarged
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.matched import ArmResult, MatchedRun
from vmc.utils.errors import VmcError

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
        similarity: to the nearest first frame of an exemplar, as measured; by it a video counts as copied.
        copied: whether it does.
        clip: name of the exemplar; empty where none can be read.
        generated: which frame of the video; None where one of the files is missing.
        frames_FCHW: the generated frame and the exemplar's; None for a file that is missing.
        confirmed: whether the generated frame has the measured similarity.
        missing: the files that are.
    """

    arm: str
    similarity: float
    copied: bool
    clip: str
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
        if row["copy_similarity_first"] is not None
    ]
    rows.sort(key=lambda pair: -pair[1]["copy_similarity_first"])
    above = [pair for pair in rows if pair[1]["copied"]]
    below = [pair for pair in rows if not pair[1]["copied"]]
    upper = min(len(above), max(SIDE, 2 * SIDE - len(below)))
    chosen = [*above[len(above) - upper :], *below[: 2 * SIDE - upper]]
    exemplars = {stand.run.path: _first_frames(stand.run) for stand, _ in chosen}
    return [_pair(stand, row, exemplars[stand.run.path], descriptor) for stand, row in chosen]


def _scored(stand: MatchedRun) -> Scored:
    return stand.run.evaluations[stand.shown]


def _first_frames(run: FoundRun) -> dict[str, Tensor]:
    """Frames_CHW by clip, of the exemplars that can be read."""
    size = int(run.config["data"]["size"])
    found = {name: _read(partial(read_frames, path, [0])) for name, path in run.clips("exemplar").items()}
    return {name: resize_and_crop(frames, size)[0] for name, frames in found.items() if frames is not None}


def _pair(stand: MatchedRun, row: dict[Any, Any], exemplars: dict[str, Tensor], descriptor: Descriptor | None) -> Pair:
    video = _read(lambda: read_frames(_scored(stand).video(row["video"])))
    clip, generated, found = "", None, float("nan")
    if exemplars and video is not None:
        generated, place, found = nearest(video, torch.stack([*exemplars.values()]), descriptor=descriptor)
        clip = [*exemplars][place]
    gone = [name for name, there in (("video", video is not None), ("exemplars", exemplars)) if not there]
    return Pair(
        arm=stand.run.arm,
        similarity=row["copy_similarity_first"],
        copied=bool(row["copied"]),
        clip=clip,
        generated=generated,
        frames_FCHW=(None if video is None else video[generated or 0], exemplars.get(clip)),
        confirmed=descriptor is not None and abs(found - row["copy_similarity_first"]) <= AGREES,
        missing=" and ".join(gone),
    )


@torch.no_grad()
def nearest(frames_FCHW: Tensor, exemplars_ECHW: Tensor, *, descriptor: Descriptor | None) -> tuple[int, int, float]:
    """Which frame is most similar to which exemplar, and how similar; by plain pictures without a descriptor."""
    describe = descriptor or _small_picture
    similarity_FE = describe(frames_FCHW).float() @ describe(exemplars_ECHW).float().T
    frame, exemplar = divmod(int(similarity_FE.argmax()), len(exemplars_ECHW))
    return frame, exemplar, float(similarity_FE[frame, exemplar])


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


COLUMNS = 2 * SIDE
CLIP = 13  # characters of a clip's name, its end


def draw_copies(
    arms: Mapping[str, Sequence[Pair]], *, threshold: float, by_network: bool, behind: Collection[str] = ()
) -> Figure:
    """A row an arm, its pairs from most to least similar.

    Args:
        arms: pairs by arm.
        threshold: similarity above which a video counts as copied.
        by_network: whether the pairs were found by the copy descriptor.
        behind: arms that did not reach the appearance threshold.
    """
    tall, head = 1.28, 0.72
    figure = Figure(figsize=(12.4, head + tall * len(arms)))
    share, top = tall / figure.get_figheight(), 1 - head / figure.get_figheight()
    height = 1 / figure.get_figheight()
    figure.text(
        0.008,
        1 - 0.2 * height,
        f"Pairs around the copy threshold of {threshold:g}",
        weight="bold",
        size=11,
        va="center",
    )
    how = "the copy descriptor" if by_network else "small grey pictures (the copy descriptor is not there)"
    legend = (
        "Left: generated, right: the nearest first frame of an exemplar. Number: their similarity, by which a video"
        " counts as copied (red).\nBelow: which frame of the video, and which clip. ‡: a run that did not reach the"
        f" appearance threshold. The pair was found by {how}."
    )
    figure.text(0.008, 1 - 0.47 * height, legend, size=8, color=MUTED, va="center")
    for line, (arm, pairs) in enumerate(arms.items()):
        low = top - (line + 1) * share
        name = f"{arm_name(arm)} {NOT_REACHED}" if arm in behind else arm_name(arm)
        figure.text(0.008, low + 0.5 * share, fill(name, 18), weight="bold", va="center", size=8.5)
        for column, pair in enumerate(pairs):
            left = 0.14 + column * 0.86 / COLUMNS
            _draw_pair(figure, pair, left=left, low=low, width=0.86 / COLUMNS - 0.008, share=share)
    return figure


def _draw_pair(figure: Figure, pair: Pair, *, left: float, low: float, width: float, share: float) -> None:
    colour = WRONG if pair.copied else "#222222"
    doubt = "" if pair.confirmed or pair.generated is None else " ?"
    text = f"{pair.similarity:.3f}{doubt}"
    figure.text(left, low + 0.93 * share, text, size=7.5, color=colour, va="center")
    for place, frame_CHW in enumerate(pair.frames_FCHW):
        axes = figure.add_axes((left + place * width / 2, low + 0.14 * share, width / 2 - 0.002, 0.72 * share))
        _draw_frame(axes, frame_CHW, missing=("video", "exemplar")[place])
    clip = pair.clip if len(pair.clip) <= CLIP else f"…{pair.clip[1 - CLIP :]}"
    notes = ("" if pair.generated is None else f"frame {pair.generated + 1}", clip)
    for place, note in enumerate(notes):
        edge = left if place == 0 else left + width - 0.002
        side = ("left", "right")[place]
        figure.text(edge, low + 0.06 * share, note, size=6, color=MUTED, va="center", ha=side)


def _draw_frame(axes: Any, frame_CHW: Tensor | None, *, missing: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if frame_CHW is None:
        axes.set_facecolor("#f2f2f2")
        axes.text(0.5, 0.5, f"no {missing}", size=7, color=MUTED, ha="center", va="center", transform=axes.transAxes)
    else:
        axes.imshow(enlarged(frame_CHW[None])[0], interpolation="none")
        axes.set_anchor("W")
