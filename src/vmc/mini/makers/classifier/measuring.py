"""How well the classifier does on clips that it was never trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vmc.mini.makers.classifier.clips import NO_GESTURE, WHOLE, WINDOW, labeled_clip
from vmc.mini.world.gestures import LABELS
from vmc.tools.learning.learner import classes_of
from vmc.tools.learning.shards import Shards


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Shares of clips that are read right, 0 to 1.

    Attributes:
        whole: rendered, a frame of each eighth of the clip.
        window: rendered, eight frames four apart.
        decoded: the windows after the autoencoder.
        faint: clips with faint hands that are read as "No gesture".
        confused: (is, read as) -> how often, of the decoded windows.
    """

    whole: float
    window: float
    decoded: float
    faint: float
    confused: Counter[tuple[str, str]]

    def __str__(self) -> str:
        worst = ", ".join(f"{first} as {second} {count}x" for (first, second), count in self.confused.most_common(4))
        return (
            f"rendered {self.whole:.1%} (windows {self.window:.1%}), decoded {self.decoded:.1%},"
            f" faint hands {self.faint:.1%}; {worst or 'nothing confused'}"
        )


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Measures a network.

    Args:
        clips: rendered views of visible gestures.
        decoded: their windows after the autoencoder, in the same order.
        faint: rendered views of clips whose hands are faint.
        device: of the network.
    """

    clips: Shards
    decoded: Shards
    faint: Shards
    device: str = "cpu"

    def __call__(self, network: nn.Module) -> Figures:
        """The figures of a network in eval mode."""
        labels = np.array([labeled_clip(self.clips.first + index).label for index in range(len(self.clips))])
        views = self.clips.items(range(len(self.clips)))
        whole, window = (self._read(network, views[:, view]) for view in (WHOLE, WINDOW))
        decoded = self._read(network, self.decoded.items(range(len(self.decoded))))
        faint = self._read(network, self.faint.items(range(len(self.faint)))[:, WINDOW])
        return Figures(
            whole=float((whole == labels).mean()),
            window=float((window == labels).mean()),
            decoded=float((decoded == labels).mean()),
            faint=float((faint == NO_GESTURE).mean()),
            confused=confusions(labels.tolist(), decoded.tolist()),
        )

    def _read(self, network: nn.Module, frames_NSHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        return classes_of(network, frames_NSHWC, device=self.device)


def confusions(labels: Sequence[int], found: Sequence[int]) -> Counter[tuple[str, str]]:
    """(is, read as) -> how often, where they differ."""
    return Counter((LABELS[label], LABELS[read]) for label, read in zip(labels, found, strict=True) if label != read)
