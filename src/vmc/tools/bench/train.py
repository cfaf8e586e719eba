"""`python -m vmc.bench train` and `startup`: seconds and memory of a training step, and seconds until the first one.

Axes: B clips of a batch, C colors or latent channels, F frames, H and W pixels, L text positions.
"""

import gc
import re
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.throughput import measure_flops
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from vmc.config.build import build_part, build_session
from vmc.config.command import compose
from vmc.data.captions import fill
from vmc.diffusion.sampling import Conditioning
from vmc.models.base import Autoencoder
from vmc.models.text import TextEncoder
from vmc.runs.folder import RunFolder
from vmc.tools.bench import common
from vmc.tools.bench.common import COMMON, WARM_UP, Figures, PlainLoop, seconds
from vmc.training.batches import Batch, TrainingBatches
from vmc.training.hardware import Hardware
from vmc.training.loss_log import StepCallback
from vmc.training.memory import FittedActivations
from vmc.training.optimizers import OptimizerFactory
from vmc.training.session import Session
from vmc.utils.errors import VmcError

CLIPS = 4
"""Exemplars, and as many regularization clips."""
PLAIN = PlainLoop(
    scored=False,
    choices={
        "encoders": ((), "autoencoder and text encoder make the batch anew in every step (clips are in memory)"),
        "weights": (["trainer.master_weights=false"], "all weights are in float32, and cast by autocast in every pass"),
        "recomputation": (["trainer.checkpoint_activations=true"], "the activations of every block are computed again"),
        "groups": ((), "the optimizer has a group for each tensor"),
        **COMMON,
        "reading": (["trainer.log_every=1"], "the losses are read after every step"),
    },
)
STEP = (
    "A step is batch, forward, backward, clipping and optimizer in a run's own trainer, on clips of noise;"
    " posteriors and text embeddings are in memory, as in a run."
)
STARTUP = (
    "Seconds from the start of a process of its own; importing is included. The first run of each is given"
    " by itself: its files may not have been in the system's memory, and it fills the caches (clips, posteriors, texts)"
    " where they are empty. The others find both warm."
)
PEAKS = {
    "H200": (989.5, 67.0),
    "H100 PCIe": (756.0, 51.0),
    "H100 NVL": (835.5, 60.0),
    "H100": (989.5, 67.0),
    "A100": (312.0, 19.5),
    "L40S": (362.0, 91.6),
    "A10": (125.0, 31.2),
    "V100": (125.0, 15.7),
}
"""Part of a GPU's name -> TFLOP/s in bfloat16 or float16, dense, and in float32 without TF32 (NVIDIA's data sheets).
The first that fits is taken.
"""
KINDS: Mapping[str, str] = {
    "optimizer": r"adam|multi_tensor",
    "layout": r"nchwTo|nhwcTo|nhwcAdd|transpose|permute",
    "attention": r"flash|fmha|sdp|attention|softmax",
    "normalization": r"norm|rowwise_?moments|gamma_?beta|fused_?params|welford",
    "convolutions": r"conv|fprop|dgrad|wgrad|implicit|cudnn",
    "matrix products": r"gemm|nvjet|cutlass|cublas|splitk|\b(add|b|baddb)?mm\b|aten::dot",
    "copies and casts": r"copy|memcpy|memset|cat|_to_copy|fill|zero",
}
"""Kind of a kernel -> what its name contains, in upper or lower case; the first that fits is taken."""
REST = "elementwise and others"


def train(arguments: Namespace) -> dict[str, Any]:
    """Measure seconds a step, memory and arithmetic; if asked, against the plain loop with the share of every choice,
    beside busy processes, and by kind of kernel.
    """
    overrides, steps = arguments.overrides, arguments.steps
    config = PLAIN.config(overrides)
    session = open_session(config)
    figures, notes = PLAIN.compare("a step", partial(time_steps, overrides, steps), arguments)
    figures |= arithmetic_figures(session, figures["a step"][1])
    if arguments.kernels:
        figures |= common.apart(partial(kernel_figures, overrides, steps))[0]
    settings = common.describe(config, session.experiment, batch_size=config["batch_size"], steps=steps)
    return common.make_report("train", settings, figures, [STEP, *notes], session.experiment.hardware)


