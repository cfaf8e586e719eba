"""What a run computes on: devices, precision, threads. It changes speed and rounding, never what is learned."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import LightningEnvironment

from vmc.diffusion.sampling import check_tile
from vmc.models.base import DECODE_FRAMES, VideoModel
from vmc.models.parameters import Subset
from vmc.training.checkpoints import StreamedCheckpoints
from vmc.utils.errors import VmcError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
LOW: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
STATE_BYTES = {"Adam": 8, "AdamW": 8, "AdamW8bit": 2}
"""Of optimizer state for a trained parameter, by the optimizer's class; nothing is counted for others."""
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Devices, precision and memory choices.

    Args:
        accelerator: cpu, gpu or auto.
        devices: how many processes, one a device.
        strategy: auto, or ddp for several.
        precision: 32-true, bf16-mixed or 16-mixed; mixed holds frozen weights in the low precision, trained in float32.
        threads: of a CPU run; None leaves PyTorch's choice. One and two threads differ in the last bits.
        accumulate: micro-batches a step.
        clip_norm: the gradient's norm is clipped to this; None does not clip.
        checkpoint_activations: recompute activations in the backward pass: less memory, more time, equal gradients.
        decode_frames: of videos, that the autoencoder decodes at a time; fewer need less memory.
        decode_tile: px, the side of overlapping tiles that a frame is decoded in; None decodes it whole. Tiles need
            less memory and give nearly the same frame: each is normalised by itself.
        offload: keep the autoencoder in main memory and bring it to the GPU while it decodes; no change on a CPU. The
            text encoder is in main memory in any case, unless its token is trained.
    """

    accelerator: str = "cpu"
    devices: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"
    threads: int | None = None
    accumulate: int = 1
    clip_norm: float | None = 1.0
    checkpoint_activations: bool = False
    decode_frames: int = DECODE_FRAMES
    decode_tile: int | None = None
    offload: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("32-true", *LOW):
            raise VmcError(f"trainer.precision is '{self.precision}'; it must be 32-true, {' or '.join(LOW)}")
        if self.precision == "16-mixed" and self.device.type == "cpu":
            raise VmcError("trainer.precision is 16-mixed, which a CPU does not compute in; use 32-true")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise VmcError("trainer.accelerator is gpu, but PyTorch finds no GPU here; use trainer=cpu")
        if self.device.type == "cuda":
            self._check_gpu(torch.cuda.device_count())
        for name in ("devices", "accumulate", "decode_frames"):
            if getattr(self, name) < 1:
                raise VmcError(f"trainer.{name} is {getattr(self, name)}; it must be at least 1")
        check_tile(self.decode_tile)
        if self.threads is not None and self.threads < 1:
            raise VmcError(f"trainer.threads is {self.threads}; it must be at least 1, or null for PyTorch's choice")

    def _check_gpu(self, have: int) -> None:
        if self.devices > have:
            raise VmcError(f"trainer.devices is {self.devices}, but there are {have} GPUs here; use as many or fewer")
        if self.precision == "bf16-mixed" and not has_bfloat16():
            name = torch.cuda.get_device_name(self.device)
            raise VmcError(
                f"trainer.precision is bf16-mixed, but {name} has no bfloat16; use trainer.precision=16-mixed"
            )

    @property
    def rank(self) -> int:
        """This process among those of a DDP run; Lightning starts the others with LOCAL_RANK set."""
        return int(os.environ.get("LOCAL_RANK", 0)) if self.devices > 1 else 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        on_gpu = self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())
        return torch.device("cuda", self.rank) if on_gpu else torch.device("cpu")

    @property
    def resting_device(self) -> torch.device:
        """Where the autoencoder lies while it does not decode."""
        return torch.device("cpu") if self.offload else self.device

    @property
    def frozen_dtype(self) -> torch.dtype:
        """Of the weights that are not trained."""
        return LOW.get(self.precision, torch.float32)

    def use_threads(self) -> int:
        """Set the thread count and return it."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return torch.get_num_threads()

    @property
    def rounding(self) -> str:
        """What decides the last bits of a result: the threads on CPU, else the kind of GPU.

        Caches have it in their keys, or a run would depend on who filled them.
        """
        if self.device.type == "cpu":
            return f"cpu {torch.get_num_threads()}"
        return torch.cuda.get_device_name(self.device)

    def autocast(self) -> AbstractContextManager:
        """The precision of a forward pass outside Lightning."""
        if self.precision not in LOW:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=LOW[self.precision])

    def trainer(self, *, steps: int, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
        """A Lightning trainer that only trains: logging, saving and the progress bar are callbacks of ours."""
        # Its advice on workers, logging and GPUs does not apply: everything a batch needs is in memory.
        for name in ("pytorch_lightning", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
        warnings.filterwarnings("ignore", message=r".*(does not have many workers|GPU available but not used).*")
        return pl.Trainer(
            accelerator=self.accelerator,
            devices=self.devices,
            strategy=self.strategy,
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


def has_bfloat16() -> bool:
    """Whether the GPU computes in bfloat16 itself; PyTorch would otherwise emulate it, slowly and not everywhere."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


class HeldMemory(NamedTuple):
    """What a training holds on a GPU from the end of its first step on; activations come on top.

    Args:
        trained, frozen: parameters of the denoiser, adapters among the trained.
        beside: parameters of other networks that lie there, in float32.
        precision: of the frozen ones.
        state_bytes: of optimizer state for a trained parameter.
    """

    trained: int
    frozen: int
    beside: int
    precision: str
    state_bytes: int

    @property
    def bytes(self) -> int:
        """Weights, gradients and optimizer state; what is trained is in float32, and so are its gradients."""
        frozen = self.frozen * LOW.get(self.precision, torch.float32).itemsize
        return self.trained * (4 + 4 + self.state_bytes) + frozen + self.beside * 4


def count_held(
    model: VideoModel, subset: Subset | None, *, precision: str, optimizer: str, beside: Sequence[str] = ()
) -> HeldMemory:
    """Count parameters on the meta device; of the model only config files are read.

    Args:
        model: the base model.
        subset: what is trained of its denoiser; None trains nothing.
        precision: of what is frozen, as in `conf/trainer`.
        optimizer: name of its class.
        beside: roles whose networks lie on the GPU, too: `text`, `autoencoder`.
    """
    denoiser = model.empty_denoiser().requires_grad_(False)
    trained = subset.select_trainable(denoiser, model.groups) if subset else {}
    frozen = [tensor for tensor in denoiser.parameters() if not tensor.requires_grad]
    parts = [part for role in beside for part in model.parts_of(role) if part in model.networks]
    others = [tensor for part in parts for tensor in model.empty(part).parameters()]
    numbers = [sum(tensor.numel() for tensor in tensors) for tensors in (trained.values(), frozen, others)]
    return HeldMemory(numbers[0], numbers[1], numbers[2], precision, STATE_BYTES.get(optimizer, 0))


def memory_savings(trainer: Any, subset: Subset | None, held: HeldMemory, *, batch_size: int) -> str:
    """The settings that would need less memory, without those that are chosen already.

    Args:
        trainer: the hardware, or what else has its settings.
        subset: what is trained.
        held: by what is trained.
        batch_size: draws of a step.
    """
    settings = {
        "trainer.checkpoint_activations=true": not trainer.checkpoint_activations,
        f"trainer.precision={'bf16' if has_bfloat16() else '16'}-mixed": trainer.precision == "32-true",
        "optimizer=adamw8bit": held.state_bytes > 2 and held.trained > 0,
        "batch_size=1 or more trainer.accumulate": batch_size > trainer.devices * trainer.accumulate,
        "parameters=lora": subset is not None and "lora" not in subset.describe(),
        "a smaller data.size": True,
    }
    return ", or ".join(name for name, helps in settings.items() if helps)


def check_memory(
    model: VideoModel, subset: Subset, hardware: Hardware, *, optimizer: Any, batch_size: int, text_trained: bool
) -> str:
    """Refuse a training whose weights, gradients and optimizer state alone are more than the GPU has.

    Returns:
        The settings that would need less memory, without those that are chosen already; nothing on a CPU.

    Raises:
        VmcError: naming what they take, what the GPU has, and these settings.
    """
    if hardware.device.type != "cuda":
        return ""
    name, beside = getattr(getattr(optimizer, "func", optimizer), "__name__", ""), ["text"] if text_trained else []
    held = count_held(model, subset, precision=hardware.precision, optimizer=name, beside=beside)
    savings = memory_savings(hardware, subset, held, batch_size=batch_size)
    total = torch.cuda.mem_get_info(hardware.device)[1]
    if held.bytes > total:
        raise VmcError(
            f"this training does not fit into memory: weights, gradients and optimizer state alone take"
            f" {held.bytes / GIB:.1f} GiB, and the GPU has {total / GIB:.1f}; give {savings}, or take a larger GPU"
        )
    return savings


@contextmanager
def explain_oom(device: torch.device, savings: str) -> Iterator[None]:
    """Within, a GPU that has no memory left is a VmcError with what `check_memory` gave as its remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        total, taken = torch.cuda.mem_get_info(device)[1] / GIB, torch.cuda.max_memory_reserved(device) / GIB
        raise VmcError(
            f"this training does not fit into memory: it took {taken:.1f} GiB, and the GPU has {total:.1f};"
            f" end other programs on it, or give {savings}"
        ) from error
