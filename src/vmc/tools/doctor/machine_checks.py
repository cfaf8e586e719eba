"""What `python -m vmc.doctor` looks at once the packages are there: a run, composed as `vmc.train` does and not begun,
the machine that it needs, its networks and its clips.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import vmc
from vmc.config.build import build_part, build_parts, build_regularization
from vmc.config.checks import GROUPS, check_config, check_parts, check_place, fill_missing, resolved
from vmc.config.command import compose
from vmc.config.known_keys import arguments
from vmc.metrics.networks.files import NetworkFile
from vmc.models.base import VideoModel
from vmc.models.zeroscope import ZEROSCOPE, Sizes
from vmc.tools.doctor.software_checks import Row
from vmc.tools.downloads import SOURCES, FileSource, HubSource, cached_folder, expected_sha256
from vmc.training.checkpoints import Checkpoints
from vmc.training.hardware import Hardware
from vmc.training.memory import GIB, STATE_BYTES, HeldMemory, check_memory, count_held
from vmc.training.tuned_weights import check_dtype
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root, existing_folder, sha256_of
from vmc.utils.processes import available_memory, usable_processors

PUBLISHED = {source.repository: name for name, source in SOURCES.items() if isinstance(source, HubSource)}
"""Pipelines of the hub: repository -> name."""
FILES = {source.name: name for name, source in SOURCES.items() if isinstance(source, FileSource)}
"""Published files: the file's name -> its name in `vmc.weights`."""
PACKAGE = Path(vmc.__file__).parent
SHIPPED = "ships with the package"
PARTS = ("model", "parameters", "objective", "timesteps", "lr_schedule", "token", "sampler", "metrics")
"""Groups that refuse wrong values when they are made."""
RAM = {"mini": 2.0, "paper": 12.0}
"""GiB of a process, an estimate, by stack; the paper's is ZeroScope in float32 while it is opened, and as much again
beside it."""
OTHERS = 1.0
"""GB of a run's videos, and of the caches that all runs share, each an estimate."""
MEASURED = {
    ("temporal_kv", "32-true", "adamw"): ("", ""),
    ("temporal_kv", "bf16-mixed", "adamw"): ("48.9", "18.7"),
    ("temporal_kv", "bf16-mixed", "adamw8bit"): ("", ""),
    ("spatial_kv", "bf16-mixed", "adamw"): ("", ""),
    ("lora", "bf16-mixed", "adamw"): ("", ""),
}
"""Of `parameters`, `trainer.precision` and `optimizer`: GiB at the peak of a step on an H100, activations kept and
recomputed (`experiments/full_size/proof_h100.json`)."""
HEADER = ("`parameters`", "`trainer.precision`", "`optimizer`", "held", "step, activations kept", "step, recomputed")


class PlannedRun:
    """A run that is composed and not begun, with the parts that `PARTS` name. A path that is not given is `missing`, no
    error.

    Raises:
        VmcError: the overrides do not compose.
    """

    def __init__(self, stack: str, overrides: Sequence[str] = ()) -> None:
        config = compose("train", [f"stack={stack}", *overrides])
        self.missing = fill_missing(config)
        check_config(config, "train")
        # An optimizer whose package is not installed is a finding, too.
        absent = find_spec(config.optimizer._target_.partition(".")[0]) is None
        check_parts(config, [group for group in GROUPS if not (absent and group == "optimizer")])
        self.config, self.parts = resolved(config), build_parts(config, PARTS)
        if (subset := self.parts["parameters"]) is not None:
            subset.check(self.parts["model"].groups)

    @property
    def model(self) -> str:
        """The base model: a folder, or the name of a hub repository."""
        return str(self.parts["model"].path)

    @cached_property
    def base(self) -> VideoModel | None:
        """The base model by its config files, or as published; None where no files are here that could be read."""
        model, folder = self.parts["model"], Path(self.model).expanduser()
        found = folder if folder.is_dir() else cached_folder(self.model, model.family)
        if found is None:
            return ZEROSCOPE if self.model in PUBLISHED and model.family == ZEROSCOPE.family else None
        try:
            return replace(model, path=replace(model, path=found).folder)
        except VmcError:  # a finding of its own
            return None

    @property
    def optimizer(self) -> str:
        """The name of the optimizer's class."""
        return self.config["optimizer"]["_target_"].rpartition(".")[2]

    @cached_property
    def trained(self) -> int | None:
        """Parameters that are trained in the denoiser; None where the sizes are not known."""
        if self.base is None:
            return None
        return count_held(self.base, self.parts["parameters"], precision="32-true", state_bytes=0).trained


