"""From a clip on disk to the frames that are encoded: which are taken, how they are brought to the size that the model
wants, and how much of its clips a run sees, because some are too short for a window or too slow.

Axes: F frames, C color channels, H rows, W columns.
"""

import logging
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from torch import Generator, Tensor

from vmc.data.augmentation import Augmentation, resize, to_uint8
from vmc.data.checks import MAX_SIDE
from vmc.data.clips import Clip
from vmc.data.video import FOLDER_RATE, frame_times, read_frames
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.randomness import generator

logger = logging.getLogger(__name__)

Start = Literal["random", "first", "centre", "whole"]

MAX_FRAMES = 1000
"""Frames of a window: no base model draws nearly as many at once, and a mistyped number must not fill the memory."""
HELD = 64
"""Frames of a clip that are held at a time, at its own size, where several windows of it are wanted."""
_ROUNDING = 0.25
"""Share of the interval before a frame within which a moment still means that frame, because containers round
timestamps (a GIF to hundredths of a second)."""
_VERSION = 1
"""Increased when equal settings give other frames than before, so that no cache mixes the two."""
_NAMED = 5
"""Clips named in a message; the others are counted."""
_SLOWER = 1.05
"""Factor by which frames may be further apart than wanted without a warning, because containers round times."""
_ROLES = {"exemplar": "exemplars", "regularization": "regularization clips", "subject": "subject clips"}


class Window(NamedTuple):
    """Indices of the frames taken from a clip, of which the last `padded` repeat its last frame."""

    indices: tuple[int, ...]
    padded: int


def check_window(*, frames: int, fps: float, start: str) -> None:
    """Raise a VmcError for settings of a window that are out of range."""
    if not isinstance(frames, int) or not 1 <= frames <= MAX_FRAMES:
        raise VmcError(f"data.frames is {frames}; it must be a whole number from 1 to {MAX_FRAMES}")
    check_rate("data.fps", fps)
    if start not in get_args(Start):
        raise VmcError(f"data.start is {start!r}; it must be one of {', '.join(get_args(Start))}")


