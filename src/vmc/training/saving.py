"""How a checkpoint reaches the disk."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO


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
