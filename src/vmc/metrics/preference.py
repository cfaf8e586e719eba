"""Which frames people would choose for a text: PickScore (Kirstain et al., 2023), or another CLIP of transformers.

Axes: B videos, F frames, C colors, H and W, N images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.base import Metric, Record, Scores, in_parts
from vmc.metrics.columns import Column, Measure
from vmc.metrics.networks.files import NetworkFile


class JudgeFolder(NetworkFile[Any]):
    """A folder of transformers' CLIPModel: settings, weights, tokenizer and `preprocessor_config.json`."""

    def open(self) -> Any:
        """Read the model, of its weights tensors alone, and what prepares texts and images for it."""
        from transformers import CLIPModel, CLIPProcessor

        model = CLIPModel.from_pretrained(str(self.path), local_files_only=True, weights_only=True)
        model.processor = CLIPProcessor.from_pretrained(str(self.path), local_files_only=True)
        return model


class Preference(Metric):
    """Column preference: the score of each frame for the full caption in natural language, averaged over frames.

    The score is a cosine times the scale that the model has learned (the release of PickScore), so that it compares
    with those of the same model alone. None without a caption.
    """

    name = "preference"
    columns = (Column("preference", measure=Measure("preference", "Preference", digits=2)),)

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.model = JudgeFolder(path=path, get=get)

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Judge the frames."""
        both = zip(frames_BFCHW, records, strict=True)
        return {"preference": [self._mean(frames_FCHW, record.language) for frames_FCHW, record in both]}

    def describe(self) -> dict[str, Any]:
        """The model; scores are scaled cosines."""
        return {"model": self.model.describe(), "scale": "learned"}

    @torch.no_grad()
    def _mean(self, frames_FCHW: Tensor, text: str | None) -> float | None:
        judge = self.model.network

        def scores(images_NCHW: Tensor) -> Tensor:
            inputs = judge.processor(text=[text], images=list(images_NCHW), truncation=True, return_tensors="pt")
            return judge(**inputs.to(self.model.device)).logits_per_image

        return in_parts(scores, frames_FCHW).mean().item() if text else None
