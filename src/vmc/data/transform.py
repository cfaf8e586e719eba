"""From a clip on disk to the frames that are encoded (window, then augmentation or plain resizing), and how much of its
clips a run sees: what a window covers, which clips are too short for it, which are too slow.

Axes: F frames, C color channels, H rows, W columns.
"""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from vmc.data.augmentation import Augmentation
from vmc.data.checks import MAX_SIDE
from vmc.data.clips import Clip
from vmc.data.frames import (
    Start,
    Window,
    check_rate,
    check_window,
    is_slower,
    resize_and_crop,
    typical_interval,
    window,
)
from vmc.data.video import FOLDER_RATE, frame_times, read_frames
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

_VERSION = 1
"""Raised whenever equal settings give other frames than before, so that no cache mixes the two."""
_NAMED = 5
"""Clips named in one sentence; the others are counted."""
_SLOWER = 1.05
"""Times that an interval between frames is longer than wanted before it is worth a word: containers round times."""
_DIFFERENT = 1.25
"""Times that regularization clips are longer or shorter than the exemplars before their length is told, too."""
_ROLES = {"exemplar": "exemplars", "regularization": "regularization clips", "subject": "subject clips"}


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A clip's frames in one of its variants; the draw hangs on the clip's bytes and the variant's number alone.

    See `vmc.data.frames.window` for frames, fps and start. A VmcError names the setting that is out of its range.
    """

    frames: int = 16  # F
    fps: float = 12.0  # moments a second at which frames are taken, whatever the clip's own rate
    start: Start = "random"
    size: int = 384  # height and width, px; what it must be divisible by is the model's to say
    augmentation: Augmentation | None = None  # None takes the centre crop as it is, not mirrored either
    mirror: bool = False  # whether the augmentation may swap left and right
    folder_fps: float = FOLDER_RATE  # frames a second of clips that are folders of frames, which do not say

    def __post_init__(self) -> None:
        check_window(frames=self.frames, fps=self.fps, start=self.start)
        check_rate("data.frame_folder_fps", self.folder_fps)
        if not isinstance(self.size, int) or not 8 <= self.size <= MAX_SIDE:
            wanted = f"a whole number from 8 to {MAX_SIDE}, height and width in pixels"
            raise VmcError(f"data.size is {self.size}; it must be {wanted}")

    def __call__(self, path: Path, *, variant: int) -> Tensor:
        """frames_FCHW, uint8, F = `frames`, H = W = `size`; a VmcError where the clip cannot be read."""
        return self._finish(self._read(path, variant), path, variant)

    def plain_and_finished(self, path: Path, *, variant: int) -> tuple[Tensor, Tensor]:
        """frames_FCHW of one window twice: as they are in the clip, at the centre crop, and as training sees them."""
        frames_FCHW = self._read(path, variant)
        return resize_and_crop(frames_FCHW, self.size), self._finish(frames_FCHW, path, variant)

    def times(self, path: Path) -> tuple[float, ...]:
        """When each frame of a clip is shown, in seconds; a clip is gone through once in a process."""
        state = path.stat() if path.exists() else None
        return _times(path, float(self.folder_fps), state and (state.st_mtime_ns, state.st_size))

    def window(self, path: Path, *, variant: int) -> Window:
        """Which frames of a clip are taken."""
        draw = generator(fingerprint(path), variant, "window")
        return window(self.times(path), frames=self.frames, fps=self.fps, start=self.start, generator=draw)

    def describe(self) -> str:
        """All that decides the frames of a clip and variant, in a text that is equal for equal settings."""
        rates = {"fps": float(self.fps), "folder_fps": float(self.folder_fps)}
        settings = ("frames", "fps", "start", "size", "augmentation", "mirror", "folder_fps")
        told = ", ".join(f"{name}={rates.get(name, getattr(self, name))!r}" for name in settings)
        return f"clip transform {_VERSION}: {told}"

    def _read(self, path: Path, variant: int) -> Tensor:
        return read_frames(path, self.window(path, variant=variant).indices)

    def _finish(self, frames_FCHW: Tensor, path: Path, variant: int) -> Tensor:
        if self.augmentation is None:
            return resize_and_crop(frames_FCHW, self.size)
        draw = generator(fingerprint(path), variant, "augmentation")
        return self.augmentation(frames_FCHW, self.size, mirror=self.mirror, generator=draw)


@lru_cache(maxsize=10_000)
def _times(path: Path, folder_fps: float, state: tuple[int, int] | None) -> tuple[float, ...]:
    """`state` stands for the file's content."""
    return tuple(frame_times(path, folder_rate=folder_fps))