def examine(run: PlannedRun) -> list[Row]:
    """Look at CPU, memory, disk and GPU, the optimizer where its package is missing, networks and clips."""
    package = Row.refused("optimizer", partial(arguments, run.config["optimizer"]["_target_"]))
    rows = [processors(run), memory(run), disk(run), *gpu(run), *([package] if package else [])]
    return [*rows, *networks(run), *clips(run), *stills(run)]


def processors(run: PlannedRun) -> Row:
    """Compare the processors of this process with the threads that a run of the miniature takes."""
    found = f"{usable_processors()} usable, PyTorch takes {torch.get_num_threads()} threads"
    few = run.config["stack_name"] == "mini" and usable_processors() < 2
    return Row.noted("processors", found, "trainer=cpu asks for 2: add trainer.threads=1" if few else "")


def memory(run: PlannedRun) -> Row:
    """Compare the free main memory with what a process takes."""
    available, need = available_memory(), RAM.get(run.config["stack_name"], RAM["paper"])
    if available is None:
        return Row("memory", "note", f"not known here; about {need:g} GiB are needed (estimate)")
    found = f"{available / GIB:.1f} GiB free, about {need:g} needed (estimate)"
    return Row.noted("memory", found, "end other programs, or take a larger machine" if available < need * GIB else "")


def disk_use(run: PlannedRun) -> tuple[int, int] | None:
    """Compute the bytes of a run that is trained to its last step, without videos: at its end, and while a checkpoint
    is written, as the oldest is removed only then; None where the sizes of its model are not known.
    """
    config = run.config
    if run.trained is None:
        return None
    saved, evaluated = (
        {config["steps"], *range(every, config["steps"] + 1, every)} if every else set[int]()
        for every in (config["checkpoint_every"] or config["steps"], config["evaluate_every"])
    )
    # What is only evaluated is kept in float32.
    weights = len(saved) * check_dtype(config["weights_dtype"]).itemsize + len(evaluated - saved) * 4
    kept = [min(len(saved), Checkpoints.KEPT + more) for more in (0, 1)]
    stays, most = (run.trained * (weights + (4 + STATE_BYTES.get(run.optimizer, 0)) * count) for count in kept)
    return stays, most


def disk(run: PlannedRun) -> Row:
    """Compare what is free with what the run takes, where it may write at all."""
    output, cache = Path(run.config["output"]).expanduser(), Path(run.config["cache"] or cache_root()).expanduser()
    remedy = "set output= to a folder that can be written"
    if refused := Row.refused("disk", partial(check_place, "output", output), remedy=remedy):
        return refused
    # A cache that cannot be written serves where it holds all that is needed.
    remedy = "set cache= or VMC_CACHE to one that can be written"
    if noted := Row.refused("disk", partial(check_place, "cache", cache), state="note", remedy=remedy):
        return noted
    use = disk_use(run)
    stays, most = (OTHERS + size / 1e9 for size in use or (0, 0))
    takes = f"a run leaves about {stays:.0f} and takes {most:.0f} while it saves"
    takes = takes if use else "a run's size is not known before its model is there"
    name, caches = PUBLISHED.get(run.model), OTHERS
    if name and not cached_folder(run.model, run.parts["model"].family):
        caches += SOURCES[name].size
        takes += f", the download of {name} {SOURCES[name].size:g} beside the caches"
    here, for_caches = (shutil.disk_usage(existing_folder(place)).free / 1e9 for place in (output, cache))
    found = f"{here:.0f} GB free here, {for_caches:.0f} GB free for caches; {takes} (estimate)"
    remedy = "set output= and VMC_CACHE to another disk, or save less: weights_dtype=bfloat16, checkpoint_every=0"
    return Row.noted("disk", found, remedy if here < most or for_caches < caches else "")


