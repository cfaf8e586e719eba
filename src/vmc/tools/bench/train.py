"""`python -m vmc.bench train` and `startup`: seconds and memory of a training step, and seconds until the first one.

Axes: M = 2 posterior moments, B clips of a batch, C colours or latent channels, F frames, H and W, L text positions,
D text width.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vmc.config.build import build_part, build_session
from vmc.config.command import compose
from vmc.data.clips import fill
from vmc.diffusion.sampling import Conditioning
from vmc.models.base import Autoencoder
from vmc.models.text import TextEncoder
from vmc.runs.folder import RunFolder
from vmc.tools.bench import measure
from vmc.tools.bench.measure import WARM_UP, Figures, seconds
from vmc.training.batches import Batch, TrainingBatches
from vmc.training.callbacks import StepCallback
from vmc.training.experiment import Experiment
from vmc.training.module import MotionModule
from vmc.training.session import Session
from vmc.utils.errors import VmcError

CLIPS = 4
"""Exemplars, and as many regularization clips."""
MEMORY_STEPS = 1
"""After these and the warm-up, memory has been as high as it gets."""
NOTES = {
    "cached": "A step is batch, forward, backward, clipping and optimizer in a run's own trainer, on clips of noise;"
    " posteriors and text embeddings are in memory, as in a run.",
    "plain": "Plain: autoencoder and text encoder make the batch anew in every step; clips are in memory all the same.",
    "memory": "Memory is that of a process of its own, everything loaded included (on a GPU: of PyTorch's tensors).",
    "startup": "Seconds from the start of a process of its own; importing is included. The first run of each is given"
    " by itself: its files may not have been in the system's memory, and it fills the caches (clips, posteriors, texts)"
    " where they are empty. The others find both warm.",
}
ONE_STEP = ("steps=1", "evaluate_every=0", "checkpoint_every=0")


def train(arguments: Namespace) -> dict[str, Any]:
    """Seconds a step in each round, which is the median of its steps, and memory; with the plain loop too if asked."""
    config = measure.compose_run(arguments.overrides, scored=False)
    kinds = ["cached", "plain"] if arguments.compare else ["cached"]
    loops = {kind: training_steps(config, plain=kind == "plain") for kind in kinds}
    tasks = {kind: partial(loop.run, arguments.steps) for kind, loop in loops.items()}
    timed = measure.take_turns(tasks, repeats=arguments.repeats, label="train")
    figures: Figures = {f"a step, {kind}": ("s", timed[kind]) for kind in kinds}
    for kind in kinds:
        figures |= measure.memory_figures(kind, partial(_few_steps, config, plain=kind == "plain"))
    if arguments.compare:
        (_, plain), (_, cached) = (figures[f"peak memory, {kind}"] for kind in ("plain", "cached"))
        figures["seconds, plain / cached"] = "x", timed["plain"] / timed["cached"]
        figures["peak memory, plain / cached"] = "x", plain / cached
    experiment = loops["cached"].experiment
    settings = measure.describe(config, experiment, batch_size=config["batch_size"], steps=arguments.steps)
    return measure.make_report(
        "train", settings, figures, [NOTES[kind] for kind in (*kinds, "memory")], experiment.hardware
    )


def _few_steps(config: Mapping[str, Any], *, plain: bool) -> None:
    training_steps(config, plain=plain).run(MEMORY_STEPS)


def startup(arguments: Namespace) -> dict[str, Any]:
    """Seconds until `--help` and until the first step, each once cold and then as often as wanted.

    Raises:
        VmcError: the overrides do not compose, or a run fails.
    """
    hardware = build_part(compose("train", arguments.overrides), "trainer")
    tasks: dict[str, Callable[[], float]] = {
        "train --help": partial(seconds, run_train, "--help"),
        "first training step": partial(first_step_seconds, arguments.overrides),
    }
    timed = measure.take_turns(tasks, repeats=1 + arguments.repeats, label="startup")
    figures: Figures = {name: ("s", values[1:]) for name, values in timed.items()}
    figures |= {f"{name}, first run": ("s", values[:1]) for name, values in timed.items()}
    settings = {"overrides": len(arguments.overrides)}
    return measure.make_report("startup", settings, figures, [NOTES["startup"]], hardware)


def first_step_seconds(overrides: Sequence[str]) -> float:
    """Until the last row stands in `train.csv`, which is the first."""
    with TemporaryDirectory() as folder:
        table, start = Path(folder, "run", "train.csv"), time.time()
        run_train("logger=csv", *overrides, *ONE_STEP, f"output={table.parent}")
        if not table.is_file() or table.read_bytes().count(b"\n") < 2:  # a row below the header
            raise VmcError("vmc.train made no step; give the overrides of a run that trains")
        return table.stat().st_mtime - start


def run_train(*words: str) -> None:
    """Run `vmc.train` in a process of its own; a VmcError says why it failed."""
    status, said = measure.run_captured("vmc.train", *words)
    if status:
        raise VmcError(
            f"vmc.train ended with status {status} ({measure.reason_of(said)}); give the overrides that it needs"
        )


@dataclass(frozen=True)
class TrainingSteps:
    """The trainer of a run, over batches without end."""

    module: MotionModule
    experiment: Experiment
    batches: TrainingBatches

    def run(self, steps: int) -> float:
        """Median seconds of so many steps after the warm-up."""
        clock = Clock()
        trainer = self.experiment.hardware.trainer(steps=WARM_UP + steps, callbacks=[clock])
        trainer.fit(self.module, DataLoader(self.batches, batch_size=None, num_workers=0))
        return float(np.median(np.diff(clock.times)[-steps:]))


class Clock(StepCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Keep the time; the losses are read, as a run's log does, which waits for a GPU."""
        torch.stack([part["loss"] for part in module.losses]).tolist()
        module.losses.clear()
        self.times.append(time.perf_counter())


