"""What the kernels of a training step are, and how long each kind takes."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from vmc.tools.bench.measure import Figures
from vmc.training.callbacks import StepCallback

KINDS: Mapping[str, str] = {
    "optimizer": r"adam|multi_tensor",
    "layout": r"nchwTo|nhwcTo|nhwcAdd|transpose|permute",
    "attention": r"flash|fmha|sdp|attention|softmax",
    "normalization": r"norm|rowwise_?moments|gamma_?beta|fused_?params|welford",
    "convolutions": r"conv|fprop|dgrad|wgrad|implicit|cudnn",
    "matrix products": r"gemm|nvjet|cutlass|cublas|splitk|\b(add|b|baddb)?mm\b|aten::dot",
    "copies and casts": r"copy|memcpy|memset|cat|_to_copy|fill|zero",
}
"""Kind of a kernel -> what its name contains, whatever the case; the first that fits is taken."""
REST = "elementwise and others"


class KernelTimes(StepCallback):
    """Seconds that the kernels of some steps take, by kind: those of a GPU, or PyTorch's operators on a CPU.

    Args:
        first: the last step before those that are looked at, counted from 1.
        steps: how many are.
    """

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps, self.events = first, steps, list[Any]()

    def on_step(self, trainer: Any, module: Any, step: int) -> None:
        """Begin to look, or end."""
        on_gpu = module.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(module.device)
        if step == self.first:
            self._profile = profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU])
            self._profile.start()
        elif step == self.first + self.steps:
            self._profile.stop()
            wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
            self.events = [event for event in self._profile.key_averages() if event.device_type == wanted]

    def figures(self) -> Figures:
        """Seconds a step of each kind, and how many kernels a step has."""
        found = dict.fromkeys([*KINDS, REST], 0.0)
        for event in self.events:
            taken = event.self_device_time_total if event.device_type == DeviceType.CUDA else event.self_cpu_time_total
            found[kind_of(event.key)] += taken / 1e6 / self.steps
        number = sum(event.count for event in self.events) / self.steps
        figures: Figures = {f"kernels, {kind}": ("s", np.array([taken])) for kind, taken in found.items()}
        return figures | {"kernels": ("of a step", np.array([number]))}


def kind_of(name: str) -> str:
    """What a kernel of this name does, as far as the name tells."""
    return next((kind for kind, part in KINDS.items() if re.search(part, name, re.IGNORECASE)), REST)
