"""The training of a classifier on Jester: it learns from the training split and is chosen by the validation split.

The recipe is the miniature's, not that of the published TRN, which begins with an image network pretrained on ImageNet
and has dropout.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from vmc.data.jester import Jester, check_tables
from vmc.metrics.networks.classifiers import JESTER_LABELS
from vmc.metrics.networks.trn import BACKBONES, TRN, load_trn, save_trn
from vmc.tools.jester_clips import JesterBatches, Split, check_counts, decode_all, drawn_by_runs
from vmc.tools.learning.learner import AT_ONCE, TRN_EDGES, TRN_RATE, classes_of, loss_of, make_network
from vmc.tools.learning.training import Clock, Task, TaskProgress, TrainOptions, read_progress, train
from vmc.utils.errors import VmcError, check_positive
from vmc.utils.files import atomic_write, fingerprint, write_json
from vmc.utils.tables import aligned

BEST = "best.pth.tar"


@dataclass(frozen=True, kw_only=True)
class JesterPlan:
    """What is trained, on what, and for how long.

    Args:
        source: the Jester folder, with the counts of clips that runs draw from its validation split.
        classes: sorted names.
        motions: classes whose exemplars no model is chosen by.
        run_seeds: of the runs that draw them.
        arch: of the network, one of `BACKBONES`.
        weights: of a TRN of that arch, to begin with in place of random ones.
        epochs: times that every training clip is seen.
        batch: clips in a step.
        rate: of Muon, as a share of an orthogonal matrix in a step.
    """

    source: Jester
    classes: Sequence[str]
    motions: Sequence[str]
    run_seeds: Sequence[int] = (0, 1, 2)
    arch: str = "SmallResNet"
    weights: Path | None = None
    epochs: int = 10
    batch: int = 64
    rate: float = TRN_RATE

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "batch")
        if not self.rate > 0:
            raise VmcError(f"--rate is {self.rate}; it must be more than 0")

    def splits(self) -> tuple[Split, Split]:
        """Clips to learn from, and clips to choose by.

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
        """The network of the first step, in training mode.

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
    """Begin or go on, and at the end write the file; None if not all clips are decoded yet.

    Args:
        plan: what is trained.
        options: their `output` is the folder of the training, beside the file.
        output: the file.

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
    """Which of the used clips a network in eval mode reads right; few are in memory at a time."""
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
        output: its place.
        right: which of the used validation clips it reads right.
        splits: clips that it has learned from, and clips that it was chosen by.
        progress: of the training, which is done.
    """
    training, validation = splits
    labels = validation.labels[validation.used]
    classes = {
        name: {"accuracy": float(right[labels == place].mean()), "clips": int((labels == place).sum())}
        | {"training_clips": int(training.counts[place])}
        for place, name in enumerate(validation.classes)
    }
    summary = {
        **{"file": output.name, "sha256": fingerprint(best), "accuracy": float(right.mean()), "clips": len(labels)},
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
    print("\n".join(aligned([*rows, ("all", f"{right.mean():.2%}", f"of {len(labels):,}")])))
    left_out = f"{summary['clips_left_out']:,} clips that runs train on are left out"
    print(f"validation clips that epoch {summary['chosen_epoch']} reads right; {left_out}")
    use = f"python -m vmc.train stack=paper data.path={validation.source.path} metrics.classifier.path={output}"
    if tuple(validation.classes) != JESTER_LABELS:
        use += f" metrics.classifier.labels={validation.source.label_file}"
    print(f"wrote {output}; use it: {use}")
