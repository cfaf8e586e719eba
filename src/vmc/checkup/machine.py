"""Processors, memory, disk and GPU against what a training of the stack needs."""

import os
import shutil
from pathlib import Path

import torch

from vmc.checkup.rows import Row, Stack
from vmc.files import cache_root

GIB = 2**30
# Counts of ZeroScope's UNet with the method's parameters trained (tests/diffusion/test_parameters.py pins them), and of
# its autoencoder. The text encoder computes in main memory.
TRAINED, ALL, VAE = 570_882_176, 1_411_233_860, 83_653_863
HELD = (TRAINED * (4 + 4 + 8) + (ALL - TRAINED) * 2 + VAE * 4) / GIB
"""GiB that the method holds all the time: what is trained in fp32 with its gradient and Adam's two moments, the rest of
the UNet in half precision, and the autoencoder in fp32."""
WORKING = 14.7
"""GiB of activations, recomputed, of an exemplar and a regularization clip of 16 frames of 384 px: computed by
`vmc.diffusion.activations` (a test compares), not measured. What kernels need for a moment comes on top."""
RAM = {"mini": 2.0, "paper": 12.0}
"""GiB of a process, an estimate; the paper's is ZeroScope in fp32 while it is opened, and as much again beside it."""
DISK = {"mini": 1.0, "paper": 25.0}
"""GB of a run, an estimate: two checkpoints, weights and videos; the paper's with the downloaded weights."""


def machine(stack: Stack) -> list[Row]:
    """CPU, memory, disk and GPU."""
    return [_processors(stack), _memory(stack), _disk(stack), *_gpu(stack)]


def _processors(stack: Stack) -> Row:
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


def _memory(stack: Stack) -> Row:
    free, need = available_memory(), RAM[stack]
    if free is None:
        return Row(part="memory", state="note", found=f"not known here; about {need:g} GiB are needed (estimate)")
    found = f"{free:.1f} GiB free, about {need:g} needed (estimate)"
    if free < need:
        return Row(part="memory", state="note", found=found, remedy="end other programs, or take a larger machine")
    return Row(part="memory", state="ok", found=found)


def _disk(stack: Stack) -> Row:
    places = {name: _existing(path) for name, path in (("here", Path.cwd()), ("for caches", cache_root()))}
    free = {name: shutil.disk_usage(path).free / 1e9 for name, path in places.items()}
    told = ", ".join(f"{size:.0f} GB free {name}" for name, size in free.items())
    found = f"{told}, about {DISK[stack]:g} needed (estimate)"
    if min(free.values()) < DISK[stack]:
        return Row(part="disk", state="note", found=found, remedy="set output= and VMC_CACHE to another disk")
    return Row(part="disk", state="ok", found=found)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _gpu(stack: Stack) -> list[Row]:
    if not torch.cuda.is_available():
        if stack == "mini":
            return [Row(part="GPU", state="ok", found="none, and none is needed")]
        found = f"PyTorch {torch.__version__} finds none; stack=paper trains on one"
        remedy = "run on a machine with an NVIDIA GPU and a CUDA build of torch, or try stack=mini here"
        return [Row(part="GPU", state="fails", found=found, remedy=remedy)]
    name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
    rows = [Row(part="GPU", state="ok", found=f"{count} x {name}, the first is used")]
    if stack == "paper":
        free, total = (part / GIB for part in torch.cuda.mem_get_info(0))
        rows += [gpu_memory(free, total), precision(bf16=torch.cuda.is_bf16_supported(including_emulation=False))]
    return rows


def gpu_memory(free: float, total: float) -> Row:
    """GiB of the GPU against what the method needs."""
    need = HELD + WORKING
    found = (
        f"{free:.1f} of {total:.1f} GiB free; the method holds {HELD:.1f}, {need:.0f} with activations (computed);"
        " kernels take some more"
    )
    if total < HELD:
        remedy = "take a larger GPU, or train less: parameters=spatial_kv, or parameters=lora"
        return Row(part="GPU memory", state="fails", found=found, remedy=remedy)
    if free < need:
        remedy = "end other programs on it, or take less: python -m vmc.doctor --memory says what each choice saves"
        return Row(part="GPU memory", state="note", found=found, remedy=remedy)
    return Row(part="GPU memory", state="ok", found=found)


def precision(*, bf16: bool) -> Row:
    """Whether trainer=gpu's own precision is the GPU's too."""
    if bf16:
        return Row(part="precision", state="ok", found="bf16-mixed")
    return Row(
        part="precision",
        state="note",
        found="the GPU has no bfloat16, which trainer=gpu takes",
        remedy="add trainer.precision=16-mixed",
    )
