"""What a run computes on: devices, precision and threads. But for `clip_norm` it changes speed and rounding, never what
is learned. A GPU's memory is in `vmc.training.memory`.
"""

import difflib
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.strategies import StrategyRegistry

from vmc.diffusion.sampling import check_tile
from vmc.models.base import DECODE_FRAMES
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root
from vmc.utils.processes import keep_freed_memory

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
LOW: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Devices, precision and memory choices.

    Args:
        accelerator: cpu, gpu or auto.
        devices: number of processes, one per device.
        strategy: auto, or ddp for several devices.
        precision: 32-true, bf16-mixed or 16-mixed; mixed holds frozen weights in the low precision, trained in float32.
        threads: threads of a CPU run; None leaves PyTorch's choice. One and two threads differ in the last bits.
        accumulate: micro-batches per step.
        clip_norm: the norm to which gradients are clipped; None does not clip.
        checkpoint_activations: recompute activations in the backward pass: less memory, more time, equal gradients.
            `true` or `blocks`, `layers` (less memory still), or `auto`, as few layers as let a step fit into the GPU.
        master_weights: with a mixed precision, hold trained weights twice, in float32 for the optimizer and in the low
            precision for the network, so that nothing is cast in a step; gradients are in the low precision.
        compile: `layers` compiles the denoiser's layers one by one; None compiles nothing.
        cuda_graph: run the whole step of a small denoiser, and the sampler's, as one CUDA graph where that is possible.
        log_every: steps between readings of the losses, each of which waits for the GPU.
        decode_frames: frames that the autoencoder decodes at a time; fewer need less memory.
        decode_tile: px, the side of overlapping tiles in which a frame is decoded; None decodes it whole. Tiles need
            less memory and give nearly the same frame: each is normalized by itself.
        offload: keep the autoencoder in main memory and move it to the GPU to decode; no change on a CPU. The text
            encoder is in main memory in any case, unless its token is trained.
        low_precision_sampling: with a mixed precision, sample with all weights and operations in the low precision;
            without it, autocast decides by operation and casts trained weights.
        low_precision_decoding: with bf16-mixed, decode in bfloat16. Float16 ends at 65,504, which autoencoders exceed.
        overlap: sample the next videos while others are decoded, written and scored; None does so on a GPU. The videos
            are the same.
    """

    accelerator: str = "cpu"
    devices: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"
    threads: int | None = None
    accumulate: int = 1
    clip_norm: float | None = 1.0
    checkpoint_activations: bool | Literal["blocks", "layers", "auto"] = False
    master_weights: bool = False
    compile: Literal["layers"] | None = None
    cuda_graph: bool = False
    log_every: int = 1
    decode_frames: int = DECODE_FRAMES
    decode_tile: int | None = None
    offload: bool = False
    low_precision_sampling: bool = False
    low_precision_decoding: bool = False
    overlap: bool | None = None

    def __post_init__(self) -> None:
        strategies = ["auto", *StrategyRegistry.available_strategies()]
        for name, known in (("accelerator", ["cpu", "gpu", "auto"]), ("strategy", strategies)):
            if (value := getattr(self, name)) not in known:
                near = difflib.get_close_matches(value, known, 3) or known
                raise VmcError(f"trainer.{name} is {value}; it must be one of {', '.join(near)}")
        if self.precision == "16-mixed" and self.device.type == "cpu":
            raise VmcError("trainer.precision is 16-mixed, which a CPU does not compute in; use 32-true")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise VmcError("trainer.accelerator is gpu, but PyTorch finds no GPU here; use trainer=cpu")
        if self.device.type == "cuda" and self.devices > (have := torch.cuda.device_count()):
            raise VmcError(f"trainer.devices is {self.devices}, but there are {have} GPUs here; use as many or fewer")
        # PyTorch would otherwise emulate it, slowly and not everywhere.
        low = self.precision == "bf16-mixed" and self.device.type == "cuda"
        if low and not torch.cuda.is_bf16_supported(including_emulation=False):
            name = torch.cuda.get_device_name(self.device)
            said = f"trainer.precision is bf16-mixed, but {name} has no bfloat16"
            raise VmcError(f"{said}; use trainer.precision=16-mixed")
        if self.master_weights and self.devices > 1:
            raise VmcError(
                f"trainer.master_weights is true, but trainer.devices is {self.devices}, whose processes share the"
                " gradients of the network's own weights; give trainer.master_weights=false"
            )
        for name in ("devices", "accumulate", "log_every", "decode_frames", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise VmcError(f"trainer.{name} is {value}; it must be at least 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise VmcError(f"trainer.clip_norm is {self.clip_norm}; it must be above 0, or null to clip nothing")
        check_tile(self.decode_tile)
        if self.low_precision_decoding and self.precision == "16-mixed":
            log.info("trainer.low_precision_decoding: the autoencoder decodes in float32, as float16 would overflow")

    @property
    def rank(self) -> int:
        """Index of this process in a DDP run; Lightning starts the others with LOCAL_RANK set."""
        return int(os.environ.get("LOCAL_RANK", 0)) if self.devices > 1 else 0

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        on_gpu = self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())
        return torch.device("cuda", self.rank) if on_gpu else torch.device("cpu")

    @property
    def resting_device(self) -> torch.device:
        """The device of the autoencoder while it does not decode."""
        return torch.device("cpu") if self.offload else self.device

    @property
    def recomputed(self) -> str | None:
        """What is recomputed in the backward pass: blocks, layers or auto; None where activations are kept."""
        choice = self.checkpoint_activations
        return "blocks" if choice is True else choice or None

    @property
    def frozen_dtype(self) -> torch.dtype:
        """Precision of the weights that are not trained."""
        return LOW.get(self.precision, torch.float32)

    @property
    def sampling_dtype(self) -> torch.dtype | None:
        """Precision of all weights during sampling; None leaves them as they are, under autocast."""
        return LOW.get(self.precision) if self.low_precision_sampling else None

    @property
    def decoding_dtype(self) -> torch.dtype:
        """Precision of the autoencoder that decodes videos; never float16."""
        low = self.low_precision_decoding and self.precision == "bf16-mixed"
        return torch.bfloat16 if low else torch.float32

    @property
    def overlaps(self) -> bool:
        """Whether videos are sampled while others are decoded, written and scored."""
        return self.device.type == "cuda" if self.overlap is None else self.overlap

    @property
    def video_choices(self) -> tuple[Any, ...]:
        """The choices other than the defaults that change a video's pixels, besides precision and rounding."""
        low = {"sampling": self.sampling_dtype is not None, "decoding": self.decoding_dtype is not torch.float32}
        lowered = [f"{name} in the low precision" for name, chosen in low.items() if chosen]
        return *(() if self.decode_tile is None else (self.decode_tile,)), *lowered

    def use_threads(self) -> int:
        """Set the number of threads and return it. On a CPU, also keep freed memory and flush numbers below 1e-38 to 0,
        which processors multiply many times slower than others; attention to padding is full of them.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
            torch.set_flush_denormal(True)  # in this thread, and in those that it starts
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return torch.get_num_threads()

    @property
    def rounding(self) -> str:
        """What decides the last bits of a result: the threads on CPU, else the kind of GPU.

        It is part of cache keys, or a run would depend on the machine that filled the cache.
        """
        on_cpu = self.device.type == "cpu"
        return f"cpu {torch.get_num_threads()}" if on_cpu else torch.cuda.get_device_name(self.device)

    def autocast(self) -> AbstractContextManager:
        """The autocast context of a forward pass outside Lightning."""
        low = LOW.get(self.precision)
        return torch.autocast(self.device.type, dtype=low) if low else nullcontext()

    def check_partial_gradients(self) -> None:
        """Raise a VmcError for a strategy of several processes that needs a gradient of every parameter."""
        known = ("auto", "ddp", "ddp_find_unused_parameters_true")
        if self.devices > 1 and self.strategy not in known:
            raise VmcError(
                f"trainer.strategy is {self.strategy}, and stills of a subject give temporal layers no gradients, which"
                f" it would wait for; choose one of {', '.join(known)}"
            )

    def trainer(self, *, steps: int, callbacks: Sequence[pl.Callback], partial_gradients: bool = False) -> pl.Trainer:
        """A Lightning trainer that only trains; logging, saving and the progress bar are callbacks of ours.

        With `partial_gradients` some steps give some parameters no gradient, which DDP must then look for.
        """
        # Its advice on workers, logging and GPUs does not apply: everything a batch needs is in memory.
        for name in ("pytorch_lightning", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
        told = r".*(does not have many workers|GPU available but not used|capturable=True).*"
        warnings.filterwarnings("ignore", message=told)
        ddp = self.devices > 1 and self.strategy in ("auto", "ddp")
        return pl.Trainer(
            accelerator=self.accelerator,
            devices=self.devices,
            strategy="ddp_find_unused_parameters_true" if ddp and partial_gradients else self.strategy,
            precision=self.precision,
            accumulate_grad_batches=self.accumulate,
            gradient_clip_val=self.clip_norm,
            # Never Slurm's, even inside one of its jobs: the ranks are those of `devices`, and only submitit puts a job
            # back in the queue.
            plugins=[LightningEnvironment(), StreamedCheckpoints()],
            max_steps=steps,
            max_epochs=-1,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
            benchmark=False,
        )


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes checkpoints tensor by tensor.

    Lightning's own class builds the whole file in memory, and copies it once more to write it: for the method on
    ZeroScope twice 6.9 GB. The caller gives a temporary name and renames (`vmc.training.checkpoints.Checkpoints`).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file; GPU tensors are copied to main memory one at a time."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # A file of Python's: PyTorch's own does not say why it could not be written.
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


class CompiledForward:
    """A layer's forward pass, compiled; a copy of the layer gets one of its own, as `torch.compile` would not do."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward
        self._compiled = torch.compile(forward, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the layer."""
        return self._compiled(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledForward":
        return CompiledForward(deepcopy(self._forward, memo))  # bound to the copy of the layer


def compile_layers(layers: Sequence[Any]) -> None:
    """Compile modules (`VideoModel.compiled`), for one shape at a time; the kernels are cached on disk. To be called
    before `checkpoint_activations`, so that the recomputation is compiled, too.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
    # Layers of one class share their code, whose cache has an entry for each width and each shape of inputs: with and
    # without gradients, for clips and for batches of videos. Beyond the limit a layer would not be compiled at all.
    import torch._dynamo.config as dynamo  # takes seconds to import

    dynamo.recompile_limit = max(dynamo.recompile_limit, 4 * len(layers))
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, 8 * len(layers))
    for layer in layers:
        layer.forward = CompiledForward(layer.forward)
    log.info("%d layers are compiled as they are first used, which takes minutes", len(layers))
