"""Which frames people would choose for a text: PickScore (Kirstain et al., 2023), or another CLIP of transformers.

Axes: B videos, F frames, C colours, H and W, N images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmc.metrics.base import Metric, Record, in_parts
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.networks.files import NetworkFile


@dataclass(frozen=True)
class Judge:
    """A CLIP, and what prepares texts and images for it."""

    model: nn.Module
    processor: Any


class JudgeFolder(NetworkFile[Judge]):
    """A folder of transformers' CLIPModel: settings, weights, tokenizer and `preprocessor_config.json`."""

    def open(self) -> Judge:
        """The model, in eval mode; of the weights tensors alone are read."""
        from transformers import CLIPModel, CLIPProcessor

        model = CLIPModel.from_pretrained(str(self.path), local_files_only=True, weights_only=True)
        processor = CLIPProcessor.from_pretrained(str(self.path), local_files_only=True)
        return Judge(model.requires_grad_(False).eval().to(self.device), processor)

    @staticmethod
    def module(opened: Judge) -> nn.Module:
        """The model."""
        return opened.model


class Preference(Metric):
    """Column preference: the score of each frame for the full caption in natural language, averaged over frames.

    The score is a cosine times the scale that the model has learned (the release of PickScore), so that it compares
    with those of the same model alone. None without a caption.

    Args:
        path: the folder.
        get: the command that gets it.
    """

    name = "preference"
    columns = (Column("preference", measure=Measure("preference", "Preference", digits=2)),)

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.model = JudgeFolder(path=path, get=get)

    @torch.no_grad()
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Mapping[str, Sequence[Value]]:
        """Of each column the values of these videos."""
        told = [(frames_FCHW, record.language) for frames_FCHW, record in zip(frames_BFCHW, records, strict=True)]
        return {"preference": [self._mean(frames_FCHW, text) if text else None for frames_FCHW, text in told]}

    def describe(self) -> dict[str, Any]:
        """The model; scores are scaled cosines."""
        return {"model": self.model.describe(), "scale": "learned"}

    def _mean(self, frames_FCHW: Tensor, text: str) -> float:
        judge = self.model.network

        def scores(images_NCHW: Tensor) -> Tensor:
            asked = judge.processor(text=[text], images=list(images_NCHW), truncation=True, return_tensors="pt")
            return judge.model(**asked.to(self.model.device)).logits_per_image

        return in_parts(scores, frames_FCHW).mean().item()