@dataclass(frozen=True, kw_only=True)
class TimedClip:
    """A clip and its time."""

    clip: Clip
    seconds: float | None  # that it lasts; None for a single frame, which has no duration
    rate: float | None  # frames a second; None for a single frame
    slow: bool  # whether it has so few frames a second that each is taken once and it plays faster
    padded: int  # how many frames of a window repeat its last frame


def time_clip(clip: Clip, transform: ClipTransform) -> TimedClip:
    """A clip's length and rate, and what a window of it would lack; a VmcError where it cannot be read."""
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


def log_timing(clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Log what the windows of a run's clips, each with its transform, cover, which are padded and which play faster."""
    timed = [time_clip(clip, transform) for clip, transform in zip(clips, transforms, strict=True)]
    for level, sentence in timing_sentences(timed, frames=transforms[0].frames, fps=transforms[0].fps):
        logger.log(level, sentence)


def timing_sentences(timed: Sequence[TimedClip], *, frames: int, fps: float) -> list[tuple[int, str]]:
    """What is worth knowing about the clips' time: log levels and sentences, the exemplars' window first."""
    by_role = {role: [clip for clip in timed if clip.clip.role == role] for role in _ROLES}
    own, others = ([clip.seconds for clip in by_role[role] if clip.seconds] for role in ("exemplar", "regularization"))
    said = [_covered(own, frames=frames, fps=fps)] if own and frames > 1 else []
    if own and others and not 1 / _DIFFERENT <= statistics.median(others) / statistics.median(own) <= _DIFFERENT:
        said.append((logging.INFO, f"regularization clips are {_span(others)}"))
    for role, clips in by_role.items():
        short = [
            f"{one.clip.path.name} ({_span([one.seconds]) if one.seconds else 'one frame'}, "
            f"{one.padded} time{'s' * (one.padded != 1)})"
            for one in clips
            if one.padded
        ]
        slow = [f"{one.clip.path.name} ({one.rate:.3g} fps)" for one in clips if one.slow]
        for named, what in (
            (short, f"shorter than {frames} frames at {fps:g} fps, their last frame repeated"),
            (slow, f"with fewer frames a second than data.fps={fps:g}, each given once and played faster"),
        ):
            if named:
                more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
                listed = f"({len(named)} of {len(clips)}): {', '.join(named[:_NAMED])}{more}"
                said.append((logging.WARNING, f"{_ROLES[role]} {what} {listed}"))
    return said


def _covered(seconds: Sequence[float], *, frames: int, fps: float) -> tuple[int, str]:
    """What part of the clips a window shows, and the rate at which it would show them whole."""
    covered, longest, median = frames / fps, max(seconds), statistics.median(seconds)
    said = f"{frames} frames at {fps:g} fps: {_span([covered])}"
    if covered >= longest - 0.5 / fps:
        return logging.INFO, f"{said}, the whole of clips of {_span(seconds)}"
    little = f", less than half of the median clip ({_span([median])})" if covered < median / 2 else ""
    # Rounded down to two significant digits, so that the window is not shorter than what is asked for.
    unit = 10 ** (math.floor(math.log10(frames / longest)) - 1)
    rate = math.floor(frames / longest / unit + 1e-9) * unit
    level = logging.WARNING if little else logging.INFO
    return level, f"{said} of clips of {_span(seconds)}{little}; data.fps={rate:g} would cover them"


def _span(seconds: Sequence[float]) -> str:
    """`2.1 to 3.4 s`, or `2.1 s` where all are that long."""
    shown = [f"{value:.1f}" if value >= 1 else f"{value:.2g}" for value in (min(seconds), max(seconds))]
    return f"{shown[0]} s" if shown[0] == shown[1] else f"{shown[0]} to {shown[1]} s"
