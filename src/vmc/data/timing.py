"""How much of its clips a run sees: what a window covers, which clips are too short for it, which are too slow.

Said of the clips themselves, so at the beginning of every run, whatever lies in the caches.
"""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vmc.data.clips import Clip
from vmc.data.frames import is_slower, typical_interval, window
from vmc.data.transform import ClipTransform
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

_NAMED = 5
"""Clips named in one sentence; the others are counted."""
_SLOWER = 1.05
"""Times that an interval between frames is longer than wanted before it is worth a word: containers round times."""
_DIFFERENT = 1.25
"""Times that regularization clips are longer or shorter than the exemplars before their length is told, too."""

ROLES = {"exemplar": "exemplar", "regularization": "regularization clip", "subject": "clip of the subject"}


@dataclass(frozen=True, kw_only=True)
class TimedClip:
    """A clip and its time.

    Args:
        clip: what is on disk.
        seconds: that it lasts; None for a single frame, which has no duration.
        rate: its frames a second; None for a single frame.
        slow: whether it has so few frames a second that each is taken once and it plays faster.
        padded: how many frames of a window repeat its last frame.
    """

    clip: Clip
    seconds: float | None
    rate: float | None
    slow: bool
    padded: int


def time_clip(clip: Clip, transform: ClipTransform) -> TimedClip:
    """A clip's length and rate, and what a window of it would lack.

    Raises:
        VmcError: the clip cannot be read.
    """
    times = transform.times(clip.path)
    interval = typical_interval(times)
    # A clip is too short for a window from its first frame, or for none.
    shortest = window(times, frames=transform.frames, fps=transform.fps, start="first", generator=generator(0))
    return TimedClip(
        clip=clip,
        seconds=times[-1] + interval if interval else None,
        rate=1 / interval if interval else None,
        slow=is_slower(times, transform.fps / _SLOWER),
        padded=shortest.padded,
    )


def tell_timing(clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Log what the windows of a run's clips cover, which are padded and which play faster.

    Args:
        clips: of the run.
        transforms: of each clip.

    Raises:
        VmcError: a clip cannot be read.
    """
    timed = [time_clip(clip, transform) for clip, transform in zip(clips, transforms, strict=True)]
    for level, sentence in timing_sentences(timed, frames=transforms[0].frames, fps=transforms[0].fps):
        logger.log(level, sentence)


def timing_sentences(timed: Sequence[TimedClip], *, frames: int, fps: float) -> list[tuple[int, str]]:
    """What is worth knowing about the clips' time: log levels and sentences, the exemplars' window first."""
    by_role = {role: [clip for clip in timed if clip.clip.role == role] for role in ROLES}
    said = [_covered([clip.seconds for clip in by_role["exemplar"] if clip.seconds], frames=frames, fps=fps)]
    said.append(_others(by_role["exemplar"], by_role["regularization"]))
    for role, ours in by_role.items():
        said.append(_padded(ours, ROLES[role], window=f"{frames} frames at {fps:g} fps"))
        said.append(_slow(ours, ROLES[role], fps=fps))
    return [sentence for sentence in said if sentence]


def _covered(seconds: Sequence[float], *, frames: int, fps: float) -> tuple[int, str] | None:
    """What part of the clips a window shows, and the rate at which it would show them whole."""
    if not seconds or frames == 1:
        return None
    covered, longest = frames / fps, max(seconds)
    said = f"{frames} frames at {fps:g} fps: {_span([covered])}"
    if covered >= longest - 0.5 / fps:
        return logging.INFO, f"{said}, the whole of clips of {_span(seconds)}"
    said = f"{said} of clips of {_span(seconds)}"
    remedy = f"data.fps={_rounded_down(frames / longest):g} would cover them"
    if covered < (median := statistics.median(seconds)) / 2:
        return logging.WARNING, f"{said}, less than half of the median clip ({_span([median])}); {remedy}"
    return logging.INFO, f"{said}; {remedy}"


def _others(exemplars: Sequence[TimedClip], others: Sequence[TimedClip]) -> tuple[int, str] | None:
    """How long regularization clips are, where that is not about as long as the exemplars."""
    own, theirs = ([clip.seconds for clip in clips if clip.seconds] for clips in (exemplars, others))
    if not own or not theirs:
        return None
    ratio = statistics.median(theirs) / statistics.median(own)
    return (logging.INFO, f"regularization clips are {_span(theirs)}") if not _alike(ratio) else None


def _padded(clips: Sequence[TimedClip], role: str, *, window: str) -> tuple[int, str] | None:
    short = [clip for clip in clips if clip.padded]
    if not short:
        return None
    named = [f"{clip.clip.path.name} ({_length(clip)}, {clip.padded} time{'s' * (clip.padded != 1)})" for clip in short]
    verb, last = ("is", "its last frame is") if len(short) == 1 else ("are", "their last frames are")
    return (
        logging.WARNING,
        f"{_count(short, clips, role)} {verb} shorter than {window}, {last} repeated: {_list(named)}",
    )


def _slow(clips: Sequence[TimedClip], role: str, *, fps: float) -> tuple[int, str] | None:
    slow = [clip for clip in clips if clip.slow]
    if not slow:
        return None
    named = _list([f"{clip.clip.path.name} ({clip.rate:.3g} fps)" for clip in slow])
    verb, each = (
        ("has", "it gives each frame once and plays")
        if len(slow) == 1
        else ("have", "they give each frame once and play")
    )
    less = f"{_count(slow, clips, role)} {verb} fewer frames a second than data.fps={fps:g}"
    return logging.WARNING, f"{less}, {each} faster: {named}"


def _count(some: Sequence[TimedClip], clips: Sequence[TimedClip], role: str) -> str:
    return f"{len(some)} of {len(clips)} {role}{'s' * (len(clips) != 1)}"


def _list(named: Sequence[str]) -> str:
    left = len(named) - _NAMED
    return ", ".join(named[:_NAMED]) + (f" and {left} more" if left > 0 else "")


def _length(clip: TimedClip) -> str:
    return _span([clip.seconds]) if clip.seconds else "one frame"


def _alike(ratio: float) -> bool:
    return 1 / _DIFFERENT <= ratio <= _DIFFERENT


def _rounded_down(rate: float) -> float:
    """To two significant digits, so that the window is not shorter than what is asked for."""
    unit = 10 ** (math.floor(math.log10(rate)) - 1)
    return math.floor(rate / unit + 1e-9) * unit


def _span(seconds: Sequence[float]) -> str:
    """`2.1 to 3.4 s`, or `2.1 s` where all are that long."""
    shown = [f"{value:.1f}" if value >= 1 else f"{value:.2g}" for value in (min(seconds), max(seconds))]
    return f"{shown[0]} s" if shown[0] == shown[1] else f"{shown[0]} to {shown[1]} s"
