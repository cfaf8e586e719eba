"""The training of a classifier on Jester: it learns from the training split and is chosen by the validation split, of
clips that are decoded once into the cache.

The recipe is the miniature's, not that of the published TRN, which begins with an image network pretrained on ImageNet
and has dropout.

Axes: N or B clips, F frames, S = 8 segments, H and W pixels, C = 3 colors.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache, partial
from math import prod
from multiprocessing import parent_process
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from vmc.data.frames import resize_and_crop
from vmc.data.jester import Jester, check_split, check_tables
from vmc.data.video import count_frames, read_frames
from vmc.metrics.networks.classifiers import JESTER_LABELS
from vmc.metrics.networks.trn import BACKBONES, SEGMENTS, TRN, load_trn, save_trn, segment_indices
from vmc.tools.learning.learner import (
    AT_ONCE,
    TRN_EDGES,
    TRN_RATE,
    ClipBatch,
    augment,
    classes_of,
    loss_of,
    make_network,
    to_frames,
)
from vmc.tools.learning.shards import Shards
from vmc.tools.learning.training import Clock, Task, TaskProgress, TrainOptions, read_progress, train
from vmc.utils.errors import VmcError, check_positive
from vmc.utils.files import atomic_write, cache_root, fingerprint, sha256_of, write_json
from vmc.utils.randomness import generator
from vmc.utils.tables import align

HEIGHT = 100
"""px of Jester's frames: a backbone that wants more enlarges them itself."""
FRAMES = {"train": 2 * SEGMENTS, "validation": SEGMENTS}
"""Of a clip: its middle frame in each of so many equal parts. Training draws one of two for each segment."""
BEST = "best.pth.tar"

# --- the clips ---


