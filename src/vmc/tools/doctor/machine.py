"""Processors, memory and GPU against what a training needs."""

import os
from pathlib import Path

import torch

from vmc.tools.doctor.chosen import Chosen
from vmc.tools.doctor.disk import disk
from vmc.tools.doctor.rows import Row
from vmc.training.hardware import has_bfloat16
from vmc.training.memory import GIB, Load
from vmc.utils.errors import VmcError

RAM = {"mini": 2.0, "paper": 12.0}
"""GiB of a process, an estimate; the paper's is ZeroScope in fp32 while it is opened, and as much again beside it.
Other stacks are held to that too."""


def machine(chosen: Chosen) -> list[Row]:
    """CPU, memory, disk and GPU."""
    return [_processors(chosen.stack), _memory(chosen.stack), disk(chosen), *gpu(chosen), *_optimizer(chosen)]


def _processors(stack: str) -> Row:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{usable} usable, PyTorch takes {torch.get_num_threads()} threads"
    if stack == "mini" and usable < 2:
        return Row(
            part="processors", state="note", found=f"{found}; trainer=cpu asks for 2", remedy="add trainer.threads=1"
        )
    return Row(part="processors", state="ok", found=found)


def available_memory() -> float | None:
    """GiB that a new process can have; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / GIB
    except (OSError, ValueError, IndexError):
        pass
    return None


def _memory(stack: str) -> Row:
    free, need = available_memory(), RAM.get(stack, RAM["paper"])
    if free is None:
        return Row(part="memory", state="note", found=f"not known here; about {need:g} GiB are needed (estimate)")
    found = f"{free:.1f} GiB free, about {need:g} needed (estimate)"
    if free < need:
        return Row(part="memory", state="note", found=found, remedy="end other programs, or take a larger machine")
    return Row(part="memory", state="ok", found=found)


def gpu(chosen: Chosen) -> list[Row]:
    """Whether there is one, its memory and its precision, where the run takes one."""
    trainer = chosen.config.trainer
    if not torch.cuda.is_available():
        if trainer.accelerator != "gpu":
            return [Row(part="GPU", state="ok", found="none, and none is needed")]
        found = f"PyTorch {torch.__version__} finds none; trainer.accelerator=gpu trains on one"
        remedy = "run on a machine with an NVIDIA GPU and a CUDA build of torch, or try stack=mini here"
        return [Row(part="GPU", state="fails", found=found, remedy=remedy)]
    name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
    if trainer.accelerator == "cpu":
        return [Row(part="GPU", state="ok", found=f"{count} x {name}, and none is needed")]
    used = "the first is used" if trainer.devices == 1 else f"{trainer.devices} are used"
    if trainer.devices > count:
        remedy = f"give trainer.devices={count}"
        return [Row(part="GPU", state="fails", found=f"{count} x {name}; {used}", remedy=remedy)]
    free, total = (part / GIB for part in torch.cuda.mem_get_info(0))
    return [
        Row(part="GPU", state="ok", found=f"{count} x {name}, {used}"),
        gpu_memory(chosen.load, free, total),
        precision(trainer.precision, bf16=has_bfloat16()),
    ]


def gpu_memory(load: Load | None, free: float, total: float) -> Row:
    """GiB of the GPU against what the run needs."""
    part, has = "GPU memory", f"{free:.1f} of {total:.1f} GiB free"
    if load is None:
        return Row(part=part, state="note", found=f"{has}; the model's need is not known before it is there")
    need = load.held / GIB
    found = f"{has}; the run holds {need:.1f} of weights, gradients and optimizer state, and activations beside them"
    remedy = f"give {load.savings(bf16=has_bfloat16())}: python -m vmc.doctor --memory says what such choices save"
    if total < need:
        return Row(part=part, state="fails", found=found, remedy=f"take a larger GPU, or {remedy}")
    if free < need:
        return Row(part=part, state="note", found=found, remedy=f"end other programs on it, or {remedy}")
    return Row(part=part, state="ok", found=found)


def precision(chosen: str, *, bf16: bool) -> Row:
    """Whether the run's precision is the GPU's too."""
    if bf16 or chosen != "bf16-mixed":
        return Row(part="precision", state="ok", found=chosen)
    found = "the GPU has no bfloat16, and trainer.precision is bf16-mixed"
    return Row(part="precision", state="fails", found=found, remedy="add trainer.precision=16-mixed")


def _optimizer(chosen: Chosen) -> list[Row]:
    """Only one whose package is missing is worth a row."""
    try:
        chosen.value("optimizer")
    except VmcError as error:
        found, _, remedy = str(error).partition("; ")
        return [Row(part="optimizer", state="fails", found=found, remedy=remedy)]
    return []