def time_steps(overrides: Sequence[str], steps: int, plain: Collection[str], repeats: int = 1) -> list[float]:
    """Time a step in each round, in a loop that is gone afterwards: memory holds one at a time."""
    loop = TrainingSteps(PLAIN.config(overrides, plain), plain=plain)
    taken = [loop.run(steps) for _ in range(repeats)]
    del loop
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return taken


def kernel_figures(overrides: Sequence[str], steps: int) -> Figures:
    """Time the kernels of our loop."""
    loop = TrainingSteps(PLAIN.config(overrides))
    kernels = KernelTimes(loop.experiment.hardware.device, first=WARM_UP, steps=steps)
    loop.run(steps, kernels)
    return kernels.figures()


def startup(arguments: Namespace) -> dict[str, Any]:
    """Measure the seconds until `--help` answers and until the first step, each once cold and then as often as wanted.

    Raises:
        VmcError: the overrides do not compose, or a run fails.
    """
    hardware = build_part(compose("train", arguments.overrides), "trainer")
    tasks: dict[str, Callable[[], float]] = {
        "train --help": partial(seconds, run_train, "--help"),
        "first training step": partial(first_step_seconds, arguments.overrides),
    }
    timed = common.take_turns(tasks, repeats=1 + arguments.repeats, label="startup")
    figures: Figures = {name: ("s", values[1:]) for name, values in timed.items()}
    figures |= {f"{name}, first run": ("s", values[:1]) for name, values in timed.items()}
    return common.make_report("startup", {"overrides": len(arguments.overrides)}, figures, [STARTUP], hardware)


def first_step_seconds(overrides: Sequence[str]) -> float:
    """Time a run of one step until that step stands in `train.csv`."""
    with TemporaryDirectory() as folder:
        table, start = Path(folder, "run", "train.csv"), time.time()
        once = ("steps=1", "evaluate_every=0", "checkpoint_every=0")
        run_train("logger=csv", *overrides, *once, f"output={table.parent}")
        if not table.is_file():
            raise VmcError("vmc.train made no step; give the overrides of a run that trains")
        return table.stat().st_mtime - start


def run_train(*words: str) -> None:
    """Run `vmc.train` in a process of its own; a VmcError says why it failed."""
    status, said = common.run_captured("vmc.train", *words)
    if status:
        raise VmcError(f"vmc.train ended with status {status} ({said}); give the overrides that it needs")


# --- the training loop, ours and the plain one ---


class Clock(StepCallback):
    """Notes when the warm-up and the last step have ended.

    Args:
        steps: the steps after which the time is noted, counted from 1.
        every: steps between readings of the losses, for which a run's log waits for the GPU.
    """

    def __init__(self, steps: Collection[int], *, every: int) -> None:
        self.steps, self.every, self.times = steps, every, list[float]()

    def on_step(self, trainer: pl.Trainer, module: Any, step: int) -> None:
        """Read the losses where that is due, and note the time."""
        if step in self.steps or step % self.every == 0:
            torch.stack([part["loss"] for part in module.losses]).tolist()
            module.losses.clear()
        if step in self.steps:
            self.times.append(time.perf_counter())


