"""Fig. 8: a generated frame at the left, its nearest exemplar frame at the right."""

from collections.abc import Collection, Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from vmc.runs.reporting.catalogue import NOT_REACHED, arm_name
from vmc.runs.reporting.copies import SIDE, Pair
from vmc.runs.reporting.figures.style import MUTED, WRONG, enlarged

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
