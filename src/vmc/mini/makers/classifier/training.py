"""The training of the classifier from its clips to its file."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from tqdm import tqdm

from vmc.metrics.networks.trn import TRN, save_trn
from vmc.mini.makers.classifier.batches import Batches
from vmc.mini.makers.classifier.clips import FAINT, VALIDATION, rendered
from vmc.mini.makers.classifier.decoded import Decoder, decoded_for_training, decoded_for_validation
from vmc.mini.makers.classifier.measuring import Validation
from vmc.mini.makers.common import prepare_and_train
from vmc.mini.world.gestures import LABELS
from vmc.tools.learning.learner import TRN_EDGES, TRN_RATE, loss_of, make_network
from vmc.tools.learning.training import Task, TaskProgress, TrainOptions
from vmc.utils.files import atomic_write

ARCH = "SmallResNet"
FILE = "classifier.pth.tar"
STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class ClassifierPlan:
    """What is trained on, and how much at once.

    Args:
        pipeline: a folder in the diffusers layout, of which the autoencoder is used.
        clips: rendered for training.
        decoded: views of them that go through the autoencoder.
        validation: clips measured with visible gestures, a multiple of 27 for equal shares.
        faint: clips measured with faint hands.
        batch: views in a step.
    """

    pipeline: Path
    clips: int = 7000
    decoded: int = 2400
    validation: int = 378
    faint: int = 108
    batch: int = 24


def train_classifier(plan: ClassifierPlan, options: TrainOptions) -> TaskProgress | None:
    """Begin or go on with the training, as far as the minutes reach; None if there is no more than clips yet."""
    decoder = Decoder(plan.pipeline, options.device)
    validation, faint = rendered(plan.validation, VALIDATION), rendered(plan.faint, FAINT)
    clips = rendered(plan.clips)
    decoded_validation = decoded_for_validation(validation, decoder)
    decoded = decoded_for_training(clips, plan.decoded, decoder)

    def prepare(enough: Callable[[], bool]) -> bool:
        # The autoencoder uses all threads itself.
        shards = [(one, options.threads) for one in (validation, faint, clips)]
        shards += [(decoded_validation, 1), (decoded, 1)]
        return all(one.prepare(workers=workers, enough=enough) for one, workers in shards)

    def make_task() -> Task:
        batches = Batches(clips=clips, decoded=decoded, seed=options.seed, size=plan.batch)
        measured = Validation(clips=validation, decoded=decoded_validation, faint=faint, device=options.device)
        return _task(plan, options, batches, measured, decoder.fingerprint)

    return prepare_and_train(options, prepare, make_task)


def _task(
    plan: ClassifierPlan, options: TrainOptions, batches: Batches, validation: Validation, autoencoder: str
) -> Task:
    network = make_network(options.seed, arch=ARCH, classes=len(LABELS))
    measured: list[float] = []

    def loss(networks: nn.ModuleDict, step: int) -> Tensor:
        return loss_of(networks["trn"], batches(step), device=options.device)

    def measure(networks: nn.ModuleDict, step: int) -> float:
        figures = validation(networks["trn"])
        tqdm.write(str(figures))
        measured.append(figures.decoded)
        return figures.decoded

    def export(networks: nn.ModuleDict, folder: Path, progress: TaskProgress) -> None:
        """The averaged network in half precision, with the share of clips that it reads right."""
        # A call that trains no step has measured nothing yet.
        accuracy = measured[-1] if measured else measure(networks, progress.step)
        half = copy.deepcopy(cast(TRN, networks["trn"])).half()
        with atomic_write(folder / FILE) as temporary:
            save_trn(half, temporary, arch=ARCH, epoch=progress.step, accuracy=100 * accuracy)

    return Task(
        name="classifier",
        steps=STEPS,
        rate=TRN_RATE,
        edges=TRN_EDGES,
        identity={
            "arch": ARCH,
            "clips": batches.clips.folder.name,
            "count": f"{plan.clips} clips, {plan.decoded} of them decoded",
            "autoencoder": autoencoder,
            "batch": plan.batch,
        },
        networks={"trn": network},
        loss_of=loss,
        measure=measure,
        export=export,
    )
