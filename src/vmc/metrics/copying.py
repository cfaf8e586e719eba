"""How much a video copies the training clips: the similarity of copy descriptors (paper, Sec. 4.2 and Supp. C).

Axes: B videos, F frames, C colors, H and W, N images, D descriptor width, R frames of the clips compared with.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.metrics.base import Metric, NamedClips, Record, RunContext, Scores, in_parts
from vmc.metrics.columns import Column, Measure, Value
from vmc.metrics.networks.sscd import CopyNetwork
from vmc.metrics.quality import as_uint8
from vmc.utils.cache import ONLY, Cache
from vmc.utils.errors import VmcError

COPY_THRESHOLD = 0.25  # SSCD similarity above which a video counts as copied (paper, Sec. 4.2)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Descriptors of all frames of some clips, and which clip and frame each belongs to."""

    descriptors_RD: Tensor
    clips: list[str]
    frames: list[int]
    about: dict[str, Any]

    def similarity(self, descriptors_FD: Tensor) -> Tensor:
        """similarity_R of each reference frame to the most similar frame of a video."""
        return (descriptors_FD @ self.descriptors_RD.T).amax(0)


def copy_columns(threshold: float = COPY_THRESHOLD) -> tuple[Column, ...]:
    """The columns of `Copying`; videos with a similarity above the threshold count as copied."""
    shown: dict[str, Any] = {"digits": 1, "better": "lower"}
    copies = Measure("copy_score", "Copies, %", how="share", rank=0, tables=("table2",), curve=True, **shown)
    any_frame = Measure("copy_score_any", "Copies of any frame, %", how="above", threshold=threshold, **shown)
    return (
        Column("copy_similarity_first", title="Similarity to an exemplar's first frame"),
        Column("copy_similarity_any", title="Similarity to any exemplar frame", measure=any_frame),
        Column("regularization_similarity", title="Similarity to a regularization clip"),
        Column("copied", kind="truth", title="", measure=copies),
        Column("nearest_clip", kind="text"),
        Column("nearest_frame", kind="integer"),
    )


class Copying(Metric):
    """Columns copy_similarity_first (the maximum over the video's frames and the exemplars' first frames; Sec. 4.2),
    copy_similarity_any (over all frames of the exemplars; Supp. C), copied (`first` is above the threshold),
    nearest_clip and nearest_frame (of `any`; frames count from 0), and regularization_similarity (over all frames of
    the regularization clips; None without them).
    """

    name = "copying"
    columns = copy_columns()

    def __init__(self, *, descriptor: CopyNetwork, threshold: float = COPY_THRESHOLD) -> None:
        self.descriptor, self.threshold = descriptor, threshold
        self.columns = copy_columns(threshold)

    def prepare(self, run: RunContext) -> bool:
        """Compute the descriptors of the run's clips, which are cached. A run without exemplars is refused."""
        if run.exemplars is None:
            return False
        self.cache = run.cache
        found = self._reference(run.exemplars, label="exemplars")
        if found is None:
            raise VmcError("there are no exemplars to compare with; give the clips that the model was trained on")
        self.exemplars = found
        self.first = torch.tensor([frame == 0 for frame in found.frames])
        self.regularization = self._reference(run.regularization, label="regularization clips")
        return True

    @torch.no_grad()
    def score(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Scores:
        """Compare the frames of each video with the run's clips."""
        descriptors_BFD = in_parts(self.descriptor, frames_BFCHW.flatten(0, 1)).unflatten(0, frames_BFCHW.shape[:2])
        rows = [self._row(descriptors_FD) for descriptors_FD in descriptors_BFD]
        return {column.name: [row[column.name] for row in rows] for column in self.columns}

    def describe(self) -> dict[str, Any]:
        """The network, the threshold, and the clips that videos are compared with."""
        about = {"descriptor": self.descriptor.describe(), "threshold": self.threshold}
        references = {"exemplars": self.exemplars, "regularization": self.regularization}
        return about | {name: found.about for name, found in references.items() if found}

    def _row(self, descriptors_FD: Tensor) -> dict[str, Value]:
        similarity_R = self.exemplars.similarity(descriptors_FD)
        nearest, first = int(similarity_R.argmax()), similarity_R[self.first].max().item()
        others = self.regularization
        return {
            "copy_similarity_first": first,
            "copy_similarity_any": similarity_R[nearest].item(),
            "regularization_similarity": others.similarity(descriptors_FD).max().item() if others else None,
            "copied": first > self.threshold,
            "nearest_clip": self.exemplars.clips[nearest],
            "nearest_frame": self.exemplars.frames[nearest],
        }

    def _reference(self, clips: NamedClips, *, label: str) -> Reference | None:
        parts, names, frames, digest = list[Tensor](), list[str](), list[int](), hashlib.sha256()
        for name, clip_FCHW in tqdm(clips, desc=label, unit="clip", disable=None, leave=False):
            frames_FCHW = as_uint8(clip_FCHW)
            key = hashlib.sha256(repr(tuple(frames_FCHW.shape)).encode())
            key.update(frames_FCHW.cpu().contiguous().numpy().tobytes())
            digest.update(key.hexdigest().encode())
            parts.append(self._describe_clip(frames_FCHW, key=key.hexdigest()))
            names += [name] * len(frames_FCHW)
            frames += range(len(frames_FCHW))
        if not parts:
            return None
        about = {"clips": len(parts), "sha256": digest.hexdigest()}
        return Reference(descriptors_RD=torch.cat(parts), clips=names, frames=frames, about=about)

    @torch.no_grad()
    def _describe_clip(self, frames_FCHW: Tensor, *, key: str) -> Tensor:
        """descriptors_FD, from the cache where it has them."""
        if self.cache is None:
            return in_parts(self.descriptor, frames_FCHW)
        settings = repr(sorted(self.descriptor.describe().items()))
        name = hashlib.sha256(f"{self.descriptor.sha256}\x1f{settings}\x1f{key}".encode()).hexdigest()
        found = Cache(self.cache).tensors(
            {name: frames_FCHW}, lambda: lambda frames_FCHW: {ONLY: in_parts(self.descriptor, frames_FCHW)}
        )
        return found[name][ONLY]
