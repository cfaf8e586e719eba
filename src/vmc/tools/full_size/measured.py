"""`python -m vmc.tools.full_size.measured FILE MODULE [WORD ...]`: an entry point, and what it took in FILE.

The entry point runs unchanged. The peak memory is that of this process, and of PyTorch on its GPU where it has one.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from vmc.models.unet3d import UNet3D
from vmc.tools.bench.measure import resident_peak


@contextmanager
def timed_passes() -> Iterator[list[float]]:
    """Seconds of each pass through the UNet within, forward alone; hooks of PyTorch's change nothing."""
    began, passes = list[float](), list[float]()

    def note(module: torch.nn.Module, *ignored: Any) -> None:
        if isinstance(module, UNet3D.networks["unet"]):
            if torch.cuda.is_initialized():  # a GPU does what it is given later
                torch.cuda.synchronize()
            now = time.perf_counter()
            passes.append(now - began.pop()) if began else began.append(now)

    hooks = register_module_forward_pre_hook(note), register_module_forward_hook(note)
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def main() -> None:
    """Run the module's `main` with the words, and write the figures however it ends."""
    file, module, *words = sys.argv[1:]
    began = time.perf_counter()
    sys.argv = [module, *words]
    with timed_passes() as passes:
        try:
            import_module(module).main()
        finally:
            found = {
                "seconds": time.perf_counter() - began,
                "seconds_of_passes": passes,
                "peak_memory_bytes": resident_peak(),
                "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None,
            }
            Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
