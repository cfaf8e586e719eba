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
"""Share of the interval before a frame by which a moment may lie before the frame and still mean it: containers round
timestamps, a GIF's to hundredths of a second."""
_VERSION = 1
"""Raised whenever equal settings give other frames than before, so that no cache mixes the two."""
_NAMED = 5
"""Clips named in one sentence; the others are counted."""
_SLOWER = 1.05
"""Times that an interval between frames is longer than wanted before it is worth a word: containers round times."""
_DIFFERENT = 1.25
"""Times that regularization clips are longer or shorter than the exemplars before their length is told, too."""
_ROLES = {"exemplar": "exemplars", "regularization": "regularization clips", "subject": "subject clips"}


class Window(NamedTuple):
    """Frames taken from a clip: their `indices`, of which the last `padded` repeat the clip's last frame."""

    indices: tuple[int, ...]
    padded: int


def check_window(*, frames: int, fps: float, start: str) -> None:
    """Raises a VmcError naming the argument that no window can be made of."""
    if not isinstance(frames, int) or not 1 <= frames <= MAX_FRAMES:
        most = f"from 1 to {MAX_FRAMES}, as windows lie in memory"
        raise VmcError(f"data.frames is {frames}; it must be a whole number {most}")
    check_rate("data.fps", fps)
    if start not in get_args(Start):
        raise VmcError(f"data.start is {start!r}; it must be one of {', '.join(get_args(Start))}")


def check_rate(key: str, rate: float) -> None:
    """Raises a VmcError naming the key whose value is no rate in frames a second."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise VmcError(f"{key} is {rate}; it must be a number greater than 0, in frames a second, for example 12")


def even_times(total: int, rate: float) -> list[float]:
    """The times, in seconds, of `total` frames of which `rate` are shown in a second."""
    return [index / rate for index in range(total)]


def typical_interval(times: Sequence[float]) -> float:
    """Seconds from one frame to the next, the median; 0 for a clip of one frame."""
    return statistics.median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else 0.0


def is_slower(times: Sequence[float], fps: float) -> bool:
    """Whether a clip has fewer frames a second than are wanted, so that each of its frames is taken once."""
    return typical_interval(times) * fps > 1


def window(times: Sequence[float], *, frames: int, fps: float, start: Start, generator: Generator) -> Window:
    """The frames that are shown at `fps` moments a second, in order; a clip that is too short is padded by its last.

    A frame is never shown twice for want of others: of a clip that is slower than `fps`, each frame is taken once.

    Args:
        times: when each frame of the clip is shown, seconds, increasing.
        frames: frames wanted.
        fps: moments a second at which they are taken.
        start: `random` draws among all frames at which a whole window begins, `first` takes frame 0, `centre` the
            middle of them; `whole` takes frames evenly over the whole clip from its first on, whatever `fps` is, so
            that those of a closed turn go on evenly from the last to the first.
        generator: source of the draw for `random`.
    """
    check_window(frames=frames, fps=fps, start=start)
    if start == "whole":
        taken = [index * max(len(times), frames) // frames for index in range(frames)]
        return Window(tuple(min(index, len(times) - 1) for index in taken), max(0, frames - len(times)))
    if len(times) == 1 or is_slower(times, fps):
        times = even_times(len(times), fps)
    after = times[-1] + (typical_interval(times) or 1 / fps)  # when the last frame is no longer shown
    # From when on a moment means a frame, and last, is past the clip.
    onsets = [times[0], *(later - _ROUNDING * (later - earlier) for earlier, later in pairwise([*times, after]))]
    spare = max(0, bisect_left(times, onsets[-1] - (frames - 1) / fps) - 1)
    first = {"first": 0, "centre": spare // 2}.get(start)
    if first is None:
        first = int(torch.randint(spare + 1, (1,), generator=generator))
    shown = [bisect_right(onsets, times[first] + place / fps) - 1 for place in range(frames)]
    return Window(tuple(min(index, len(times) - 1) for index in shown), sum(index >= len(times) for index in shown))


def resize_and_crop(frames_FCHW: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Frames scaled just so far that they cover the size, both sides by one factor, and cropped at their centre.

    Args:
        frames_FCHW: uint8.
        size: side of a square, or (height, width), px.

    Returns:
        frames_FCHW, uint8, at that size.
    """
    height, width = (size, size) if isinstance(size, int) else size
    source_height, source_width = frames_FCHW.shape[2:]
    scale = max(height / source_height, width / source_width)
    scaled = max(height, round(source_height * scale)), max(width, round(source_width * scale))
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    # Frame by frame: a long clip in floating point at its own size would take gigabytes.
    resized = [to_uint8(resize(frame_CHW[None], scaled)) for frame_CHW in frames_FCHW]
    return torch.cat(resized)[:, :, top : top + height, left : left + width].contiguous()


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A clip's frames in one of its variants; the draw hangs on the clip's bytes and the variant's number alone.

    See `window` for frames, fps and start. A VmcError names the setting that is out of its range.
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
        return self.reader(path, [variant])(variant)

    def reader(self, path: Path, variants: Collection[int]) -> Callable[[int], Tensor]:
        """What gives frames_FCHW of each of these variants, as a call does: the clip is hashed once, and decoded once
        unless its windows have more than `HELD` frames together, which would have to be held meanwhile.
        """
        content = fingerprint(path)
        indices = {variant: self._window(path, variant, content).indices for variant in variants}
        wanted = sorted(set().union(*indices.values()))
        held_FCHW = read_frames(path, wanted) if len(wanted) <= max(HELD, self.frames) else None

        def frames(variant: int) -> Tensor:
            if held_FCHW is None:
                return self._finish(read_frames(path, indices[variant]), variant, content)
            places = [bisect_left(wanted, index) for index in indices[variant]]
            return self._finish(held_FCHW[places], variant, content)

        return frames

    def plain_and_finished(self, path: Path, *, variant: int) -> tuple[Tensor, Tensor]:
        """frames_FCHW of one window twice: as they are in the clip, at the centre crop, and as training sees them."""
        content = fingerprint(path)
        frames_FCHW = read_frames(path, self._window(path, variant, content).indices)
        return resize_and_crop(frames_FCHW, self.size), self._finish(frames_FCHW, variant, content)

    def times(self, path: Path) -> tuple[float, ...]:
        """When each frame of a clip is shown, in seconds; a clip is gone through once in a process."""
        state = path.stat() if path.exists() else None
        return _times(path, float(self.folder_fps), state and (state.st_mtime_ns, state.st_size))

    def window(self, path: Path, *, variant: int) -> Window:
        """Which frames of a clip are taken."""
        return self._window(path, variant, fingerprint(path))

    def _window(self, path: Path, variant: int, content: str) -> Window:
        draw = generator(content, variant, "window")
        return window(self.times(path), frames=self.frames, fps=self.fps, start=self.start, generator=draw)

    def describe(self) -> str:
        """All that decides the frames of a clip and variant, in a text that is equal for equal settings."""
        rates = {"fps": float(self.fps), "folder_fps": float(self.folder_fps)}
        settings = ("frames", "fps", "start", "size", "augmentation", "mirror", "folder_fps")
        told = ", ".join(f"{name}={rates.get(name, getattr(self, name))!r}" for name in settings)
        return f"clip transform {_VERSION}: {told}"

    def _finish(self, frames_FCHW: Tensor, variant: int, content: str) -> Tensor:
        if self.augmentation is None:
            return resize_and_crop(frames_FCHW, self.size)
        draw = generator(content, variant, "augmentation")
        return self.augmentation(frames_FCHW, self.size, mirror=self.mirror, generator=draw)