@dataclass(frozen=True, kw_only=True)
class Split:
    """Clips of a split and their classes."""

    source: Jester
    name: str  # train or validation
    classes: Sequence[str]  # sorted names
    arch: str  # of the network that reads the clips; it decides their size
    left_out: frozenset[str] = frozenset()  # ids of clips that are not used

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all clips of the split."""
        return self.source.index(self.name)["id"].tolist()

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each clip, by its place among the classes."""
        return pd.Index(self.classes).get_indexer(pd.Index(self.source.index(self.name)["label"])).astype(np.int64)

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """The places of the clips that are not left out."""
        return np.flatnonzero(~np.isin(self.ids, list(self.left_out)))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Used clips of each class."""
        return np.bincount(self.labels[self.used], minlength=len(self.classes))

    @property
    def hash(self) -> str:
        """SHA-256 of ids and classes of the used clips, shortened."""
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
    """Open the folder once in every process: the table is long."""
    source = Jester(root)
    return source, source.index(split)["id"].tolist()


def drawn_by_runs(source: Jester, *, motions: Sequence[str], seeds: Iterable[int]) -> frozenset[str]:
    """Collect the ids of clips that runs of these classes and seeds train on: exemplars and regularization clips.

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
    """Refuse splits in which a class has no clip: it could not be learned, or not be measured.

    Raises:
        VmcError: a class without a clip.
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
    """Decode the clips that are not in the cache yet; whether all are there.

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

    The last batch of an epoch is filled from the next one.
    """

    clips: Split  # the training split
    seed: int
    size: int  # clips in a batch
    device: str = "cpu"  # where clips are augmented

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


# --- the training ---


@dataclass(frozen=True, kw_only=True)
class JesterPlan:
    """What is trained, on what, and for how long."""

    source: Jester  # with the counts of clips that runs draw from its validation split
    classes: Sequence[str]  # sorted names
    motions: Sequence[str]  # classes whose exemplars no model is chosen by
    run_seeds: Sequence[int] = (0, 1, 2)  # of the runs that draw them
    arch: str = "SmallResNet"  # one of `BACKBONES`
    weights: Path | None = None  # a TRN of that arch to begin with; None begins with random weights
    epochs: int = 10  # times that every training clip is seen
    batch: int = 64  # clips in a step
    rate: float = TRN_RATE  # of Muon, as a share of an orthogonal matrix in a step

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "batch")
        if not self.rate > 0:
            raise VmcError(f"--rate is {self.rate}; it must be more than 0")

    def splits(self) -> tuple[Split, Split]:
        """Find the clips to learn from, and those to choose by.

        Raises:
            VmcError: tables that disagree, or too few clips of a class.
        """
        check_tables(self.source, names=self.classes)
        training = Split(source=self.source, name="train", classes=self.classes, arch=self.arch)
        drawn = drawn_by_runs(self.source, motions=self.motions, seeds=self.run_seeds)
        validation = replace(training, name="validation", left_out=drawn)
        check_counts(training, validation)
        return training, validation

    def network(self, seed: int) -> TRN:
        """Make the network of the first step, in training mode.

        Raises:
            VmcError: weights that are of another arch or other classes.
        """
        if self.weights is None:
            return make_network(seed, arch=self.arch, classes=len(self.classes))
        network = load_trn(self.weights, classes=len(self.classes))
        if network.backbone is not BACKBONES[self.arch]:
            raise VmcError(f"--weights is {self.weights}, which is of another backbone than {self.arch}")
        return network.requires_grad_(True).train()


def train_classifier(plan: JesterPlan, options: TrainOptions, output: Path) -> TaskProgress | None:
    """Begin the training or go on with it, and at the end write the file; None if not all clips are decoded yet.

    Args:
        plan: what is trained.
        options: the options of the training; their `output` is its folder, beside the file.
        output: the file of the classifier.

    Raises:
        VmcError: the file is of something else, the folder of another configuration, or the clips are not as needed.
    """
    best = options.output / BEST
    if output.exists() and not (output.is_file() and best.is_file() and fingerprint(output) == fingerprint(best)):
        raise VmcError(f"--output is {output}, which is there and not what this training wrote; name another file")
    training, validation = plan.splits()
    task = _task(plan, options, training, validation)
    found = read_progress(task, options)
    if found and found[0].step >= found[0].steps and output.is_file():
        print(f"{output} is done already")
        return found[0]
    clock = Clock()
    with clock.listening():
        if not decode_all((training, validation), workers=options.threads, enough=clock.over):
            print(f"{options.output}: the clips are not all decoded yet; the same command goes on")
            return None
    progress = train(task, options)
    if progress.step >= progress.steps:
        right = _read_right(load_trn(best, classes=len(plan.classes)).to(options.device), validation, options.device)
        _publish(best, output, right, (training, validation), progress)
    return progress


def _task(plan: JesterPlan, options: TrainOptions, training: Split, validation: Split) -> Task:
    batches = JesterBatches(clips=training, seed=options.seed, size=plan.batch, device=options.device)

    def loss(networks: nn.ModuleDict, step: int) -> Tensor:
        return loss_of(networks["trn"], batches(step), device=options.device)

    def measure(networks: nn.ModuleDict, step: int) -> float:
        network, epoch = cast(TRN, networks["trn"]), step // batches.per_epoch
        accuracy = float(_read_right(network, validation, options.device).mean())
        keep_best(network, options.output / BEST, arch=plan.arch, epoch=epoch, accuracy=accuracy)
        return accuracy

    return Task(
        name="classifier",
        steps=plan.epochs * batches.per_epoch,
        rate=plan.rate,
        edges=TRN_EDGES,
        identity={
            "backbone": plan.arch,
            "classes": ", ".join(plan.classes),
            "training clips": f"{len(training.used)} ({training.hash})",
            "validation clips": f"{len(validation.used)} of {len(validation.ids)} ({validation.hash})",
            "epochs": plan.epochs,
            "batch": plan.batch,
            "rate": plan.rate,
            "weights": None if plan.weights is None else fingerprint(plan.weights),
        },
        networks={"trn": plan.network(options.seed)},
        loss_of=loss,
        measure=measure,  # and keep the best, which is published, not the last
        measure_every=batches.per_epoch,
    )


def _read_right(network: nn.Module, clips: Split, device: str) -> NDArray[np.bool_]:
    """Find which of the used clips a network in eval mode reads right; few are in memory at a time."""
    parts = [clips.used[start : start + AT_ONCE] for start in range(0, len(clips.used), AT_ONCE)]
    found = [
        classes_of(network, clips.shards.items(part.tolist()), device=device) == clips.labels[part]
        for part in tqdm(parts, desc=clips.name, unit="batch", disable=None, leave=False)
    ]
    return np.concatenate(found)


def keep_best(network: TRN, file: Path, *, arch: str, epoch: int, accuracy: float) -> None:
    """Write the averaged network of an epoch if it reads more validation clips right than all before."""
    before = torch.load(file, map_location="cpu", weights_only=True)["best_prec1"] if file.is_file() else None
    better = before is None or 100 * accuracy > before
    if better:
        with atomic_write(file) as temporary:
            save_trn(network, temporary, arch=arch, epoch=epoch, accuracy=100 * accuracy)
    told = "the best so far" if better else f"the best is {before:.2f} %"
    tqdm.write(f"epoch {epoch}: {accuracy:.2%} of the validation clips are read right, {told}")


def _publish(
    best: Path, output: Path, right: NDArray[np.bool_], splits: tuple[Split, Split], progress: TaskProgress
) -> None:
    """Copy the best network to its place, with how well it reads each class beside it as JSON.

    Args:
        best: the checkpoint that was chosen.
        output: where it goes.
        right: which of the used validation clips the network reads right.
        splits: clips that it has learned from, and clips that it was chosen by.
        progress: the progress of the training, which is done.
    """
    training, validation = splits
    labels = validation.labels[validation.used]
    classes = {
        name: {"accuracy": float(right[labels == place].mean()), "clips": int((labels == place).sum())}
        | {"training_clips": int(training.counts[place])}
        for place, name in enumerate(validation.classes)
    }
    summary = {
        **{"file": output.name, "sha256": sha256_of(best), "accuracy": float(right.mean()), "clips": len(labels)},
        "clips_left_out": len(validation.ids) - len(labels),
        "training_clips": len(training.used),
        "chosen_epoch": int(torch.load(best, map_location="cpu", weights_only=True)["epoch"]),
        **{"classes": classes, "settings": progress.identity, "steps": progress.step},
        "seconds": round(progress.seconds),
    }
    # Before the checkpoint, so that there is none without it.
    write_json(output.with_name(f"{output.name}.json"), summary)
    with atomic_write(output) as temporary:
        shutil.copyfile(best, temporary)
    rows = [(name, f"{row['accuracy']:.2%}", f"of {row['clips']:,}") for name, row in classes.items()]
    print("\n".join(align([*rows, ("all", f"{right.mean():.2%}", f"of {len(labels):,}")])))
    left_out = f"{summary['clips_left_out']:,} clips that runs train on are left out"
    print(f"validation clips that epoch {summary['chosen_epoch']} reads right; {left_out}")
    use = f"python -m vmc.train stack=paper data.path={validation.source.path} metrics.classifier.path={output}"
    if tuple(validation.classes) != JESTER_LABELS:
        use += f" metrics.classifier.labels={validation.source.label_file}"
    print(f"wrote {output}; use it: {use}")
