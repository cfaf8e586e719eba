"""The training of the classifier from its clips to its file."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vmc.metrics.networks.trn import TRN, save_trn
from vmc.mini.makers.classifier.batches import Batches
from vmc.mini.makers.classifier.clips import FAINT, VALIDATION, rendered
from vmc.mini.makers.classifier.decoded import Decoder, decoded_for_training, decoded_for_validation
from vmc.mini.makers.classifier.measuring import Validation
from vmc.mini.world.gestures import LABELS
from vmc.tools.classifier.trn import EDGES, RATE, loss_of, make_network
from vmc.tools.learning.course import Course, Options, Progress, train
from vmc.tools.learning.loop import Clock
from vmc.utils.files import atomic_write

ARCH = "SmallResNet"
FILE = "classifier.pth.tar"
STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class Plan:
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


def train_classifier(plan: Plan, options: Options) -> Progress | None:
    """Begins or goes on with the training, as far as the minutes reach; None if there is no more than clips yet."""
    torch.set_num_threads(options.threads)
    start, clock = time.monotonic(), Clock(options.minutes)
    with clock.listening():
        data = _prepared(plan, options, clock)
    if data is None:
        print(f"{options.output}: the clips are not all there yet; the same command goes on")
        return None
    left = max(options.minutes - (time.monotonic() - start) / 60, 1e-9) if options.minutes else 0.0
    return train(course(plan, options, *data), replace(options, minutes=left))


def _prepared(plan: Plan, options: Options, clock: Clock) -> tuple[Batches, Validation, str] | None:
    """Clips rendered and decoded, and the autoencoder's hash; None if the clock did not allow it."""
    decoder = Decoder(plan.pipeline, options.device)
    validation, faint = rendered(plan.validation, VALIDATION), rendered(plan.faint, FAINT)
    clips = rendered(plan.clips)
    decoded_validation = decoded_for_validation(validation, decoder)
    decoded = decoded_for_training(clips, plan.decoded, decoder)
    for shards in (validation, faint, clips):
        if not shards.prepare(workers=options.threads, enough=clock.over):
            return None
    # The autoencoder uses all threads itself.
    if not all(shards.prepare(workers=1, enough=clock.over) for shards in (decoded_validation, decoded)):
        return None
    batches = Batches(clips=clips, decoded=decoded, seed=options.seed, size=plan.batch)
    measured = Validation(clips=validation, decoded=decoded_validation, faint=faint, device=options.device)
    return batches, measured, decoder.fingerprint


def course(plan: Plan, options: Options, batches: Batches, validation: Validation, autoencoder: str) -> Course:
    """The course of the classifier over clips that are there."""
    network = make_network(options.seed, arch=ARCH, classes=len(LABELS))
    measured: list[float] = []

    def loss(networks: nn.ModuleDict, step: int) -> Tensor:
        return loss_of(networks["trn"], batches(step), device=options.device)

    def measure(networks: nn.ModuleDict) -> float:
        figures = validation(networks["trn"])
        tqdm.write(str(figures))
        measured.append(figures.decoded)
        return figures.decoded

    return Course(
        name="classifier",
        steps=STEPS,
        rate=RATE,
        edges=EDGES,
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
        # A call that trains no step has measured nothing yet.
        export=exporter(lambda networks: measured[-1] if measured else measure(networks)),
    )


def exporter(accuracy: Callable[[nn.ModuleDict], float]) -> Callable[[nn.ModuleDict, Path, Progress], None]:
    """Writes the averaged network in half precision, with the share of clips that it reads right."""

    def export(networks: nn.ModuleDict, folder: Path, progress: Progress) -> None:
        network: TRN = networks["trn"]  # type: ignore[assignment]
        per_cent = 100 * accuracy(networks)
        with atomic_write(folder / FILE) as temporary:
            save_trn(copy.deepcopy(network).half(), temporary, arch=ARCH, epoch=progress.step, accuracy=per_cent)

    return export
