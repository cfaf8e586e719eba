"""Whether a video shows a given person or thing: cosines between its frames and stills of it, as DINO and CLIP-I of
DreamBooth (Ruiz et al., 2022, Sec. 4.1).

Axes: B videos, F frames, C colors, H and W, N images, S stills, D features.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vmc.metrics.base import Metric, NamedClips, Record, RunContext, Scores, in_parts
from vmc.metrics.columns import Column, Measure
from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.sscd import CopyNetwork
from vmc.metrics.quality import as_uint8
from vmc.utils.errors import VmcError

COPIES = Column("subject_similarity", measure=Measure("subject_similarity", "Subject similarity"))
PICTURES = Column("subject_similarity_clip", measure=Measure("subject_similarity_clip", "Subject similarity, CLIP"))


class SubjectSimilarity(Metric):
    """Columns subject_similarity, by the copy descriptor, and subject_similarity_clip, by the image encoder of CLIP:
    the mean over all F x S pairs of a frame and a still of the cosine of their features.

    DreamBooth uses DINO in place of the copy descriptor; a network that is None has no column. Features are of the
    whole picture with its place and framing, so a value means something only beside that of videos of somebody else.

    Args:
        stills: names and frames_FCHW of stills of the subject; all frames count alike.
        descriptor, encoder: the networks.
    """

    name = "subject_similarity"
    columns: tuple[Column, ...] = (COPIES, PICTURES)

    def __init__(self, *, stills: NamedClips, descriptor: CopyNetwork | None, encoder: ImageTextNetwork | None) -> None:
        self.stills, self.descriptor, self.encoder = stills, descriptor, encoder
        self.columns = tuple(column for column in (COPIES, PICTURES) if column.name in self._encoders())
        if not self.columns:
            raise VmcError("metrics.subject_similarity has neither descriptor nor encoder; give one of them, or both")

    def prepare(self, run: RunContext) -> bool:
        """Compute the mean features of the stills, of which there must be some."""
        pictures, digest = list[Tensor](), hashlib.sha256()
        for _, still_FCHW in self.stills:
            frames_FCHW = as_uint8(still_FCHW)
            pictures.append(frames_FCHW)
            digest.update(repr(tuple(frames_FCHW.shape)).encode() + frames_FCHW.contiguous().numpy().tobytes())
        if not pictures:
            raise VmcError("metrics.subject_similarity.stills holds no stills; give a folder of some")
        self._about = {"count": sum(map(len, pictures)), "sha256": digest.hexdigest()}
        self._means = {  # a still at a time: they may differ in size
            column: torch.cat([self._features(encode, still_FCHW) for still_FCHW in pictures]).mean(0)
            for column, encode in self._encoders().items()
        }
        return True

    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Compare each frame with each still: the mean of the products is the product of the means."""
        images_NCHW, batch = frames_BFCHW.flatten(0, 1), len(frames_BFCHW)
        return {
            column: (self._features(encode, images_NCHW) @ self._means[column]).view(batch, -1).mean(1).tolist()
            for column, encode in self._encoders().items()
        }

    def describe(self) -> dict[str, Any]:
        """The networks and the stills; scores with other stills are not comparable."""
        about = {name: network.describe() for name, network in self.networks.items()}
        return {**about, "stills": self._about, "formula": "mean cosine of frames and stills"}

    def _encoders(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The encoder of each column."""
        both = ((COPIES, self.descriptor), (PICTURES, self.encoder.encode_frames if self.encoder else None))
        return {column.name: encode for column, encode in both if encode is not None}

    @staticmethod
    @torch.no_grad()
    def _features(encode: Callable[[Tensor], Tensor], images_NCHW: Tensor) -> Tensor:
        """Compute features_ND of length one."""
        return F.normalize(in_parts(encode, images_NCHW), dim=-1)
