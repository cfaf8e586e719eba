"""Fig. 8: generated frames beside the first frames of exemplars that they are nearest to, around the copy threshold.

A video counts as copied by its similarity to first frames (Sec. 4.2), of which `scores.csv` has the number alone. The
pair is found again here: of all frames of the video as written and the first frames of all exemplars, the two most
similar by the run's own copy descriptor. They are known to be the right ones where their similarity is the one in
`scores.csv`. Where the network is not there, frames are compared as small grey pictures, and the figure says so.

Axes: F frames, E exemplars, C colours, H and W, D descriptor width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from vmc.data.video import read_frames
from vmc.reporting.figures.common import MUTED, PLATE, WRONG, Drawn, describe_evaluations, enlarge
from vmc.reporting.loaded_runs import FoundRun
from vmc.reporting.report import Descriptor, Report
from vmc.reporting.results import MatchedRun, Result
from vmc.utils.errors import VmcError

SIDE = 3  # pairs on each side of the threshold
AGREES = 0.01  # difference from the similarity in `scores.csv` up to which a frame is the one that was measured
CLIP = 13  # characters of a clip's name, its end
TALL, HEAD = 1.28, 0.72  # inches


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A generated frame and an exemplar's; None for a frame whose file is missing."""

    similarity: float  # to the nearest first frame of an exemplar, as measured; by it a video counts as copied
    copied: bool
    frames_FCHW: tuple[Tensor | None, Tensor | None]
    generated: int | None = None  # which frame of the video
    clip: str = ""  # name of the exemplar
    doubt: str = ""  # a question mark where the generated frame has not the measured similarity


def figure8(report: Report) -> Iterator[Drawn]:
    """Draw generated frames beside the exemplars' frames nearest to them."""
    results = [*report.results.values()]
    each = [(result, pairs(result, descriptor=report.descriptor)) for result in results]
    if not (found := {result.marked_name: several for result, several in each if several}):
        return
    threshold = next(result for result, several in each if several).matched[0].scored.copy_threshold
    figure = draw_copies(found, threshold=threshold, by_network=report.descriptor is not None)
    caption = (
        "Figure 8: generated frames beside the first frames of exemplars nearest to them, around the copy threshold of"
        f" {threshold:g}. {describe_evaluations(results)}"
    )
    if any(pair.doubt for several in found.values() for pair in several):
        caption += " A question mark: the generated frame was found again without the similarity that was measured."
    yield Drawn(figure=figure, caption=caption)


def pairs(result: Result, *, descriptor: Descriptor | None) -> list[Pair]:
    """Find an arm's pairs next to the copy threshold, from most to least similar, over all its runs.

    At most `SIDE` above it and `SIDE` below; where a side has too few, the other gives more.
    """
    rows = [(one, row) for one in result.matched for row in one.scored.rows if row["copy_similarity_first"] is not None]
    rows.sort(key=lambda pair: -pair[1]["copy_similarity_first"])
    above = [pair for pair in rows if pair[1]["copied"]]
    below = [pair for pair in rows if not pair[1]["copied"]]
    upper = min(len(above), max(SIDE, 2 * SIDE - len(below)))
    chosen = [*above[len(above) - upper :], *below[: 2 * SIDE - upper]]
    exemplars: dict[FoundRun, dict[str, Tensor]] = {}  # first frames_CHW by clip, of those that can be read
    for run in dict.fromkeys(one.run for one, _ in chosen):
        exemplars[run] = {}
        for name, path in run.exemplars.items():
            with suppress(VmcError):
                exemplars[run][name] = run.frames_of(path, [0])[0]
    return [_pair(one, row, exemplars[one.run], descriptor) for one, row in chosen]


def _pair(one: MatchedRun, row: dict[Any, Any], exemplars: dict[str, Tensor], descriptor: Descriptor | None) -> Pair:
    measured: dict[str, Any] = {"similarity": row["copy_similarity_first"], "copied": bool(row["copied"])}
    try:
        video = read_frames(one.scored.video(row["video"]))
    except VmcError:
        return Pair(**measured, frames_FCHW=(None, None))
    if not exemplars:
        return Pair(**measured, frames_FCHW=(video[0], None))
    frame, place, found = nearest(video, torch.stack([*exemplars.values()]), descriptor=descriptor)
    clip, confirmed = [*exemplars][place], descriptor is not None and abs(found - measured["similarity"]) <= AGREES
    frames = (video[frame], exemplars[clip])
    return Pair(**measured, clip=clip, generated=frame, frames_FCHW=frames, doubt="" if confirmed else " ?")