def check_rate(key: str, rate: float) -> None:
    """Raise a VmcError for a value of `key` that is no rate in frames per second."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise VmcError(f"{key} is {rate}; it must be a number greater than 0, in frames a second, for example 12")


def even_times(total: int, rate: float) -> list[float]:
    """The times in seconds of `total` frames at `rate` frames per second."""
    return [index / rate for index in range(total)]


def typical_interval(times: Sequence[float]) -> float:
    """Median of the seconds between frames; 0 for a clip of one frame."""
    return statistics.median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else 0.0


def window(times: Sequence[float], *, frames: int, fps: float, start: Start, generator: Generator) -> Window:
    """The frames that a clip shows at `fps` moments per second; a clip that is too short is padded by its last frame.

    No frame is taken twice otherwise: of a clip with fewer frames per second than `fps`, each frame is taken once.

    Args:
        times: increasing times in seconds at which the clip's frames are shown.
        frames: frames wanted.
        fps: moments per second at which they are taken.
        start: `random` draws among all frames at which a whole window can begin, `first` takes frame 0, `centre` the
            middle of them. `whole` takes frames evenly over the whole clip, whatever `fps` is, so that a full turn
            continues evenly from the last frame to the first.
        generator: source of the draw for `random`.
    """
    check_window(frames=frames, fps=fps, start=start)
    if start == "whole":
        taken = [index * max(len(times), frames) // frames for index in range(frames)]
        return Window(tuple(min(index, len(times) - 1) for index in taken), max(0, frames - len(times)))
    if len(times) == 1 or typical_interval(times) * fps > 1:  # fewer frames per second than are wanted
        times = even_times(len(times), fps)
    after = times[-1] + (typical_interval(times) or 1 / fps)  # the end of the last frame
    # The first moment that means each frame, and finally the first one past the clip.
    onsets = [times[0], *(later - _ROUNDING * (later - earlier) for earlier, later in pairwise([*times, after]))]
    spare = max(0, bisect_left(times, onsets[-1] - (frames - 1) / fps) - 1)
    first = {"first": 0, "centre": spare // 2}.get(start)
    if first is None:
        first = int(torch.randint(spare + 1, (1,), generator=generator))
    shown = [bisect_right(onsets, times[first] + place / fps) - 1 for place in range(frames)]
    return Window(tuple(min(index, len(times) - 1) for index in shown), sum(index >= len(times) for index in shown))


def resize_and_crop(frames_FCHW: Tensor, size: int) -> Tensor:
    """Scale frames_FCHW, uint8, by one factor until they cover a square of `size` px, and center-crop them."""
    height, width = frames_FCHW.shape[2:]
    scale = max(size / height, size / width)
    scaled = max(size, round(height * scale)), max(size, round(width * scale))
    top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    # Frame by frame, because a long clip in floating point at its own size would take gigabytes.
    resized = [to_uint8(resize(frame_CHW[None], scaled)) for frame_CHW in frames_FCHW]
    return torch.cat(resized)[:, :, top : top + size, left : left + size].contiguous()


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """Reads a variant of a clip. The random draws depend only on the clip's bytes and the variant's number.

    See `window` for frames, fps and start. A VmcError names a setting that is out of range.
    """

    frames: int = 16  # F
    fps: float = 12.0  # moments per second at which frames are taken, whatever the clip's own rate
    start: Start = "random"
    size: int = 384  # height and width, px; the model says what it must be divisible by
    augmentation: Augmentation | None = None  # None takes the plain center crop, without mirroring
    mirror: bool = False  # whether the augmentation may swap left and right
    folder_fps: float = FOLDER_RATE  # frames per second of folders of frames, which do not say

    def __post_init__(self) -> None:
        check_window(frames=self.frames, fps=self.fps, start=self.start)
        check_rate("data.frame_folder_fps", self.folder_fps)
        if not isinstance(self.size, int) or not 8 <= self.size <= MAX_SIDE:
            raise VmcError(f"data.size is {self.size}; it must be a whole number from 8 to {MAX_SIDE}, in pixels")

    def __call__(self, path: Path, *, variant: int) -> Tensor:
        """frames_FCHW, uint8, F = `frames`, H = W = `size`; a VmcError if the clip cannot be read."""
        return self.reader(path, [variant])(variant)

    def reader(self, path: Path, variants: Collection[int]) -> Callable[[int], Tensor]:
        """A function from each of these variants to its frames_FCHW. The clip is hashed once, and decoded once unless
        its windows have more than `HELD` frames together, which would have to be held in memory.
        """
        content = fingerprint(path)
        indices = {variant: self.window(path, variant=variant, content=content).indices for variant in variants}
        wanted = sorted(set().union(*indices.values()))
        held_FCHW = read_frames(path, wanted) if len(wanted) <= max(HELD, self.frames) else None

        def frames(variant: int) -> Tensor:
            places = [wanted.index(index) for index in indices[variant]]
            taken_FCHW = read_frames(path, indices[variant]) if held_FCHW is None else held_FCHW[places]
            return self._finish(taken_FCHW, variant, content)

        return frames

    def plain_and_finished(self, path: Path, *, variant: int) -> tuple[Tensor, Tensor]:
        """frames_FCHW of a window twice: center-cropped alone, and as training sees them."""
        content = fingerprint(path)
        frames_FCHW = read_frames(path, self.window(path, variant=variant, content=content).indices)
        return resize_and_crop(frames_FCHW, self.size), self._finish(frames_FCHW, variant, content)

    def times(self, path: Path) -> tuple[float, ...]:
        """The times in seconds at which a clip's frames are shown, determined once per process."""
        state = path.stat() if path.exists() else None
        return _times(path, float(self.folder_fps), state and (state.st_mtime_ns, state.st_size))

    def window(self, path: Path, *, variant: int, content: str | None = None) -> Window:
        """Which frames of a clip are taken; `content` is its fingerprint, if that is known."""
        draw = generator(content or fingerprint(path), variant, "window")
        return window(self.times(path), frames=self.frames, fps=self.fps, start=self.start, generator=draw)

    def describe(self) -> str:
        """All settings that determine frames, as a text that is equal for equal settings."""
        settings = vars(self) | {"fps": float(self.fps), "folder_fps": float(self.folder_fps)}
        return f"clip transform {_VERSION}: {', '.join(f'{name}={value!r}' for name, value in settings.items())}"

    def _finish(self, frames_FCHW: Tensor, variant: int, content: str) -> Tensor:
        if self.augmentation is None:
            return resize_and_crop(frames_FCHW, self.size)
        draw = generator(content, variant, "augmentation")
        return self.augmentation(frames_FCHW, self.size, mirror=self.mirror, generator=draw)


@lru_cache(maxsize=10_000)
def _times(path: Path, folder_fps: float, state: tuple[int, int] | None) -> tuple[float, ...]:
    """Cached by the clip's `state`, its time of modification and size."""
    return tuple(frame_times(path, folder_rate=folder_fps))


