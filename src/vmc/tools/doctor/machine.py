"""Processors, memory, disk and GPU against what a training needs."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch

from vmc.config.schema import arguments
from vmc.tools.doctor.run import PUBLISHED, PlannedRun
from vmc.tools.doctor.software import Row
from vmc.tools.downloads.download import cached_folder
from vmc.tools.downloads.sources import SOURCES
from vmc.training.callbacks import Checkpoints
from vmc.training.delta import check_dtype
from vmc.training.hardware import has_bfloat16
from vmc.training.memory import GIB, memory_savings
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root
from vmc.utils.processes import usable_processors

OTHERS = 1.0
"""GB of a run's videos, and of the caches that all runs share, each an estimate."""
RAM = {"mini": 2.0}
"""GiB of a process, an estimate, by stack."""
FULL_SIZE = 12.0
"""GiB of any other stack: ZeroScope in float32 while it is opened, and as much again beside it."""


def machine(run: PlannedRun) -> list[Row]:
    """CPU, memory, disk and GPU, and the optimizer where its package is missing."""
    rows = [_processors(run), _memory(run), disk(run), *gpu(run)]
    try:
        arguments(run.config["optimizer"]["_target_"])
    except VmcError as error:
        found, _, remedy = str(error).partition("; ")
        rows.append(Row("optimizer", "fails", found, remedy))
    return rows


def _processors(run: PlannedRun) -> Row:
    usable = usable_processors()
    found = f"{usable} usable, PyTorch takes {torch.get_num_threads()} threads"
    if run.config["stack_name"] == "mini" and usable < 2:
        return Row("processors", "note", f"{found}; trainer=cpu asks for 2", "add trainer.threads=1")
    return Row("processors", "ok", found)