@lru_cache(maxsize=10_000)
def _times(path: Path, folder_fps: float, state: tuple[int, int] | None) -> tuple[float, ...]:
    """`state` stands for the file's content."""
    return tuple(frame_times(path, folder_rate=folder_fps))


class TimedClip(NamedTuple):
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
    whole = transform.start == "whole"
    start: Start = "whole" if whole else "first"
    shortest = window(times, frames=transform.frames, fps=transform.fps, start=start, generator=generator(0))
    seconds, rate = (times[-1] + interval, 1 / interval) if interval else (None, None)
    slow = not whole and is_slower(times, transform.fps / _SLOWER)
    return TimedClip(clip, seconds, rate, slow, shortest.padded)


def log_timing(clips: Sequence[Clip], transforms: Sequence[ClipTransform]) -> None:
    """Log what the windows of a run's clips, each with its transform, cover, which are padded and which play faster."""
    timed = [time_clip(clip, transform) for clip, transform in zip(clips, transforms, strict=True)]
    first = transforms[0]
    for level, sentence in timing_sentences(timed, frames=first.frames, fps=first.fps, whole=first.start == "whole"):
        logger.log(level, sentence)


def timing_sentences(
    timed: Sequence[TimedClip], *, frames: int, fps: float, whole: bool = False
) -> list[tuple[int, str]]:
    """What is worth knowing about the clips' time: log levels and sentences, the exemplars' window first; `whole` says
    that windows are taken evenly over each clip.
    """
    by_role = {role: [clip for clip in timed if clip.clip.role == role] for role in _ROLES}
    own, others = ([clip.seconds for clip in by_role[role] if clip.seconds] for role in ("exemplar", "regularization"))
    said = [_covered(own, frames=frames, fps=fps)] if own and frames > 1 and not whole else []
    if own and whole:
        said = [(logging.INFO, f"{frames} frames taken evenly over each clip, which are {_span(own)}")]
    if own and others and not 1 / _DIFFERENT <= statistics.median(others) / statistics.median(own) <= _DIFFERENT:
        said.append((logging.INFO, f"regularization clips are {_span(others)}"))
    for role, clips in by_role.items():
        lengths = [_span([one.seconds]) if one.seconds else "one frame" for one in clips]
        times = [
            f"{length}, {one.padded} time{'s' * (one.padded != 1)}" for length, one in zip(lengths, clips, strict=True)
        ]
        short = [f"{one.clip.name} ({time})" for one, time in zip(clips, times, strict=True) if one.padded]
        slow = [f"{one.clip.name} ({one.rate:.3g} fps)" for one in clips if one.slow]
        for named, what in (
            (short, f"shorter than {frames} frames at {fps:g} fps, their last frame repeated"),
            (slow, f"of fewer frames a second than data.fps={fps:g}, which are taken once each and play faster"),
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
