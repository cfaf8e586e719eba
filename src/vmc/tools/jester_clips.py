"""The clips of a Jester folder that a classifier learns from and is chosen by, decoded once into the cache.

Axes: N or B clips, F frames, S = 8 segments, H and W pixels, C = 3 colors.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from math import prod
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vmc.data.frames import resize_and_crop
from vmc.data.jester import Jester, check_split
from vmc.data.video import count_frames, read_frames
from vmc.metrics.networks.trn import BACKBONES, SEGMENTS, segment_indices
from vmc.tools.learning.learner import ClipBatch, augment, to_frames
from vmc.tools.learning.shards import Shards
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root
from vmc.utils.randomness import generator

HEIGHT = 100
"""px of Jester's frames: a backbone that wants more enlarges them itself."""
FRAMES = {"train": 2 * SEGMENTS, "validation": SEGMENTS}
"""Of a clip: its middle frame in each of so many equal parts. Training draws one of two for each segment."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Clips of a split and their classes.

    Args:
        source: the folder.
        name: train or validation.
        classes: sorted names.
        arch: of the network that reads them; it decides their size.
        left_out: ids of clips that are not used.
    """

    source: Jester
    name: str
    classes: Sequence[str]
    arch: str
    left_out: frozenset[str] = frozenset()

    @cached_property
    def ids(self) -> list[str]:
        """Of all clips of the split."""
        return self.source.index(self.name)["id"].tolist()

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each."""
        number = {name: place for place, name in enumerate(self.classes)}
        return np.array([number[name] for name in self.source.index(self.name)["label"]], np.int64)

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """The places of those that are not left out."""
        return np.array([place for place, id in enumerate(self.ids) if id not in self.left_out], np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Used clips of each class."""
        return np.bincount(self.labels[self.used], minlength=len(self.classes))

    @property
    def hash(self) -> str:
        """Of ids and classes of the used clips."""
        rows = [f"{self.ids[place]};{self.labels[place]}" for place in self.used]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]

    @cached_property
    def shards(self) -> Shards:
        """All clips of the split, decoded; that some are left out changes no file."""
        root, frames = str(Path(self.source.path or "").resolve()), FRAMES[self.name]
        size = min(BACKBONES[self.arch].short_side, HEIGHT)
        every = hashlib.sha256("\n".join(self.ids).encode()).hexdigest()
        return Shards(
            name=f"jester {self.name}",
            make=partial(decode, root=root, split=self.name, frames=frames, size=size),
            shape=(frames, size, size, 3),
            settings=(root, every),
            count=len(self.ids),
            per_shard=500,
        )


def decode(numbers: Sequence[int], *, root: str, split: str, frames: int, size: int) -> NDArray[np.uint8]:
    """frames_NFHWC of clips by their places in the split's table, cropped to a square.

    Raises:
        VmcError: a clip that cannot be read.
    """
    if parent_process() is not None:
        torch.set_num_threads(1)  # every processor has a process already
    source, ids = _opened(root, split)
    items_NFHWC = np.empty((len(numbers), frames, size, size, 3), np.uint8)
    for place, number in enumerate(numbers):
        folder = source.frames_folder(split, ids[number])
        frames_FCHW = read_frames(folder, segment_indices(count_frames(folder), frames))
        items_NFHWC[place] = resize_and_crop(frames_FCHW, size).permute(0, 2, 3, 1).numpy()
    return items_NFHWC


@cache
def _opened(root: str, split: str) -> tuple[Jester, list[str]]:
    """Once in every process: the table is long."""
    source = Jester(root)
    return source, source.index(split)["id"].tolist()


def drawn_by_runs(source: Jester, *, motions: Sequence[str], seeds: Iterable[int]) -> frozenset[str]:
    """Ids of the clips that runs of these classes and seeds train on: exemplars, and their regularization clips.

    Raises:
        VmcError: a class that is unknown or has too few clips.
    """
    clips = []
    for seed in seeds:
        clips += source.regularization(seed=seed)
        for label in motions:
            clips += source.exemplars(label=label, caption="", seed=seed)
    return frozenset(clip.path.name for clip in clips)


def check_counts(training: Split, validation: Split) -> None:
    """Every class must be there to be learned, and to be measured.

    Raises:
        VmcError: one that is not.
    """
    for split, why, remedy in (
        (training, "", "use a folder that holds all classes, or name those that it holds in jester-v1-labels.csv"),
        (
            validation,
            " that runs do not train on",
            "lower --exemplars or --regularization-count, or give fewer --run-seeds",
        ),
    ):
        for label, count in zip(split.classes, split.counts, strict=True):
            if not count:
                raise VmcError(f"the {split.name} split has no clip of {label!r}{why}; {remedy}")


def decode_all(splits: Sequence[Split], *, workers: int, enough: Callable[[], bool]) -> bool:
    """Decode what is not in the cache yet; whether all is there.

    Raises:
        VmcError: frames that are missing or broken, or no room for them.
    """
    missing = [(split, sum(len(numbers) for _, numbers in split.shards.missing)) for split in splits]
    for split, count in missing:
        if count:
            size = count * prod(split.shards.shape) / 1e9
            print(f"{count:,} decoded {split.name} clips take {size:.1f} GB in {cache_root()}; this is done once")
            if problem := check_split(split.source, split.name).problem:
                raise VmcError(f"{split.source.path} is not whole: {problem}: unpack all of Jester's frames there")
    return all(split.shards.prepare(workers=workers, enough=enough) for split in splits)


@dataclass(frozen=True, kw_only=True)
class JesterBatches:
    """Every clip once in an order drawn for each epoch; a batch is a function of the seed and the step.

    Args:
        clips: of the training split.
        seed: of the draws.
        size: clips in a batch. The last of an epoch is filled from the next one.
        device: where clips are augmented.
    """

    clips: Split
    seed: int
    size: int
    device: str = "cpu"

    @property
    def per_epoch(self) -> int:
        """Batches in which every clip is seen."""
        return -(-len(self.clips.used) // self.size)

    def __call__(self, step: int) -> ClipBatch:
        """The batch of a step, counted from 0, augmented."""
        random = generator(self.seed, step, "classifier batch")
        clips = [self._clip(step * self.size + place) for place in range(self.size)]
        which_BS = torch.randint(2, (self.size, SEGMENTS), generator=random)
        chosen_BS = (2 * torch.arange(SEGMENTS) + which_BS).numpy()
        frames_BSHWC = self.clips.shards.items(clips)[np.arange(self.size)[:, None], chosen_BS]
        frames_BSCHW = augment(to_frames(frames_BSHWC).to(self.device), random)
        return ClipBatch(frames_BSCHW, torch.from_numpy(self.clips.labels[clips]))

    def _clip(self, place: int) -> int:
        epoch, within = divmod(place, len(self.clips.used))
        return int(self.clips.used[_order(self.seed, epoch, len(self.clips.used))[within]])


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return torch.randperm(count, generator=generator(seed, epoch, "classifier order")).numpy()