@dataclass(frozen=True, kw_only=True)
class PlainBatches(TrainingBatches):
    """The same batches, made from frames_FCHW and captions by the autoencoder and the text encoder in every step.

    There is no text encoder where a token is trained: the module encodes the texts then.
    """

    frames: Sequence[Tensor]
    captions: Sequence[str]
    autoencoder: Autoencoder
    encoder: TextEncoder | None

    @torch.no_grad()
    def batch(self, step: int, indices: range) -> Batch:
        """Make the batch of some draws of a step; its texts go through their network at once."""
        drawn = [item for index in indices for item in self.plan.draw(step, index)]
        moments = {(item.clip, item.variant): self.autoencoder.encode(self.frames[item.clip]) for item in drawn}
        texts: list[Any] = list(self.texts)
        if self.encoder is not None:
            ids_BL = self.encoder.token_ids([self.captions[item.clip] for item in drawn])
            found = self.encoder.encode_ids(ids_BL).to("cpu").tensors()
            for place, item in enumerate(drawn):
                texts[item.clip] = Conditioning.of({name: part[place : place + 1] for name, part in found.items()})
        return TrainingBatches.batch(replace(self, moments=moments, texts=texts), step, indices)


def open_session(config: Mapping[str, Any]) -> Session:
    """Build a run's session without a folder.

    Raises:
        VmcError: the run trains nothing.
    """
    session = build_session(config, RunFolder(Path("benchmark"), config={}))
    if not isinstance(session, Session):
        raise VmcError("parameters is null, which trains nothing; choose what is trained")
    return session


def group_each(factory: OptimizerFactory) -> OptimizerFactory:
    """Make the same optimizer with a group for each tensor."""
    return lambda groups: factory([{**group, "params": [one]} for group in groups for one in group["params"]])


class TrainingSteps:
    """A run's module and its batches of clips of noise, without end.

    Args:
        config: the config of the run.
        plain: choices that are made as the plain loop makes them, those that are no keys of the config.

    Raises:
        VmcError: the run trains nothing.
    """

    def __init__(self, config: Mapping[str, Any], *, plain: Collection[str] = ()) -> None:
        session = open_session(config)
        experiment = session.experiment
        model, token, hardware = experiment.model, experiment.token, experiment.hardware
        hardware.use_threads()
        frames = [clip for _, clip in common.noise_clips("training", 2 * CLIPS, frames=model.frames, size=model.size)]
        captions = [fill(experiment.motion.caption or "{token}", **token.words)] * CLIPS
        captions += ["a person doing other things"] * CLIPS
        in_step = "encoders" in plain
        dtype = hardware.frozen_dtype if in_step and "weights" not in plain else torch.float32
        autoencoder = model.autoencoder(dtype=dtype).to(hardware.device)
        encoder = None if token.trains else model.text_encoder(token, dtype=dtype)
        batches = TrainingBatches(
            plan=session.plan(CLIPS, CLIPS),
            moments={(clip, 0): autoencoder.encode(frames_FCHW) for clip, frames_FCHW in enumerate(frames)},
            texts=[encoder(caption) for caption in captions] if encoder else session.token_ids(captions),
            steps=1_000_000,
            start=lambda: 0,
            accumulate=hardware.accumulate,
        )
        if in_step:
            encoders: Any = {"autoencoder": autoencoder, "encoder": encoder}
            batches = PlainBatches(**vars(batches), frames=frames, captions=captions, **encoders)
            if encoder:
                encoder.network.to(hardware.device)
        if "groups" in plain:
            session.optimizer = group_each(session.optimizer)
        module = session.module()
        if "kernels" in plain:
            common.plain_kernels(module.denoiser)
        if "weights" in plain:
            module.denoiser.float()
        self.module, self.experiment, self.batches = module, experiment, batches

    def run(self, steps: int, *callbacks: pl.Callback) -> float:
        """Train by the run's own trainer; the mean seconds of so many steps after the warm-up."""
        hardware = self.experiment.hardware
        on_gpu = hardware.device.type == "cuda"
        clock = Clock({WARM_UP, WARM_UP + steps}, every=hardware.log_every)
        fitting = [FittedActivations()] if on_gpu and hardware.recomputed == "auto" else []
        trainer = hardware.trainer(steps=WARM_UP + steps, callbacks=[clock, *fitting, *callbacks])
        trainer.fit(self.module, DataLoader(self.batches, batch_size=None, num_workers=0, pin_memory=on_gpu))
        first, last = clock.times
        return (last - first) / steps


