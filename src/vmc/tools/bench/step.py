"""What a training step computes: its floating-point operations, against what the device could do, and its kernels."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from vmc.diffusion.sampling import Conditioning
from vmc.tools.bench.measure import Figures
from vmc.training.callbacks import StepCallback
from vmc.training.hardware import Hardware
from vmc.training.session import Session

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
    with FlopCounterMode(display=False) as counter:
        texts = Conditioning.cat([text] * clips).to(device)
        model.predict(denoiser, latents_BCFHW, timesteps_B, texts).sum().backward()
    return counter.get_total_flops()


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
