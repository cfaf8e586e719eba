"""Whether a video shows what its prompt says: cosines between frames and texts (paper, Sec. 4), without scaling; and
which frames people would prefer for a text: PickScore (Kirstain et al., 2023), or another CLIP of transformers.

Axes: B videos, F frames, C colors, H and W, N images or texts, D features.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmc.metrics.base import Metric, Record, RunContext, Scores, in_parts
from vmc.metrics.columns import Column, Measure
from vmc.metrics.networks.files import ImageTextNetwork, NetworkFile

ALIGNMENT = Column("text_alignment", measure=Measure("text_alignment", "Text alignment", rank=0, tables=("table1",)))


class Appearance(Metric):
    """Columns appearance (frames against the subject's phrase), text_alignment (against the full caption in natural
    language), both the mean over frames, and frame_consistency (the mean cosine of consecutive frames).

    Records without a subject or a caption have None there.
    """

    name = "appearance"
    columns: tuple[Column, ...] = (
        Column("appearance", measure=Measure("appearance", "Appearance", rank=0, curve=True)),
        ALIGNMENT,
        Column("frame_consistency", measure=Measure("frame_consistency", "Frame consistency", better="neither")),
    )

    def __init__(self, *, model: ImageTextNetwork, alignment_in_tables: bool = True) -> None:
        self.model = model
        self._texts: dict[str, Tensor] = {}  # features_D of each text
        if not alignment_in_tables:  # it is measured, but stands in none of the paper's tables
            alignment = replace(ALIGNMENT, measure=Measure("text_alignment", "Text alignment", rank=0))
            self.columns = tuple(alignment if column is ALIGNMENT else column for column in self.columns)

    def prepare(self, run: RunContext) -> bool:
        """Forget the texts of other runs."""
        self._texts = {}
        return True

    @torch.no_grad()
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Compare frames with texts and with the frames after them."""
        features_ND = in_parts(self.model.encode_frames, frames_BFCHW.flatten(0, 1))
        features_BFD = features_ND.unflatten(0, frames_BFCHW.shape[:2])
        consecutive_BF = (features_BFD[:, 1:] * features_BFD[:, :-1]).sum(-1)
        both = list(zip(features_BFD, records, strict=True))
        return {
            "appearance": [self._cosine(features_FD, record.subject) for features_FD, record in both],
            "text_alignment": [self._cosine(features_FD, record.language) for features_FD, record in both],
            "frame_consistency": [cosines_F.mean().item() if len(cosines_F) else None for cosines_F in consecutive_BF],
        }

    def describe(self) -> dict[str, Any]:
        """The network, and that its cosines are not scaled."""
        return {"model": self.model.describe(), "scale": "raw cosine"}

    def _cosine(self, features_FD: Tensor, text: str | None) -> float | None:
        if not text:
            return None
        if text not in self._texts:  # one by one: a text's features must not depend on the other texts of a batch
            self._texts[text] = self.model.encode_texts([text])[0].float().cpu()
        return (features_FD @ self._texts[text]).mean().item()


class JudgeFolder(NetworkFile[Any]):
    """A folder of transformers' CLIPModel: settings, weights, tokenizer and `preprocessor_config.json`."""

    def open(self) -> Any:
        """Load the model, its weights as tensors only, and its processor of texts and images."""
        from transformers import CLIPModel, CLIPProcessor

        model = CLIPModel.from_pretrained(str(self.path), local_files_only=True, weights_only=True)
        model.processor = CLIPProcessor.from_pretrained(str(self.path), local_files_only=True)
        return model


class Preference(Metric):
    """Column preference: the score of each frame for the full caption in natural language, averaged over frames.

    The score is a cosine times the model's learned scale, as in the release of PickScore, so it compares only with
    scores of the same model. None without a caption.
    """

    name = "preference"
    columns = (Column("preference", measure=Measure("preference", "Preference", digits=2)),)

    def __init__(self, *, path: str | Path, get: str = "") -> None:
        self.model = JudgeFolder(path=path, get=get)

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Score the frames of each video."""
        both = zip(frames_BFCHW, records, strict=True)
        return {"preference": [self._mean(frames_FCHW, record.language) for frames_FCHW, record in both]}

    def describe(self) -> dict[str, Any]:
        """The model, and that its cosines are scaled."""
        return {"model": self.model.describe(), "scale": "learned"}

    @torch.no_grad()
    def _mean(self, frames_FCHW: Tensor, text: str | None) -> float | None:
        judge = self.model.network

        def scores(images_NCHW: Tensor) -> Tensor:
            inputs = judge.processor(text=[text], images=list(images_NCHW), truncation=True, return_tensors="pt")
            return judge(**inputs.to(self.model.device)).logits_per_image

        return in_parts(scores, frames_FCHW).mean().item() if text else None
