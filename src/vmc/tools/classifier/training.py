"""The training of a classifier on Jester: it learns from the training split and is chosen by the validation split.

The recipe is the miniature's (`vmc.mini.makers.classifier`), not that of the published TRN, which begins with an
image network pretrained on ImageNet and has dropout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vmc.data.jester import Jester, check_tables
from vmc.metrics.networks.trn import BACKBONES, TRN, load_trn, save_trn
from vmc.tools.classifier.batches import Batches, right_of
from vmc.tools.classifier.clips import Split, check_counts, decoded, drawn_by_runs
from vmc.tools.classifier.result import publish
from vmc.tools.classifier.trn import EDGES, RATE, loss_of, make_network
from vmc.tools.learning.course import Course, Options, Progress, standing, train
from vmc.tools.learning.loop import Clock
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, fingerprint

BEST = "best.pth.tar"


@dataclass(frozen=True, kw_only=True)
class Plan:
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
    rate: float = RATE

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if (value := getattr(self, name)) < 1:
                raise VmcError(f"--{name} is {value}; it must be at least 1")
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


def train_classifier(plan: Plan, options: Options, output: Path) -> Progress | None:
    """Begins or goes on, and at the end writes the file; None if not all clips are decoded yet.

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
    course = _course(plan, options, training, validation)
    found = standing(course, options)
    if found and found[0].step >= found[0].steps and output.is_file():
        print(f"{output} is done already")
        return found[0]
    clock = Clock()
    with clock.listening():
        if not decoded((training, validation), workers=options.threads, enough=clock.over):
            print(f"{options.output}: the clips are not all decoded yet; the same command goes on")
            return None
    progress = train(course, options)
    if progress.step >= progress.steps:
        network = load_trn(best, classes=len(plan.classes)).to(options.device)
        right = right_of(network, validation, device=options.device)
        publish(best, output, right=right, training=training, validation=validation, progress=progress)
    return progress


def _course(plan: Plan, options: Options, training: Split, validation: Split) -> Course:
    batches = Batches(clips=training, seed=options.seed, size=plan.batch, device=options.device)

    def loss(networks: nn.ModuleDict, step: int) -> Tensor:
        return loss_of(networks["trn"], batches(step), device=options.device)

    def measure(networks: nn.ModuleDict) -> float:
        return float(right_of(networks["trn"], validation, device=options.device).mean())

    def keep(networks: nn.ModuleDict, step: int, accuracy: float) -> None:
        network: TRN = networks["trn"]  # type: ignore[assignment]
        keep_best(network, options.output / BEST, arch=plan.arch, epoch=step // batches.per_epoch, accuracy=accuracy)

    return Course(
        name="classifier",
        steps=plan.epochs * batches.per_epoch,
        rate=plan.rate,
        edges=EDGES,
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
        measure=measure,
        measured=keep,
        measure_every=batches.per_epoch,
        export=lambda networks, folder, progress: None,  # what is published is the best, not the last
    )


def keep_best(network: TRN, file: Path, *, arch: str, epoch: int, accuracy: float) -> None:
    """Writes the averaged network of an epoch if it reads more validation clips right than all before."""
    before = best_accuracy(file)
    better = before is None or 100 * accuracy > before
    if better:
        with atomic_write(file) as temporary:
            save_trn(network, temporary, arch=arch, epoch=epoch, accuracy=100 * accuracy)
    told = "the best so far" if better else f"the best is {before:.2f} %"
    tqdm.write(f"epoch {epoch}: {accuracy:.2%} of the validation clips are read right, {told}")


def best_accuracy(file: Path) -> float | None:
    """In per cent; None before the first epoch is measured.

    Raises:
        VmcError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        return float(torch.load(file, map_location="cpu", weights_only=True)["best_prec1"])
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
        raise VmcError(f"{file} is damaged ({error}); choose another --output") from error