def available_memory() -> float | None:
    """GiB that a new process can have; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / GIB
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _memory(run: PlannedRun) -> Row:
    free, need = available_memory(), RAM.get(run.config["stack_name"], FULL_SIZE)
    if free is None:
        return Row("memory", "note", f"not known here; about {need:g} GiB are needed (estimate)")
    found = f"{free:.1f} GiB free, about {need:g} needed (estimate)"
    if free < need:
        return Row("memory", "note", found, "end other programs, or take a larger machine")
    return Row("memory", "ok", found)


class DiskUse(NamedTuple):
    """Bytes of a run that is trained to its last step, its videos left out: of all files of `weights/`, and of one file
    of `checkpoints/`, of which so many are saved in all.
    """

    weights: int = 0
    checkpoint: int = 0
    saved: int = 0

    @property
    def stays(self) -> int:
        """In the run folder at the end."""
        return self.weights + self.checkpoint * min(self.saved, Checkpoints.KEPT)

    @property
    def most(self) -> int:
        """While a checkpoint is written: the oldest is removed only then."""
        return self.weights + self.checkpoint * min(self.saved, Checkpoints.KEPT + 1)


def disk_use(run: PlannedRun) -> DiskUse | None:
    """By what a run trains and how often it saves; None where the sizes of its model are not known."""
    config = run.config
    if run.held is None or not run.held.trained:
        return run.held and DiskUse()
    saved, evaluated = (
        {config["steps"], *range(every, config["steps"] + 1, every)} if every else set[int]()
        for every in (config["checkpoint_every"] or config["steps"], config["evaluate_every"])
    )
    # What is only evaluated is kept in float32.
    weights = len(saved) * check_dtype(config["weights_dtype"]).itemsize + len(evaluated - saved) * 4
    return DiskUse(run.held.trained * weights, run.held.trained * (4 + run.state_bytes), len(saved))


def disk(run: PlannedRun) -> Row:
    """What is free against what the run takes, where it may write at all."""
    places = {"output": Path(run.config["output"]), "cache": Path(run.config["cache"] or cache_root())}
    existing = {key: _existing(path) for key, path in places.items()}
    for key, path in places.items():
        if not (existing[key].is_dir() and os.access(existing[key], os.W_OK)):
            found = f"{key} is {path}, but {existing[key]} cannot be written"
            if key == "cache":  # one that holds all that is needed serves
                return Row("disk", "note", found, "set cache= or VMC_CACHE to one that can")
            return Row("disk", "fails", found, "set output= to a folder that can be written")
    use, need, caches = disk_use(run), OTHERS, OTHERS
    takes = "a run's size is not known before its model is there"
    if use is not None:
        need += use.most / 1e9
        takes = f"a run leaves about {OTHERS + use.stays / 1e9:.0f} and takes {need:.0f} while it saves"
    if (name := PUBLISHED.get(run.model)) and not cached_folder(run.model, run.parts["model"].family):
        caches += SOURCES[name].size
        takes += f", the download of {name} {SOURCES[name].size:g} beside the caches"
    here, for_caches = (shutil.disk_usage(place).free / 1e9 for place in existing.values())
    found = f"{here:.0f} GB free here, {for_caches:.0f} GB free for caches; {takes} (estimate)"
    if here < need or for_caches < caches:
        remedy = "set output= and VMC_CACHE to another disk, or save less: weights_dtype=bfloat16, checkpoint_every=0"
        return Row("disk", "note", found, remedy)
    return Row("disk", "ok", found)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above that is there."""
    path = path.expanduser().absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def gpu(run: PlannedRun) -> list[Row]:
    """Whether there is one, its memory and its precision, where the run takes one."""
    trainer = run.config["trainer"]
    if not torch.cuda.is_available():
        if trainer["accelerator"] != "gpu":
            return [Row("GPU", "ok", "none, and none is needed")]
        found = f"PyTorch {torch.__version__} finds none; trainer.accelerator=gpu trains on one"
        remedy = "run on a machine with an NVIDIA GPU and a CUDA build of torch, or try stack=mini here"
        return [Row("GPU", "fails", found, remedy)]
    count, devices = torch.cuda.device_count(), trainer["devices"]
    found = f"{count} x {torch.cuda.get_device_name(0)}"
    if trainer["accelerator"] == "cpu":
        return [Row("GPU", "ok", f"{found}, and none is needed")]
    used = "the first is used" if devices == 1 else f"{devices} are used"
    if devices > count:
        return [Row("GPU", "fails", f"{found}; {used}", f"give trainer.devices={count}")]
    precision = Row("precision", "ok", trainer["precision"])
    if trainer["precision"] == "bf16-mixed" and not has_bfloat16():
        lacks = "the GPU has no bfloat16, and trainer.precision is bf16-mixed"
        precision = Row("precision", "fails", lacks, "add trainer.precision=16-mixed")
    free, total = (part / GIB for part in torch.cuda.mem_get_info(0))
    return [Row("GPU", "ok", f"{found}, {used}"), gpu_memory(run, free, total), precision]


def gpu_memory(run: PlannedRun, free: float, total: float) -> Row:
    """GiB of the GPU against what the run holds."""
    has = f"{free:.1f} of {total:.1f} GiB free"
    if run.held is None:
        return Row("GPU memory", "note", f"{has}; the model's need is not known before it is there")
    need = run.held.bytes / GIB
    found = f"{has}; the run holds {need:.1f} of weights, gradients and optimizer state, and activations beside them"
    remedy = f"give {savings(run)}: python -m vmc.doctor --memory says what such choices save"
    if total < need:
        return Row("GPU memory", "fails", found, f"take a larger GPU, or {remedy}")
    if free < need:
        return Row("GPU memory", "note", found, f"end other programs on it, or {remedy}")
    return Row("GPU memory", "ok", found)


def savings(run: PlannedRun) -> str:
    """The settings that would need less memory, those left out that are chosen already."""
    subset, batch_size = run.config["parameters"], run.config["batch_size"]
    adapters = not subset or "Lora" in subset["_target_"]
    trainer = SimpleNamespace(**run.config["trainer"])
    return memory_savings(trainer, state_bytes=run.state_bytes, adapters=adapters, batch_size=batch_size)