# --- what a step computes ---


def step_flops(session: Session) -> int:
    """Count the denoiser's floating-point operations of a step, forward and backward, on the meta device; nothing that
    is recomputed counts twice.

    Axes: B clips of a batch, C latent channels, F frames, H and W.
    """
    experiment, device = session.experiment, torch.device("meta")
    model, clips = experiment.model, len(session.plan(1, 1).draw(0, 0)) * session.batch_size
    denoiser = model.empty_denoiser().requires_grad_(False)
    session.subset.select_trainable(denoiser, model.groups)
    text = model.text_encoder(experiment.token)("a person")
    latents_BCFHW = torch.zeros(clips, *model.latent_shape(frames=model.frames, size=model.size), device=device)
    timesteps_B = model.process.timesteps(torch.zeros(clips, dtype=torch.long)).to(device)
    texts = Conditioning.cat([text] * clips).to(device)
    forward = partial(model.predict, denoiser, latents_BCFHW, timesteps_B, texts)
    return measure_flops(denoiser, forward, torch.sum)


def arithmetic_figures(session: Session, seconds: np.ndarray) -> Figures:
    """Divide a step's operations by its seconds, and by the peak of a GPU of a known name; nothing where the text is
    encoded in the step.
    """
    if session.experiment.token.trains:
        return {}
    flops = step_flops(session) / 1e12
    rate = flops / seconds
    figures: Figures = {"arithmetic of a step": ("TFLOP", np.array([flops])), "arithmetic": ("TFLOP/s", rate)}
    if (peak := peak_of(session.experiment.hardware)) is not None:
        figures["arithmetic, of the device's peak"] = "%", 100 * rate / peak
    return figures


def peak_of(hardware: Hardware) -> float | None:
    """Look up the most TFLOP/s in the precision that is computed in; None where the device is not in the table."""
    if hardware.device.type != "cuda":
        return None
    name, column = torch.cuda.get_device_name(hardware.device), int(hardware.precision == "32-true")
    return next((peaks[column] for part, peaks in PEAKS.items() if part in name), None)


class KernelTimes(StepCallback):
    """Profiles the kernels of some steps, by kind: those of a GPU, or PyTorch's operators on a CPU.

    Args:
        device: where the steps are trained.
        first: the last step before those that are profiled, counted from 1.
        steps: how many steps are profiled.
    """

    def __init__(self, device: torch.device, *, first: int, steps: int) -> None:
        self.on_gpu, self.first, self.steps = device.type == "cuda", first, steps
        self.profile = profile(activities=[ProfilerActivity.CUDA if self.on_gpu else ProfilerActivity.CPU])

    def on_step(self, trainer: Any, module: Any, step: int) -> None:
        """Begin to profile, or end."""
        if self.on_gpu:
            torch.cuda.synchronize(module.device)
        if step == self.first:
            self.profile.start()
        elif step == self.first + self.steps:
            self.profile.stop()

    def figures(self) -> Figures:
        """Give the seconds a step of each kind, and the number of kernels in a step."""
        wanted = DeviceType.CUDA if self.on_gpu else DeviceType.CPU
        events = [event for event in self.profile.key_averages() if event.device_type == wanted]
        found = dict.fromkeys([*KINDS, REST], 0.0)
        for event in events:
            taken = event.self_device_time_total if self.on_gpu else event.self_cpu_time_total
            found[kind_of(event.key)] += taken / 1e6 / self.steps
        figures: Figures = {f"kernels, {kind}": ("s", np.array([taken])) for kind, taken in found.items()}
        return figures | {"kernels": ("of a step", np.array([sum(event.count for event in events) / self.steps]))}


def kind_of(name: str) -> str:
    """Name what a kernel does, as far as its name tells."""
    return next((kind for kind, part in KINDS.items() if re.search(part, name, re.IGNORECASE)), REST)
