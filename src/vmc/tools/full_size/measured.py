"""`python -m vmc.tools.full_size.measured FILE MODULE [WORD ...]`: an entry point, and what it took in FILE.

The entry point runs unchanged. The peak memory is that of this process, and of PyTorch on its GPU where it has one.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from vmc.models.unet3d import UNet3D
from vmc.tools.bench.measure import resident_peak

DENOISER = UNet3D.networks["unet"]


class Passes:
    """Seconds of each pass through the UNet, forward alone, while it is entered; hooks of PyTorch's change nothing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __enter__(self) -> "Passes":
        self._hooks = (register_module_forward_pre_hook(self._before), register_module_forward_hook(self._after))
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _before(self, module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, DENOISER):
            self._began = _now()

    def _after(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, DENOISER):
            self.seconds.append(_now() - self._began)


def _now() -> float:
    """The time when a GPU, if this process uses one, has done what it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Run the module's `main` with the words, and write the figures however it ends."""
    file, module, *words = sys.argv[1:]
    began, passes = time.perf_counter(), Passes()
    sys.argv = [module, *words]
    try:
        with passes:
            import_module(module).main()
    finally:
        on_gpu = torch.cuda.is_initialized()
        found = {
            "seconds": time.perf_counter() - began,
            "seconds_of_passes": passes.seconds,
            "peak_memory_bytes": resident_peak(),
            "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        }
        Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