@torch.no_grad()
def nearest(frames_FCHW: Tensor, exemplars_ECHW: Tensor, *, descriptor: Descriptor | None) -> tuple[int, int, float]:
    """Find which frame is most similar to which exemplar, and how similar; by small pictures without a descriptor."""
    describe = descriptor or _small_picture
    similarity_FE = describe(frames_FCHW).float() @ describe(exemplars_ECHW).float().T
    frame, exemplar = divmod(int(similarity_FE.argmax()), len(exemplars_ECHW))
    return frame, exemplar, float(similarity_FE[frame, exemplar])


def _small_picture(frames_NCHW: Tensor) -> Tensor:
    """Describe frames by gray 16 x 16 pictures without their mean, of length one: their product is a correlation."""
    gray_NHW = frames_NCHW.float().mean(1)
    small_ND = F.interpolate(gray_NHW[:, None], size=(16, 16), mode="area").flatten(1)
    return F.normalize(small_ND - small_ND.mean(1, keepdim=True), dim=1)


def draw_copies(arms: Mapping[str, Sequence[Pair]], *, threshold: float, by_network: bool) -> Figure:
    """Draw a row for each arm, its pairs from most to least similar."""
    figure = Figure(figsize=(12.4, HEAD + TALL * len(arms)))
    height = 1 / figure.get_figheight()
    share, top = TALL / figure.get_figheight(), 1 - HEAD / figure.get_figheight()
    title = f"Pairs around the copy threshold of {threshold:g}"
    figure.text(0.008, 1 - 0.2 * height, title, weight="bold", size=11, va="center")
    how = "the copy descriptor" if by_network else "small grey pictures (the copy descriptor is not there)"
    legend = (
        "Left: generated, right: the nearest first frame of an exemplar. Number: their similarity, by which a video"
        " counts as copied (red).\nBelow: which frame of the video, and which clip. ‡: a run that did not reach the"
        f" appearance threshold. The pair was found by {how}."
    )
    figure.text(0.008, 1 - 0.47 * height, legend, size=8, color=MUTED, va="center")
    for line, (name, several) in enumerate(arms.items()):
        low = top - (line + 1) * share
        figure.text(0.008, low + 0.5 * share, fill(name, 18), weight="bold", va="center", size=8.5)
        for column, pair in enumerate(several):
            _draw_pair(figure, pair, left=0.14 + column * 0.86 / (2 * SIDE), low=low, share=share)
    return figure


def _draw_pair(figure: Figure, pair: Pair, *, left: float, low: float, share: float) -> None:
    width = 0.86 / (2 * SIDE) - 0.008
    color = WRONG if pair.copied else "#222222"
    figure.text(left, low + 0.93 * share, f"{pair.similarity:.3f}{pair.doubt}", size=7.5, color=color, va="center")
    for place, frame_CHW in enumerate(pair.frames_FCHW):
        axes = figure.add_axes((left + place * width / 2, low + 0.14 * share, width / 2 - 0.002, 0.72 * share))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if frame_CHW is None:
            axes.set_facecolor(PLATE)
            missing = f"no {('video', 'exemplar')[place]}"
            axes.text(0.5, 0.5, missing, size=7, color=MUTED, ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(enlarge(frame_CHW[None])[0], interpolation="none")
            axes.set_anchor("W")
    clip = pair.clip if len(pair.clip) <= CLIP else f"…{pair.clip[1 - CLIP :]}"
    frame = "" if pair.generated is None else f"frame {pair.generated + 1}"
    for edge, side, note in ((left, "left", frame), (left + width - 0.002, "right", clip)):
        figure.text(edge, low + 0.06 * share, note, size=6, color=MUTED, va="center", ha=side)
