"""How a checkpoint reaches the disk, and whether it is still what was written when it is needed."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from vmc.runs.folder import RunFolder
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes tensor by tensor.

    Lightning's own builds the whole file in memory, and copies it once more to write it: for the method on ZeroScope
    that is twice 6.9 GB. Who calls gives a temporary name and renames (`vmc.training.callbacks.Checkpoints`).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write it; tensors of a GPU come to main memory one at a time."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # A file of Python's: PyTorch's own does not say why it could not be written.
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


def usable_checkpoint(run: RunFolder) -> Path | None:
    """The newest training state of a run that is whole, None where it has none; damaged ones after it are named.

    Raises:
        VmcError: it has some, and all of them are damaged.
    """
    damaged: list[str] = []
    for file in reversed(run.checkpoints()):
        fault = checkpoint_fault(file)
        if fault is None:
            for one in damaged:
                log.warning("the checkpoint %s; the run goes on from step %d", one, int(file.stem))
            return file
        damaged.append(f"{file} is damaged ({fault})")
    if damaged:
        raise VmcError(
            f"the checkpoint {damaged[0]}, and none before it is whole;"
            f" remove {run.checkpoint(0).parent} to train from the first step on, or choose another output"
        )
    return None


def checkpoint_fault(file: Path) -> str | None:
    """What keeps a checkpoint from being read as it was written; None for nothing.

    PyTorch writes a zip archive, whose records have checksums (CRC-32) that it does not look at when it reads.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
        if record is not None:
            return f"the checksum of its record {record} is of another content"
        torch.load(file, map_location="cpu", mmap=True, weights_only=True)  # reads no tensors
    except Exception as error:  # a flipped bit of a header may come out as anything
        return " ".join(str(error).split()) or type(error).__name__
    return None
