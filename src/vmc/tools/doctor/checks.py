"""Processors, memory, disk and GPU against what a training needs, and whether its networks and clips are there."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

import vmc
from vmc.config.build import build_part, build_regularization
from vmc.config.schema import arguments
from vmc.metrics.networks.files import NetworkFile
from vmc.tools.doctor.run import PUBLISHED, PlannedRun
from vmc.tools.doctor.software import Row
from vmc.tools.downloads import SOURCES, FileSource, cached_folder, expected_sha256, part_files
from vmc.training.callbacks import Checkpoints
from vmc.training.delta import check_dtype
from vmc.training.hardware import has_bfloat16
from vmc.training.memory import GIB, memory_savings
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root, sha256_of
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


PACKAGE = Path(vmc.__file__).parent
FILES = {source.name: name for name, source in SOURCES.items() if isinstance(source, FileSource)}
"""Published files: the file's name -> its name in `vmc.weights`."""


def networks(run: PlannedRun) -> list[Row]:
    """A row for the base model, and where the run is scored one for each network of its metrics, or for the metric."""
    rows = [_model(run)]
    metrics = run.parts["metrics"].metrics if run.evaluates else {}
    for name, metric in sorted(metrics.items(), key=lambda item: not item[1].networks):
        rows += [_network(name, network) for network in metric.networks.values()]
        if not metric.networks and (missing := metric.missing()):
            rows.append(Row(name, "fails", f"it needs {'; '.join(missing)}", f"or metrics.{name}=null"))
        elif not metric.networks:
            rows.append(Row(name, "ok", "needs no file"))
    return rows


def _model(run: PlannedRun) -> Row:
    name, part = run.model, PUBLISHED.get(run.model, "model")
    if Path(name).expanduser().is_dir():
        try:
            run.parts["model"].folder  # noqa: B018
        except VmcError as error:
            return Row(part, "fails", str(error), "get the whole folder again")
        shipped = PACKAGE in Path(name).parents
        return Row(part, "ok", "ships with the package" if shipped else f"the folder {name}")
    if cached_folder(name, run.parts["model"].family):
        return Row(part, "ok", f"{name}, in the hub's cache")
    get = run.parts["model"].get or "python -m vmc.weights get zeroscope"
    found = f"{name} is no folder here and not in the hub's cache"
    return Row(part, "fails", found, f"{get}, or set model.path to a local folder")


def _network(part: str, network: NetworkFile[Any]) -> Row:
    path, get, name = network.path, network.get, FILES.get(network.path.name, part)
    if not path.name:
        return Row(part, "note", "no file is named: its library downloads it when it is needed")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        return Row(name, "ok", "ships with the package") if PACKAGE in path.parents else _compare(name, path, get)
    begun = part_files(path)
    found = f"{begun[0]} is not complete" if begun else f"{path} is missing"
    return Row(name, "fails", found, get or f"set metrics.{part}.path to a file that is there")


def _compare(name: str, path: Path, get: str) -> Row:
    """Whether a file has the SHA-256 that is published or was recorded; where there is neither, about its size."""
    source = SOURCES.get(name)
    published = source if isinstance(source, FileSource) else None
    again = f"move it away and get it again{f': {get}' if get else ''}"
    expected, known = expected_sha256(path, published.sha256 if published else None)
    if expected and path.is_file():
        if sha256_of(path) == expected:
            return Row(name, "ok", f"{path}, with the SHA-256 that is {known}")
        return Row(name, "fails", f"{path} has another SHA-256 than is {known}", again)
    size = path.stat().st_size / 1e9
    if published and path.is_file() and not 0.5 * published.size < size < 2 * published.size:
        found = f"{path} has {size * 1000:.3g} MB, the published file about {published.size * 1000:.3g}"
        return Row(name, "fails", found, again)
    found = f"{path} is there; no SHA-256 is published or recorded to compare it with"
    return Row(name, "note", found, f"python -m vmc.weights check {path}")


def clips(run: PlannedRun) -> list[Row]:
    """A row for the run's clips, found and counted, none of them opened; none where they are rendered when needed."""
    data, motion, seed = run.config["data"], build_part(run.config, "motion"), run.config["seed"]
    path, jester = data["path"], data["source"]["_target_"].endswith(".Jester")
    part = "Jester" if jester else "clips"
    if "data.path" in run.missing:
        remedy = "python -m vmc.prepare jester PATH verifies a copy" if jester else "give data.path=DIR"
        return [Row(part, "note", "its folder is given by data.path", remedy)]
    if isinstance(path, Mapping):
        return []
    try:
        source, related = build_part(run.config, "data.source"), "no"
        exemplars = len(source.exemplars(label=motion.label, caption=motion.caption, seed=seed))
        if not run.config["regularization"]["_target_"].endswith(".SyntheticRegularization"):  # which are not made yet
            regularization = build_regularization(run.config, source=source, seed=seed, base_videos=None)
            related = str(len(regularization.clips()))
    except VmcError as error:
        return [Row(part, "fails", str(error), "set data.path to a folder of such clips")]
    found = f"{exemplars} exemplars and {related} regularization clips in {path}, none opened"
    return [Row(part, "ok", found, f"python -m vmc.prepare jester {path} looks for every frame" if jester else "")]