def gpu(run: PlannedRun) -> list[Row]:
    """Look for the run's devices and its precision, and on a GPU at the memory."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = f"{count} x {torch.cuda.get_device_name(0)}" if count else "none"
    if refused := Row.refused("GPU", partial(build_part, run.config, "trainer")):
        lacks = f", or take a machine with an NVIDIA GPU and a CUDA build of torch (here is {torch.__version__})"
        return [refused if count else refused._replace(remedy=refused.remedy + lacks)]
    hardware = build_part(run.config, "trainer")
    if hardware.device.type == "cpu":
        return [Row("GPU", "ok", f"{found}, and none is needed")]
    used = "the first is used" if hardware.devices == 1 else f"{hardware.devices} are used"
    return [Row("GPU", "ok", f"{found}, {used}, {hardware.precision}"), gpu_memory(run, hardware)]


def gpu_memory(run: PlannedRun, hardware: Hardware) -> Row:
    """Check that weights, gradients and optimizer state fit into the GPU, as a run does before it begins."""
    free, total = (part / GIB for part in torch.cuda.mem_get_info(0))
    has = f"{free:.1f} of {total:.1f} GiB free"
    if run.base is None:
        return Row("GPU memory", "note", f"{has}; the model's need is not known before it is there")
    if subset := run.parts["parameters"]:
        optimizer, trains = SimpleNamespace(__name__=run.optimizer), run.parts["token"].trains
        check = partial(check_memory, run.base, subset, hardware, optimizer, text_trained=trains)
        if refused := Row.refused("GPU memory", check):
            return refused
    found = f"{has}; weights, gradients and optimizer state fit, activations come on top"
    return Row("GPU memory", "ok", found, "python -m vmc.doctor --memory says what choices save" if subset else "")


def networks(run: PlannedRun) -> list[Row]:
    """Look for the base model and, where the run is scored, for each network of its metrics."""
    rows = [_model(run)]
    suite, label = run.parts["metrics"], (run.config.get("motion") or {}).get("label")
    metrics, used = (suite.metrics, suite.used(target=label)) if run.config["evaluate_every"] else ({}, {})
    for name, metric in sorted(metrics.items(), key=lambda item: not item[1].networks):
        if name not in used:
            rows.append(Row(name, "note", "not there and not needed: motion.label is null"))
        elif metric.networks:
            # Called by the key that sets its file, which is the metric's own where the network has none.
            keys = [part if part in run.config["metrics"] else name for part in metric.networks]
            rows += map(_network, keys, metric.networks.values())
        elif missing := metric.missing():
            rows.append(Row(name, "fails", f"it needs {'; '.join(missing)}", f"or metrics.{name}=null"))
        else:
            rows.append(Row(name, "ok", "needs no file"))
    return rows


def _model(run: PlannedRun) -> Row:
    name, model, part = run.model, run.parts["model"], PUBLISHED.get(run.model, "model")
    if Path(name).expanduser().is_dir():
        try:
            model.folder  # noqa: B018
        except VmcError as error:
            return Row(part, "fails", str(error), "get the whole folder again")
        return Row(part, "ok", SHIPPED if PACKAGE in Path(name).parents else f"the folder {name}")
    if cached_folder(name, model.family):
        return Row(part, "ok", f"{name}, in the hub's cache")
    get = model.get or "python -m vmc.weights get zeroscope"
    found = f"{name} is no folder here and not in the hub's cache"
    return Row(part, "fails", found, f"{get}, or set model.path to a local folder")


def _network(part: str, network: NetworkFile[Any]) -> Row:
    """Check that a file is there and has the SHA-256 that is published or was recorded, if there is either."""
    path, name = network.path, FILES.get(network.path.name, part)
    if not path.name:
        return Row(part, "note", "no file is named: its library downloads it when it is needed")
    if network.missing():
        get = network.get or f"set metrics.{part}.path to a file that is there"
        return Row(name, "fails", f"{path} is missing", get)
    if PACKAGE in path.parents:
        return Row(name, "ok", SHIPPED)
    source = SOURCES.get(name)
    expected, known = expected_sha256(path, source.sha256 if isinstance(source, FileSource) else None)
    if expected is None or path.is_dir():
        found = f"{path} is there; no SHA-256 is published or recorded to compare it with"
        return Row(name, "note", found, f"python -m vmc.weights check {path}")
    if sha256_of(path) == expected:
        return Row(name, "ok", f"{path}, with the SHA-256 that is {known}")
    again = f"move it away and get it again{f': {network.get}' if network.get else ''}"
    return Row(name, "fails", f"{path} has another SHA-256 than is {known}", again)


def clips(run: PlannedRun) -> list[Row]:
    """Find and count the run's clips, without opening one; no row where they are rendered when they are needed."""
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
        remedy = "set data.path to a folder of such clips" if "data.path" in str(error) else ""
        return [Row(part, "fails", str(error), remedy)]
    found = f"{exemplars} exemplars and {related} regularization clips in {path}, none opened"
    return [Row(part, "ok", found, f"python -m vmc.prepare jester {path} looks for every frame" if jester else "")]


