"""The shipped networks as the metrics open them, and the way of a clip through autoencoder and mp4.

Axes: B videos, F frames, C colours, H and W, K classes, D features.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor

from vmc.data.video import read_frames, write_video
from vmc.metrics.base import in_parts
from vmc.metrics.networks.classifiers import TRNClassifier
from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.sscd import CopyNetwork
from vmc.metrics.quality import problem
from vmc.metrics.suite import Suite
from vmc.mini.card.settings import Settings
from vmc.mini.world.gestures import KNOWN
from vmc.models.base import Autoencoder, VideoModel

AT_ONCE = 16
"""Videos that are scored together."""
_SHIP = "python -m vmc.mini ship"
_KNOWN_PARTS = 64
T = TypeVar("T")


@dataclass(frozen=True)
class Networks:
    """What a folder of weights holds.

    Args:
        weights: the folder.
        settings: of the stack.

    Raises:
        VmcError: a network is missing, truncated or another one.
    """

    weights: Path
    settings: Settings

    def __post_init__(self) -> None:
        Suite(classifier=self.classifier, appearance=self.appearance, copying=self.copying).check(target=KNOWN[0])

    @cached_property
    def base(self) -> VideoModel:
        """The base model."""
        return self.settings.base(self.weights / "pipeline")

    @cached_property
    def classifier(self) -> TRNClassifier:
        """Of gestures."""
        return TRNClassifier(path=self.weights / "classifier.pth.tar", get=_SHIP)

    @cached_property
    def appearance(self) -> ImageTextNetwork:
        """Of frames and texts."""
        return ImageTextNetwork(path=self.weights / "appearance", get=_SHIP)

    @cached_property
    def copying(self) -> CopyNetwork:
        """Of frames, at the miniature's own size."""
        return CopyNetwork(path=self.weights / "copying.torchscript.pt", short_side=self.base.size, get=_SHIP)

    def gestures(self, frames_BFCHW: Tensor) -> list[str]:
        """What the classifier takes the videos for; nothing, where a video shows nothing."""
        places = self.classifier.probabilities(frames_BFCHW).argmax(1).tolist()
        labels = self.classifier.labels
        return [
            "" if problem(frames_FCHW) else labels[place]
            for frames_FCHW, place in zip(frames_BFCHW, places, strict=True)
        ]

    def features(self, frames_BFCHW: Tensor) -> Tensor:
        """features_BD whose product with a text's is the mean cosine over frames."""
        features_ND = in_parts(self.appearance.encode_frames, frames_BFCHW.flatten(0, 1))
        return features_ND.unflatten(0, frames_BFCHW.shape[:2]).mean(1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """features_TD, of each text by itself, as the metric takes them."""
        return torch.cat([self._text(text) for text in texts])

    @cached_property
    def _text(self) -> Any:
        return cache(lambda text: self.appearance.encode_texts([text]).float().cpu())


class Remembering:
    """A copy descriptor that describes pictures once which it is shown again and again.

    Videos are compared with many sets of exemplars, and each comparison describes them.
    """

    def __init__(self, network: CopyNetwork) -> None:
        self.network, self.sha256 = network, network.sha256
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        """descriptors_ND."""
        key = hashlib.sha256(frames_NCHW.contiguous().numpy().tobytes()).digest()
        if key not in self._known:
            if len(self._known) >= _KNOWN_PARTS:
                self._known.clear()
            self._known[key] = self.network(frames_NCHW)
        return self._known[key]

    def describe(self) -> dict[str, Any]:
        """The network."""
        return self.network.describe()


class RoundTrip:
    """Clips as the pipeline's autoencoder gives them back, written as mp4 and read: what generated videos go through.

    Args:
        autoencoder: the pipeline's.
        fps: of the files.
    """

    def __init__(self, autoencoder: Autoencoder, *, fps: float) -> None:
        self.autoencoder, self.fps = autoencoder, fps

    def __call__(self, frames_FCHW: Tensor) -> Tensor:
        """frames_FCHW, uint8."""
        mean_CFHW = self.autoencoder.encode(frames_FCHW)[0]
        with TemporaryDirectory() as folder:
            file = Path(folder) / "clip.mp4"
            write_video(file, self.autoencoder.decode(mean_CFHW[None])[0], fps=self.fps)
            return read_frames(file)


def in_batches(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """The items, `size` at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
