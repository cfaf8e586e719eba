"""What the base model's videos show, read back from their files.

Axes: N videos, F frames, C colours, H and W, S subjects, D features, R draws of exemplars.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vmc.data.video import read_frames
from vmc.metrics.quality import problem
from vmc.mini.card.copies import ExemplarSets
from vmc.mini.card.intervals import Figure, mean, scaled, share_of_clips
from vmc.mini.card.networks import Networks, in_batches
from vmc.mini.card.rendered import subjects
from vmc.mini.card.videos import Asked
from vmc.mini.world.gestures import TARGETS
from vmc.utils.errors import VmcError


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The test set's videos.

    Args:
        subjects: asked for, one for each video.
        gestures: that the classifier sees; "" in a video that shows nothing.
        cosines_NS: mean over frames with every subject's phrase; NaN in a video that shows nothing.
        similarities: of each target, similarities_NR with every draw of its exemplars.
    """

    subjects: list[str]
    gestures: list[str]
    cosines_NS: NDArray[np.float64]
    similarities: dict[str, NDArray[np.float64]]

    @property
    def own(self) -> list[float]:
        """Appearance with the own subject."""
        return [float(row[self._place(place)]) for place, row in enumerate(self.cosines_NS)]

    @property
    def others(self) -> list[float]:
        """Mean appearance with all other subjects."""
        count = self.cosines_NS.shape[1] - 1
        return [float(row.sum() - own) / count for row, own in zip(self.cosines_NS, self.own, strict=True)]

    def figures(self) -> dict[str, Figure]:
        """`base_targets_token` and `clip_top1_generated`; a video that shows nothing is wrong."""
        # The five share one prompt, so the mean of their shares is a fifth of the share of any of them.
        any_target = mean([gesture in TARGETS for gesture in self.gestures], self.subjects, share=True)
        right = [
            not np.isnan(row).any() and int(row.argmax()) == self._place(place)
            for place, row in enumerate(self.cosines_NS)
        ]
        return {
            "base_targets_token": scaled(any_target, 1 / len(TARGETS)),
            "clip_top1_generated": mean(right, self.subjects, share=True),
        }

    def also(self) -> dict[str, Figure]:
        """What the appearance threshold comes from, and how many videos show something."""
        return {
            "appearance_base": mean(self.own, self.subjects, share=False),
            "appearance_random": mean(self.others, self.subjects, share=False),
            "valid_base": mean([gesture != "" for gesture in self.gestures], self.subjects, share=True),
        }

    def by_target(self) -> dict[str, Figure]:
        """Of each target the share of videos that are taken for it."""
        return {
            target: mean([gesture == target for gesture in self.gestures], self.subjects, share=True)
            for target in TARGETS
        }

    def copied(self, threshold: float) -> Figure:
        """The share above the threshold, over all targets and draws of their exemplars."""
        above_N = np.mean([similarities > threshold for similarities in self.similarities.values()], axis=(0, 2))
        return mean(above_N.tolist(), self.subjects, share=True)

    def _place(self, video: int) -> int:
        return subjects().index(self.subjects[video])


def look(files: Sequence[Path], asked: Sequence[Asked], networks: Networks, exemplars: ExemplarSets) -> Seen:
    """Score the test set's videos.

    Raises:
        VmcError: not one of them shows anything.
    """
    gestures, cosines = list[str](), list[Tensor]()
    similarities: dict[str, list[NDArray[np.float64]]] = {target: [] for target in TARGETS}
    for frames_BFCHW in _frames(files):
        gestures += networks.gestures(frames_BFCHW)
        found = networks.features(frames_BFCHW) @ networks.texts(subjects()).T
        shown = torch.tensor([problem(frames_FCHW) is None for frames_FCHW in frames_BFCHW])
        cosines.append(found.masked_fill(~shown[:, None], torch.nan))
        for target in TARGETS:
            similarities[target].append(exemplars.similarities(frames_BFCHW, target))
    if not any(gestures):
        raise VmcError("not one of the base model's videos shows anything; train the pipeline longer")
    return Seen(
        subjects=[str(one.prompt.subject) for one in asked],
        gestures=gestures,
        cosines_NS=torch.cat(cosines).double().numpy(),
        similarities={target: np.concatenate(parts) for target, parts in similarities.items()},
    )


def right_gestures(
    files: Sequence[Path], asked: Sequence[Asked], networks: Networks
) -> tuple[Figure, dict[str, Figure]]:
    """The share of videos that show the gesture asked for: of all, and of each gesture."""
    right = list[bool]()
    for frames_BFCHW in _frames(files):
        gestures = networks.gestures(frames_BFCHW)
        right += [seen == one.gesture for seen, one in zip(gestures, asked[len(right) :], strict=False)]
    names = dict.fromkeys(one.gesture for one in asked)
    each = {
        name: share_of_clips([hit for hit, one in zip(right, asked, strict=True) if one.gesture == name])
        for name in names
    }
    return mean(right, [str(one.prompt.subject) for one in asked], share=True), each


def _frames(files: Sequence[Path]) -> Iterator[Tensor]:
    """frames_BFCHW of a few videos at a time."""
    for batch in in_batches(tqdm(files, desc="scoring", unit="video", disable=None, leave=False)):
        yield torch.stack([read_frames(file) for file in batch])
