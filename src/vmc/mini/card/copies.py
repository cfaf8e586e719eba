"""How alike the exemplars of runs are to their own re-encodings, and to other people doing the same gesture.

Axes: B videos, F frames, C colours, H and W, R draws of exemplars.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vmc.data.frames import ClipTransform, resize_and_crop
from vmc.data.jester import Jester
from vmc.data.video import read_frames
from vmc.metrics.base import NamedClips, RunContext
from vmc.metrics.copying import Copying
from vmc.mini.card.bars import CardPlan
from vmc.mini.card.intervals import Clustered, Figure, area, mean
from vmc.mini.card.networks import Networks, Remembering, RoundTrip, in_batches
from vmc.mini.card.rendered import spec_of, window_of
from vmc.mini.card.rules import copy_threshold
from vmc.mini.world.gestures import TARGETS
from vmc.mini.world.people import Pool

CAPTION = "a person doing a {token} sign"
OTHERS = 100_000
"""Number of the first of the other people, and of those who look alike; the next target's begin `PER_TARGET` later."""
PER_TARGET = 10_000


class ExemplarSets:
    """The exemplars of every target, as runs of the first few seeds draw them, and what they are compared by.

    Args:
        networks: of which the copy descriptor is used.
        jester: the folder that runs draw from.
        plan: how many exemplars and draws.
    """

    def __init__(self, networks: Networks, jester: Path, plan: CardPlan) -> None:
        self.source, size = Jester(jester, exemplars=plan.exemplars), networks.base.size
        descriptor = Remembering(networks.copying)
        self.drawn = {
            target: [
                [clip.path for clip in self.source.exemplars(label=target, caption=CAPTION, seed=seed)]
                for seed in range(plan.draws)
            ]
            for target in TARGETS
        }
        self._compared = {
            target: [compared_with(descriptor, _whole(paths, size)) for paths in draws]
            for target, draws in self.drawn.items()
        }

    def similarities(self, frames_BFCHW: Tensor, target: str) -> NDArray[np.float64]:
        """similarities_BR: each video's copy score with every draw of a target's exemplars."""
        draws = [compared.score(frames_BFCHW, [])["copy_similarity_first"] for compared in self._compared[target]]
        return np.array(draws, dtype=np.float64).T

    def held_out(self, target: str, draw: int) -> list[Path]:
        """Clips of the target that this draw left."""
        split = self.source.split
        index = self.source.index(split)
        paths = [self.source.frames_folder(split, name) for name in index["id"][index["label"] == target]]
        return [path for path in paths if path not in self.drawn[target][draw]]


def compared_with(descriptor: Any, exemplars: NamedClips) -> Copying:
    """The copying metric of a run with these exemplars."""
    metric = Copying(descriptor=descriptor)
    metric.prepare(RunContext(exemplars=exemplars))
    return metric


def _whole(paths: list[Path], size: int) -> Iterator[tuple[str, Tensor]]:
    """All frames of clips at the training crop, as runs compare them."""
    for path in paths:
        yield path.name, resize_and_crop(read_frames(path), size)


@dataclass(frozen=True, kw_only=True)
class Similarities:
    """What the copy threshold and its figures come from.

    Args:
        copies: exemplars with the draws that they are in, after the autoencoder, mp4 and back.
        others: the card's people doing the same gesture, after the same.
        alike: people dressed and filmed as the exemplars doing it, whom the source does not hold, after the same.
        held_out: the source's clips of the gesture with the draws that they are not in, after the same.
    """

    copies: Clustered
    others: Clustered
    alike: Clustered
    held_out: Clustered

    @property
    def threshold(self) -> Figure:
        """By the rule; of nobody whom `held_out` shows, so that these tell how far it carries."""
        return copy_threshold(self.others, self.alike)

    def figures(self, threshold: float) -> dict[str, Figure]:
        """`copy_auc` and `copied_exemplars`."""
        return {"copy_auc": area(self.copies, self.others), "copied_exemplars": _above(self.copies, threshold)}

    def also(self, threshold: float) -> dict[str, Figure]:
        """The share above it of either kind of people, and the same of the source's clips that were not drawn."""
        found = {"copied_others": _above(self.others, threshold), "copied_alike": _above(self.alike, threshold)}
        if not self.held_out.values:
            return found
        return found | {
            "copied_held_out": _above(self.held_out, threshold),
            "copy_auc_held_out": area(self.copies, self.held_out),
        }


def _above(part: Clustered, threshold: float) -> Figure:
    return mean([float(value > threshold) for value in part.values], part.clusters, share=True)


def compare(exemplars: ExemplarSets, networks: Networks, trip: RoundTrip, plan: CardPlan) -> Similarities:
    """Similarities of all targets together."""
    copies, held_out = _Collected(), _Collected()
    people: dict[Pool, _Collected] = {"card": _Collected(), "exemplars": _Collected()}
    transform = ClipTransform(frames=networks.base.frames, fps=networks.base.fps, size=networks.base.size)
    for number, target in enumerate(TARGETS):
        draws = exemplars.drawn[target]
        paths = sorted(
            {path for draw in range(len(draws)) for path in (*draws[draw], *exemplars.held_out(target, draw))}
        )
        for batch in in_batches(tqdm(paths, desc=f"exemplars: {target}", unit="clip", disable=None, leave=False)):
            frames_BFCHW = torch.stack([trip(transform(path, variant=0)) for path in batch])
            for path, row in zip(batch, exemplars.similarities(frames_BFCHW, target), strict=True):
                for draw, value in enumerate(row.tolist()):
                    (copies if path in draws[draw] else held_out).add(value, f"{target} {path.name}")
        first = OTHERS + number * PER_TARGET
        clips = [(pool, clip) for pool in people for clip in range(first, first + plan.others)]
        for part in in_batches(tqdm(clips, desc=f"others: {target}", unit="clip", disable=None, leave=False)):
            specs = [spec_of(clip, target, pool=pool) for pool, clip in part]
            frames_BFCHW = torch.stack([trip(window_of(spec, networks)) for spec in specs])
            for (pool, clip), row in zip(part, exemplars.similarities(frames_BFCHW, target), strict=True):
                for value in row.tolist():
                    people[pool].add(value, str(clip))
    others, alike = people.values()
    return Similarities(copies=copies.all, others=others.all, alike=alike.all, held_out=held_out.all)


class _Collected:
    """Values and their clusters as they come."""

    def __init__(self) -> None:
        self.values, self.clusters = list[float](), list[str]()

    def add(self, value: float, cluster: str) -> None:
        self.values.append(value)
        self.clusters.append(cluster)

    @property
    def all(self) -> Clustered:
        return Clustered(self.values, self.clusters)