def stills(run: PlannedRun) -> list[Row]:
    """Find and count a subject's stills; no row where there is none, or they are rendered when needed."""
    if "subject.path" in run.missing:
        return [Row("stills", "note", "their folder is given by subject.path", "give subject.path=DIR")]
    if not isinstance(run.config["subject"].get("path"), str):
        return []
    try:
        count = len(build_part(run.config, "subject").clips())
    except VmcError as error:
        return [Row("stills", "fails", str(error), "")]
    return [Row("stills", "ok", f"{count} in {run.config['subject']['path']}")]


def held_by(parameters: str, precision: str, optimizer: str, *, sizes: Sizes = ZEROSCOPE) -> HeldMemory:
    """Count what a training holds with a choice of `parameters`, `trainer.precision` and `optimizer`."""
    config = compose("train", [f"parameters={parameters}", f"optimizer={optimizer}"])
    state_bytes = STATE_BYTES[config.optimizer._target_.rpartition(".")[2]]
    return count_held(sizes, build_part(config, "parameters"), precision=precision, state_bytes=state_bytes)


def memory_table() -> list[str]:
    """Format what the choices of `MEASURED` hold and take, in Markdown, for the clips of `model=zeroscope`."""
    rows = [(*words, f"{held_by(*words).bytes / GIB:.1f}", *peaks) for words, peaks in MEASURED.items()]
    video = compose("train", ["stack=paper"]).model
    return [
        f"GiB, {video['frames']} frames of {video['size']} px, batch_size=1 (an exemplar and a regularization clip).",
        "",
        *(f"| {' | '.join(row)} |" for row in (HEADER, ("---",) * 3 + ("---:",) * 3, *rows)),
        "",
        "Held: weights, gradients and optimizer state, counted; a run whose GPU has less is refused."
        " Step: the peak of one step on an H100, measured by `python -m vmc.proof --output proof`; recomputed is"
        " trainer.checkpoint_activations=true. What is empty was not measured; --override optimizer=adamw8bit and the"
        " like measure it on your GPU.",
    ]
