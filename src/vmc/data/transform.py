"""From a clip on disk to the frames that are encoded: window, then augmentation or plain resizing.

Axes: F frames, C colour channels, H rows, W columns.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vmc.data.augmentation import Augmentation
from vmc.data.frames import Start, check_window, resize_and_crop, window
from vmc.data.video import count_frames, read_frames
from vmc.errors import VmcError
from vmc.files import fingerprint
from vmc.randomness import generator

logger = logging.getLogger(__name__)

_VERSION = 1
"""Raised whenever equal settings give other frames than before, so that no cache mixes the two."""


@dataclass(frozen=True, kw_only=True)
class ClipTransform:
    """A clip's frames in one of its variants; the draw hangs on the clip's bytes and the variant's number alone.

    Args:
        frames: frames taken.
        step: distance between them, in frames of the clip.
        start: `random`, `first` or `centre`: see `vmc.data.frames.window`.
        size: height and width, pixels, divisible by 8 as the VAE needs.
        augmentation: None takes the centre crop as it is, not mirrored either.
        mirror: whether the augmentation may swap left and right.

    Raises:
        VmcError: naming the setting that is out of its range.
    """

    frames: int = 16
    step: int = 1
    start: Start = "random"
    size: int = 384
    augmentation: Augmentation | None = None
    mirror: bool = False
    _told: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_window(frames=self.frames, step=self.step, start=self.start)
        if self.size < 8 or self.size % 8:
            nearest = max(8, round(self.size / 8) * 8)
            raise VmcError(f"data.size is {self.size}; it must be divisible by 8, for example {nearest}")

    def __call__(self, path: Path, *, variant: int) -> Tensor:
        """frames_FCHW, uint8, F = `frames`, H = W = `size`.

        Raises:
            VmcError: the clip cannot be read.
        """
        total = count_frames(path)
        content = fingerprint(path)
        start_draw = generator(content, variant, "window")
        taken = window(total, frames=self.frames, step=self.step, start=self.start, generator=start_draw)
        self._tell_of_padding(path, total, taken.padded)
        frames_FCHW = read_frames(path, taken.indices)
        if self.augmentation is None:
            return resize_and_crop(frames_FCHW, self.size)
        draw = generator(content, variant, "augmentation")
        return self.augmentation(frames_FCHW, self.size, mirror=self.mirror, generator=draw)

    def describe(self) -> str:
        """All that decides the frames of a clip and variant, in a text that is equal for equal settings."""
        settings = ("frames", "step", "start", "size", "augmentation", "mirror")
        return f"clip transform {_VERSION}: " + ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)

    def _tell_of_padding(self, path: Path, total: int, padded: int) -> None:
        if not padded or str(path) in self._told:
            return
        self._told.add(str(path))
        needed = (self.frames - 1) * self.step + 1
        logger.warning(
            f"clip {path} has {total} frame{'s' * (total != 1)}, {needed} are needed: "
            f"its last frame is repeated {padded} time{'s' * (padded != 1)}"
        )