@dataclass(frozen=True, kw_only=True)
class PlainBatches(TrainingBatches):
    """The same batches from frames_FCHW and a caption of each clip, by autoencoder and text encoder in every step; no
    encoder where the token is trained, whose texts the module encodes.
    """

    frames: Sequence[Tensor]
    captions: Sequence[str]
    autoencoder: Autoencoder
    encoder: TextEncoder | None

    @torch.no_grad()
    def batch(self, step: int, indices: range) -> Batch:
        """The draws `indices` of a step, the texts through their network at once."""
        drawn = [item for index in indices for item in self.plan.draw(step, index)]
        moments = {(item.clip, item.variant): self.autoencoder.encode(self.frames[item.clip]) for item in drawn}
        texts: list[Any] = list(self.texts)
        if self.encoder is not None:
            ids_BL = self.encoder.token_ids([self.captions[item.clip] for item in drawn])
            found = self.encoder.encode_ids(ids_BL).to("cpu").tensors()
            for place, item in enumerate(drawn):
                texts[item.clip] = Conditioning.of({name: part[place : place + 1] for name, part in found.items()})
        return TrainingBatches.batch(replace(self, moments=moments, texts=texts), step, indices)


def training_steps(config: Mapping[str, Any], *, plain: bool) -> TrainingSteps:
    """A run's step on noise, its posteriors and texts made beforehand, or with both networks at hand.

    Raises:
        VmcError: the run trains nothing.
    """
    if config.get("parameters") is None:
        raise VmcError("parameters is null, which trains nothing; choose what is trained")
    session = build_session(config, RunFolder(Path("benchmark"), config={}))
    assert isinstance(session, Session)
    experiment = session.experiment
    model, token, hardware = experiment.model, experiment.token, experiment.hardware
    hardware.use_threads()
    frames = [clip for _, clip in measure.noise_clips("training", 2 * CLIPS, frames=model.frames, size=model.size)]
    captions = [fill(experiment.motion.caption or "{token}", **token.words)] * CLIPS
    captions += ["a person doing other things"] * CLIPS
    dtype = hardware.frozen_dtype if plain else torch.float32
    autoencoder = model.autoencoder(dtype=dtype).to(hardware.device)
    encoder = None if token.trains else model.text_encoder(token, dtype=dtype)
    parts: dict[str, Any] = {
        "plan": session.plan(CLIPS, CLIPS),
        "moments": {(clip, 0): autoencoder.encode(frames_FCHW) for clip, frames_FCHW in enumerate(frames)},
        "texts": [encoder(caption) for caption in captions] if encoder else session.token_ids(captions),
        **{"steps": 1_000_000, "start": lambda: 0, "accumulate": hardware.accumulate},
    }
    if plain and encoder:
        encoder.network.to(hardware.device)
    if plain:
        parts |= {"frames": frames, "captions": captions, "autoencoder": autoencoder, "encoder": encoder}
    batches = (PlainBatches if plain else TrainingBatches)(**parts)
    return TrainingSteps(session.module(), experiment, batches)
