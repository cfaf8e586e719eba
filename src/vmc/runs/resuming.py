"""How a command finds an earlier run in its folder: done, resumed from a checkpoint, begun anew, or refused."""

import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmc.runs.earlier_versions import read_config, read_state, stored_state, up_to_date
from vmc.runs.lock import LOCK
from vmc.utils.errors import VmcError
from vmc.utils.files import is_leftover

if TYPE_CHECKING:
    from vmc.runs.folder import RunFolder

log = logging.getLogger(__name__)

# Keys that may differ when a run is continued: how long and where it runs, what it writes on the way, and paths of
# folders. `rates` are the stack's defaults: the run's own learning rates are in `optimizer` and `token`.
FREE_KEYS = (
    *("steps", "logger", "trainer", "evaluate_every", "checkpoint_every", "weights_dtype"),
    *("output", "cache", "rates", "search", "inflation"),
)
LEARNED = {"trainer": "clip_norm"}  # what a free key holds that decides what is learned, and may not differ
NO_TRAINING = "no training"
COMPLETE = ("appearance", NO_TRAINING)  # reasons for which a run is finished, whatever its number of steps


def is_done(state: Mapping[str, Any], steps: int) -> bool:
    """Whether a run in this state is complete for a number of steps."""
    if state.get("status") != "finished" or not isinstance(steps, int):
        return False
    return state["step"] >= steps or state["reason"] in COMPLETE


def differing_keys(one: Any, other: Any, prefix: str = "", *, free: Sequence[str] = FREE_KEYS) -> list[str]:
    """Dotted names of config keys that differ, except the outermost keys in `free`, of which only `LEARNED` counts.

    A missing key equals null, so that a key can be added which configs of earlier versions lack.
    """
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [] if one == other else [prefix]
    found = []
    for key in {**one, **other}:
        first, second, name = one.get(key), other.get(key), f"{prefix}.{key}".strip(".")
        if not prefix and key in free:
            learned = LEARNED.get(key)
            if not (isinstance(first, Mapping) and isinstance(second, Mapping) and learned in first.keys() & second):
                continue
            first, second, name = first[learned], second[learned], f"{name}.{learned}"
        found += differing_keys(first, second, name)
    return found


def other_config(path: Path, different: Sequence[str]) -> VmcError:
    """The error for a run in `path` that cannot be resumed, because these keys of its config are `different`."""
    # Folders of clips with the same name are different motions, but have the same output by default.
    choose = "choose another motion.name or output" if "data.path" in different else "choose another output"
    return VmcError(
        f"output is {path}, which holds a run of a different config ({', '.join(different)} differ);"
        f" {choose} or remove that folder"
    )


def differing_settings(run: "RunFolder") -> list[str]:
    """Keys that differ from the config of the earlier run in a folder; none where there is none."""
    if not (run.path / "config.yaml").is_file():
        return []
    return differing_keys(read_config(run.path), up_to_date(run.config))


def left_nothing(run: "RunFolder") -> bool:
    """Whether the earlier run in a folder has nothing of use, so that another may take its place."""
    if run.checkpoints() or (stored_state(run.path) or {}).get("status") == "finished":
        return False
    trains = not (run.path / "config.yaml").is_file() or read_config(run.path).get("parameters") is not None
    written = (*run.path.glob("weights/*.safetensors"), *run.path.glob("evaluation/*"))
    steps = [int(path.stem) for path in written if path.stem.isdigit()]
    return not any(steps) if trains else not steps  # scores at step 0 are the same in all trainings


def earlier_state(run: "RunFolder") -> dict[str, Any]:
    """The state of an earlier run in a folder, empty if there is none or it has nothing of use.

    Raises:
        VmcError: the folder holds a run of a different config, or other files.
    """
    if not (run.path / "config.yaml").is_file():
        if run.path.exists() and not run.path.is_dir():
            raise VmcError(f"output is {run.path}, which is a file; choose another folder")
        names = [path.name for path in run.path.iterdir()] if run.path.exists() else []
        # A run that was killed in its first moment leaves a lock and temporary folders.
        if any(name != LOCK and not is_leftover(name) for name in names):
            raise VmcError(f"output is {run.path}, which holds files but no run; choose another folder")
        return {}
    if different := differing_settings(run):
        if left_nothing(run):
            return {}
        raise other_config(run.path, different)
    return read_state(run.path)


def usable_checkpoint(run: "RunFolder") -> Path | None:
    """The newest intact checkpoint of a run, None if it has no checkpoints; damaged newer ones are logged."""
    damaged: list[str] = []
    for file in reversed(run.checkpoints()):
        fault = checkpoint_fault(file)
        if fault is None:
            for one in damaged:
                log.warning("the checkpoint %s; the run goes on from step %d", one, int(file.stem))
            return file
        damaged.append(f"{file} is damaged ({fault})")
    if not damaged:
        return None
    raise VmcError(
        f"the checkpoint {damaged[0]}, and none before it is whole; remove {run.checkpoint(0).parent} to train from the"
        " first step on, or choose another output"
    )


def checkpoint_fault(file: Path) -> str | None:
    """What is wrong with a checkpoint file; None if it is intact.

    PyTorch writes a zip archive, but does not verify the CRC-32 checksums of its records when it reads.
    """
    import torch  # a sweep of arms that are done does not need it

    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
        if record is not None:
            return f"the checksum of its record {record} is of another content"
        torch.load(file, map_location="cpu", mmap=True, weights_only=True)  # reads no tensors
    except Exception as error:  # a flipped bit of a header may come out as anything
        return " ".join(str(error).split()) or type(error).__name__
    return None