class TimedClip(NamedTuple):
    """A clip with its duration and rate, and how a window of it differs from what is wanted."""

    clip: Clip
    seconds: float | None  # duration; None for a single frame
    rate: float | None  # frames per second; None for a single frame
    slow: bool  # whether it has so few frames per second that each is taken once and it plays faster
    padded: int  # frames of a window that repeat its last frame


def time_clip(clip: Clip, transform: ClipTransform) -> TimedClip:
    """Measure a clip's duration and rate, and what a window of it would lack; a VmcError if it cannot be read."""
    times = transform.times(clip.path)
    interval = typical_interval(times)
    # A clip that is too short for any window is too short for one from its first frame.
    whole = transform.start == "whole"
    start: Start = "whole" if whole else "first"
    padded = window(times, frames=transform.frames, fps=transform.fps, start=start, generator=generator(0)).padded
    slow = not whole and interval * transform.fps > _SLOWER
    return TimedClip(clip, times[-1] + interval if interval else None, 1 / interval if interval else None, slow, padded)


def log_timing(clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Log what part of a run's clips their windows cover, which are padded, and which play faster."""
    timed = [time_clip(clip, transform) for clip, transform in zip(clips, transforms, strict=True)]
    first = transforms[0]
    for level, sentence in timing_sentences(timed, frames=first.frames, fps=first.fps, whole=first.start == "whole"):
        logger.log(level, sentence)


def timing_sentences(
    timed: Sequence[TimedClip], *, frames: int, fps: float, whole: bool = False
) -> list[tuple[int, str]]:
    """Messages on the clips' timing with their log levels, that on the exemplars' window first; `whole` says that
    windows are taken evenly over each clip.
    """
    said = []
    # The duration of each exemplar, and the rate at which its frames are taken, which is its own where that is less.
    own = [(one.seconds, min(fps, one.rate or fps)) for one in timed if one.seconds and one.clip.role == "exemplar"]
    if own and whole:
        spans = _span([seconds for seconds, _ in own])
        said = [(logging.INFO, f"{frames} frames taken evenly over each clip, which are {spans}")]
    elif own and frames > 1:
        said = [_covered(own, frames=frames, fps=fps)]
    for role, called in _ROLES.items():
        clips = [one for one in timed if one.clip.role == role]
        short, slow = [], []
        for one in clips:
            length = _span([one.seconds]) if one.seconds else "one frame"
            short += [f"{one.clip.name} ({length}, {one.padded} time{'s' * (one.padded != 1)})"] if one.padded else []
            slow += [f"{one.clip.name} ({one.rate:.3g} fps)"] if one.slow else []
        for named, what in (
            (short, f"shorter than {frames} frames at {fps:g} fps, their last frame repeated"),
            (slow, f"of fewer frames a second than data.fps={fps:g}, which are taken once each and play faster"),
        ):
            if named:
                more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
                listed = f"({len(named)} of {len(clips)}): {', '.join(named[:_NAMED])}{more}"
                said.append((logging.WARNING, f"{called} {what} {listed}"))
    return said


def _covered(clips: Sequence[tuple[float, float]], *, frames: int, fps: float) -> tuple[int, str]:
    """The message on what part of clips, of these seconds and rates, a window covers, and the rate at which it would
    cover them.
    """
    seconds, windows = [length for length, _ in clips], [frames / rate for _, rate in clips]
    said = f"{frames} frames at {fps:g} fps: {_span(windows)}"
    if not (longer := [length for length, rate in clips if frames / rate < length - 0.5 / rate]):
        return logging.INFO, f"{said}, the whole of clips of {_span(seconds)}"
    longest, median, window = max(longer), statistics.median(seconds), statistics.median(windows)
    little = f", less than half of the median clip ({_span([median])})" if window < median / 2 else ""
    # Rounded down to two significant digits, so that the window does cover them.
    unit = 10 ** (math.floor(math.log10(frames / longest)) - 1)
    rate = math.floor(frames / longest / unit + 1e-9) * unit
    level = logging.WARNING if little else logging.INFO
    return level, f"{said} of clips of {_span(seconds)}{little}; data.fps={rate:g} would cover them"


def _span(seconds: Sequence[float]) -> str:
    """`2.1 to 3.4 s`, or `2.1 s` if all are equal."""
    shown = [f"{value:.1f}" if value >= 1 else f"{value:.2g}" for value in (min(seconds), max(seconds))]
    return f"{shown[0]} s" if shown[0] == shown[1] else f"{shown[0]} to {shown[1]} s"
