"""Training steps of the method on clips of noise: as a run makes them, and with nothing kept from step to step.

Axes: M = 2 posterior moments, B clips of a batch, C colours or latent channels, F frames, N = B x F images, H and W,
L text positions, D text width.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vmc.benchmarks.clips import noise_clips
from vmc.benchmarks.setup import Setup, build, read
from vmc.data.clips import fill
from vmc.diffusion.conditioning import Conditioning
from vmc.diffusion.process import NoiseProcess
from vmc.models.base import Autoencoder
from vmc.models.text import TextEncoder
from vmc.training.batches import Batch, StepPlan, TrainingBatches
from vmc.training.callbacks import StepCallback
from vmc.training.hardware import Hardware
from vmc.training.module import MotionModule
from vmc.training.regularization import Mixture

WARM_UP = 2
"""Steps that are not timed: the first ones make the optimiser's state."""
CLIPS = 4
"""Exemplars, and as many regularization clips."""


@dataclass(frozen=True, kw_only=True)
class TrainingSteps:
    """The trainer of a run over one kind of batches.

    Args:
        module: what is trained.
        hardware: where.
        batches: without end.
    """

    module: MotionModule
    hardware: Hardware
    batches: "TrainingBatches | PlainBatches"

    def run(self, steps: int) -> list[float]:
        """Seconds of each step."""
        clock = Clock()
        trainer = self.hardware.trainer(steps=steps, callbacks=[clock])
        trainer.fit(self.module, DataLoader(self.batches, batch_size=None, num_workers=0))
        return clock.seconds


class Clock(StepCallback):
    """Seconds of each optimiser step, the making of its batch included."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin."""
        super().on_train_start(trainer, module)
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Keep the time; the losses are read, as a run's log does, which waits for a GPU."""
        torch.stack([part["loss"] for part in module.losses]).tolist()
        module.losses.clear()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class PlainBatches(IterableDataset):
    """The same batches from frames and captions, by autoencoder and text encoder in every step.

    Args:
        cached: whose draws these are.
        frames: frames_FCHW of each clip.
        captions: of each clip.
        autoencoder, encoder: on the device that trains.
    """

    def __init__(
        self,
        cached: TrainingBatches,
        *,
        frames: Sequence[Tensor],
        captions: Sequence[str],
        autoencoder: Autoencoder,
        encoder: TextEncoder,
    ) -> None:
        self.cached, self.frames, self.captions = cached, frames, captions
        self.autoencoder, self.encoder = autoencoder, encoder

    def __iter__(self) -> Iterator[Batch]:
        for step in count():
            yield self.batch(step, range(self.cached.plan.batch_size))

    @torch.no_grad()
    def batch(self, step: int, indices: range) -> Batch:
        """The draws `indices` of a step, the texts through their network at once."""
        drawn = [item for index in indices for item in self.cached.plan.draw(step, index)]
        moments_BMCFHW = [self.autoencoder.encode(self.frames[item.clip]) for item in drawn]
        ids_BL = self.encoder.token_ids([self.captions[item.clip] for item in drawn])
        texts_BLD = self.encoder.encode_ids(ids_BL).embeddings_BLD.float().cpu()
        moments = {(item.clip, item.variant): part for item, part in zip(drawn, moments_BMCFHW, strict=True)}
        texts: list[Any] = list(self.cached.texts)
        for item, text_LD in zip(drawn, texts_BLD, strict=True):
            texts[item.clip] = Conditioning(text_LD[None])
        return replace(self.cached, moments=moments, texts=texts).batch(step, indices)


def training_steps(setup: Setup, *, batch_size: int, plain: bool) -> TrainingSteps:
    """The method's step on noise, its posteriors and texts made beforehand, or with both networks at hand."""
    hardware, base = setup.hardware, setup.base
    hardware.use_threads()
    frames = [clip for _, clip in noise_clips("training", 2 * CLIPS, frames=base.frames, size=base.size)]
    exemplar, other = fill(setup.motion.caption or "", token=setup.token.word), "a person doing other things"
    captions = [exemplar] * CLIPS + [other] * CLIPS
    dtype = hardware.frozen_dtype if plain else torch.float32
    encoder = base.text_encoder(setup.token, dtype=dtype)
    autoencoder = base.autoencoder(dtype=dtype).to(hardware.device)
    cached = TrainingBatches(
        plan=_plan(base.process, batch_size),
        moments={(clip, 0): autoencoder.encode(frames_FCHW) for clip, frames_FCHW in enumerate(frames)},
        texts=[encoder(caption) for caption in captions],
        steps=1_000_000,
        start=lambda: 0,
    )
    batches: TrainingBatches | PlainBatches = cached
    if plain:
        encoder.network.to(hardware.device)
        batches = PlainBatches(cached, frames=frames, captions=captions, autoencoder=autoencoder, encoder=encoder)
    module = MotionModule(
        model=base,
        denoiser=base.denoiser(),
        subset=build(read("parameters/temporal_kv")),
        optimizer=partial(torch.optim.AdamW, lr=1e-5),  # the rate changes no figure
        frozen_dtype=hardware.frozen_dtype,
    )
    return TrainingSteps(module=module, hardware=hardware, batches=batches)


def _plan(process: NoiseProcess, batch_size: int) -> StepPlan:
    regularization = read("regularization/real")
    mixture = Mixture(
        exemplars=CLIPS,
        regularization=CLIPS,
        exemplar_variants=1,
        regularization_variants=1,
        mix=regularization["mix"],
        weight=regularization["weight"],
        ratio=regularization["ratio"],
    )
    return StepPlan(
        seed=0,
        batch_size=batch_size,
        mixture=mixture,
        timestep_sampler=build(read("timesteps/coarse_noise")),
        process=process,
    )
