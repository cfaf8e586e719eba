"""From a clip on disk to the frames that are encoded: window, then augmentation or plain resizing.

Axes: F frames, C colour channels, H rows, W columns.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from vmc.data.augmentation import Augmentation
from vmc.data.frames import Start, Window, check_rate, check_window, resize_and_crop, window
from vmc.data.limits import MAX_SIDE
from vmc.data.video import FOLDER_RATE, frame_times, read_frames
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint
from vmc.utils.randomness import generator

_VERSION = 1
"""Raised whenever equal settings give other frames than before, so that no cache mixes the two."""


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A clip's frames in one of its variants; the draw hangs on the clip's bytes and the variant's number alone.

    Args:
        frames: frames taken.
        fps: moments a second at which they are taken, whatever the clip's own rate: see `vmc.data.frames.window`.
        start: `random`, `first` or `centre`: see `vmc.data.frames.window`.
        size: height and width, pixels; what it must be divisible by is the model's to say.
        augmentation: None takes the centre crop as it is, not mirrored either.
        mirror: whether the augmentation may swap left and right.
        folder_fps: frames a second of clips that are folders of frames.

    Raises:
        VmcError: naming the setting that is out of its range.
    """

    frames: int = 16
    fps: float = 12.0
    start: Start = "random"
    size: int = 384
    augmentation: Augmentation | None = None
    mirror: bool = False
    folder_fps: float = FOLDER_RATE

    def __post_init__(self) -> None:
        check_window(frames=self.frames, fps=self.fps, start=self.start)
        check_rate("data.frame_folder_fps", self.folder_fps)
        if not isinstance(self.size, int):
            raise VmcError(f"data.size is {self.size}; it must be a whole number, height and width in pixels")
        if self.size > MAX_SIDE:
            raise VmcError(f"data.size is {self.size}; it must be at most {MAX_SIDE}, height and width in pixels")
        if self.size < 8:
            raise VmcError(f"data.size is {self.size}; it must be at least 8, height and width in pixels")

    def __call__(self, path: Path, *, variant: int) -> Tensor:
        """frames_FCHW, uint8, F = `frames`, H = W = `size`.

        Raises:
            VmcError: the clip cannot be read.
        """
        return self._finished(self._read(path, variant), path, variant)

    def plain_and_finished(self, path: Path, *, variant: int) -> tuple[Tensor, Tensor]:
        """frames_FCHW of one window twice: as they are in the clip, at the centre crop, and as training sees them.

        Raises:
            VmcError: the clip cannot be read.
        """
        frames_FCHW = self._read(path, variant)
        return resize_and_crop(frames_FCHW, self.size), self._finished(frames_FCHW, path, variant)

    def times(self, path: Path) -> tuple[float, ...]:
        """When each frame of a clip is shown, in seconds; a clip is gone through once in a process.

        Raises:
            VmcError: the clip cannot be read.
        """
        state = path.stat() if path.exists() else None
        return _times(path, float(self.folder_fps), state and (state.st_mtime_ns, state.st_size))

    def window(self, path: Path, *, variant: int) -> Window:
        """Which frames of a clip are taken.

        Raises:
            VmcError: the clip cannot be read.
        """
        times = self.times(path)
        draw = generator(fingerprint(path), variant, "window")
        return window(times, frames=self.frames, fps=self.fps, start=self.start, generator=draw)

    def describe(self) -> str:
        """All that decides the frames of a clip and variant, in a text that is equal for equal settings."""
        rates = {"fps": float(self.fps), "folder_fps": float(self.folder_fps)}
        settings = ("frames", "fps", "start", "size", "augmentation", "mirror", "folder_fps")
        told = ", ".join(f"{name}={rates.get(name, getattr(self, name))!r}" for name in settings)
        return f"clip transform {_VERSION}: {told}"

    def _read(self, path: Path, variant: int) -> Tensor:
        return read_frames(path, self.window(path, variant=variant).indices)

    def _finished(self, frames_FCHW: Tensor, path: Path, variant: int) -> Tensor:
        if self.augmentation is None:
            return resize_and_crop(frames_FCHW, self.size)
        draw = generator(fingerprint(path), variant, "augmentation")
        return self.augmentation(frames_FCHW, self.size, mirror=self.mirror, generator=draw)


@lru_cache(maxsize=10_000)
def _times(path: Path, folder_fps: float, state: tuple[int, int] | None) -> tuple[float, ...]:
    """`state` stands for the file's content."""
    return tuple(frame_times(path, folder_rate=folder_fps))
