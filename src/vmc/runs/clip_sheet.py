"""A look at what is trained on: the frames of a run's clips as the autoencoder gets them, as one PNG."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from vmc.data.clips import Clip
from vmc.data.frames import typical_interval
from vmc.data.transform import ClipTransform
from vmc.runs.sheet import contact_sheet

NAME = "clips.png"
EXEMPLARS, OTHERS = 24, 4
"""Clips shown at most; of more, as many evenly spaced ones."""
FRAMES = 16
"""Frames shown of a window at most."""
GAP = 2
"""px between frames, which a still background would hide."""


def write_clip_sheet(path: Path, clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Write a row a clip with its caption and seconds: exemplars first, each in an augmented variant below.

    Args:
        path: of the PNG.
        clips: of the run.
        transforms: of each clip.

    Raises:
        VmcError: a clip cannot be read.
    """
    pairs = list(zip(clips, transforms, strict=True))
    own = [pair for pair in pairs if pair[0].role == "exemplar"]
    others = [pair for pair in pairs if pair[0].role != "exemplar"]
    shown = [*_spaced(own, EXEMPLARS), *_spaced(others, OTHERS)]
    captions = [text for clip, transform in shown for text in _texts(clip, transform)]
    contact_sheet(path, _videos(shown), captions, shown=FRAMES, gap=GAP)


def _videos(shown: Sequence[tuple[Clip, ClipTransform]]) -> Iterator[Tensor]:
    """One at a time: all of them would take hundreds of megabytes."""
    for clip, transform in shown:
        plain, finished = transform.plain_and_finished(clip.path, variant=0)
        yield plain
        if transform.augmentation is not None:
            yield finished


def _texts(clip: Clip, transform: ClipTransform) -> list[str]:
    """The line above a clip's row, and that above its augmented variant."""
    name = f"{clip.path.name}, {_seconds(clip, transform)}"
    line = f"{'regularization: ' * (clip.role == 'regularization')}{name}: {' '.join(clip.caption.split())}"
    return [line, "  the same window, augmented"] if transform.augmentation is not None else [line]


def _seconds(clip: Clip, transform: ClipTransform) -> str:
    """`0.3 to 1.6 of 2.5 s`, and how often the last frame is repeated."""
    times, taken = transform.times(clip.path), transform.window(clip.path, variant=0)
    interval = typical_interval(times)
    if not interval:
        return "one frame"
    length, first, last = times[-1] + interval, times[taken.indices[0]], times[taken.indices[-1]]
    end = min(length, last + max(interval, 1 / transform.fps))
    padded = f", last frame repeated {taken.padded} time{'s' * (taken.padded != 1)}" if taken.padded else ""
    return f"{first:.2f} to {end:.2f} of {length:.2f} s{padded}"


def _spaced(items: Sequence[tuple[Clip, ClipTransform]], count: int) -> list[tuple[Clip, ClipTransform]]:
    if len(items) <= count:
        return list(items)
    return [items[place * (len(items) - 1) // (count - 1)] for place in range(count)]
