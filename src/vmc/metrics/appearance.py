"""Whether a video shows what its prompt says: cosines between frames and texts (paper, Sec. 4), raw, unscaled.

Axes: B videos, F frames, C colours, H and W, N images or texts, D features.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from vmc.metrics.base import Metric, Record, RunContext, in_parts
from vmc.metrics.columns import Column, Measure, Value


class ImageText(Protocol):
    """Images and texts to features of length one, whose dot product is their cosine."""

    def encode_frames(self, frames_NCHW: Tensor) -> Tensor:
        """features_ND of RGB uint8 frames of any size."""

    def encode_texts(self, texts: list[str]) -> Tensor:
        """features_ND."""

    def describe(self) -> dict[str, Any]:
        """What the features depend on."""


class Appearance(Metric):
    """Columns appearance (frames against the subject's phrase), text_alignment (against the full caption in natural
    language), both the mean over frames, and frame_consistency (the mean cosine of consecutive frames).

    A record without subject or caption has None there. Text features are made once a text.

    Args:
        model: of images and texts.
    """

    name = "appearance"
    columns = (
        Column("appearance", measure=Measure("appearance", "Appearance", rank=0, curve=True)),
        Column("text_alignment", measure=Measure("text_alignment", "Text alignment", rank=0, tables=("table1",))),
        Column("frame_consistency", measure=Measure("frame_consistency", "Frame consistency", better="neither")),
    )

    def __init__(self, *, model: ImageText) -> None:
        self.model = model
        self._texts: dict[str, Tensor] = {}

    def prepare(self, run: RunContext) -> bool:
        """Begin without any text."""
        self._texts = {}
        return True

    @torch.no_grad()
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""
        features_ND = in_parts(self.model.encode_frames, frames_BFCHW.flatten(0, 1))
        features_BFD = features_ND.unflatten(0, frames_BFCHW.shape[:2])
        self._encode({text for record in records for text in (record.subject, record.language) if text})
        consecutive_BF = (features_BFD[:, 1:] * features_BFD[:, :-1]).sum(-1)
        return {
            "appearance": [
                self._cosine(part, record.subject) for part, record in zip(features_BFD, records, strict=True)
            ],
            "text_alignment": [
                self._cosine(part, record.language) for part, record in zip(features_BFD, records, strict=True)
            ],
            "frame_consistency": [part.mean().item() if len(part) else None for part in consecutive_BF],
        }

    def describe(self) -> dict[str, Any]:
        """The network; scores are cosines."""
        return {"model": self.model.describe(), "scale": "raw cosine"}

    def _encode(self, texts: set[str]) -> None:
        # One by one: a text's features must not hang on the texts beside it.
        for text in sorted(texts - self._texts.keys()):
            self._texts[text] = self.model.encode_texts([text])[0].float().cpu()

    def _cosine(self, features_FD: Tensor, text: str | None) -> float | None:
        return (features_FD @ self._texts[text]).mean().item() if text else None
