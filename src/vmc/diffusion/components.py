"""A pretrained text-to-video pipeline in the diffusers layout, its parts loaded one at a time as they are needed."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from vmc.diffusion.weight_files import WEIGHED, first_line, is_harmless, problem, snapshot, weight_files
from vmc.errors import VmcError
from vmc.files import fingerprint
from vmc.fitting import shapes_of

log = logging.getLogger(__name__)

PARTS = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """Where the base model lies and how its parts are opened.

    Args:
        path: a folder in the diffusers layout, or the name of a hub repository.
        frames: of a clip and of a generated video.
        size: px, height and width of both.
        fps: frames a second of a generated video.
        attention: `fused` (PyTorch's scaled dot product) or `plain`, which is faster for the tiny model on a CPU.
        get: the command that gets it, named where it cannot be had.
        strict: refuse tensors that the networks have no place for; without it they are left out, and the log says so.
    """

    path: str | Path
    frames: int = 16
    size: int = 384
    fps: float = 12.0
    attention: Literal["fused", "plain"] = "fused"
    get: str = ""
    strict: bool = False

    def __post_init__(self) -> None:
        if self.attention not in ("fused", "plain"):
            raise VmcError(f"model.attention is '{self.attention}'; it must be fused or plain")

    @cached_property
    def folder(self) -> Path:
        """The local folder, downloaded first when `path` names a hub repository.

        Raises:
            VmcError: there is no such folder or repository, or one of its parts is missing.
        """
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            folder = _download(str(self.path), self.get)
        if reason := incomplete(folder):
            raise VmcError(
                f"model.path is {self.path}, which {reason}; it must be a whole text-to-video pipeline in the diffusers"
                f" layout, so {self._remedy}"
            )
        return folder

    def fingerprint(self, *parts: str) -> str:
        """SHA-256 over the files of some parts: what a cache or a delta made with them belongs to.

        Gigabytes are read for it, so each part is read once.
        """
        for part in parts:
            if part not in self._fingerprints:
                self._fingerprints[part] = fingerprint(self.folder / part)
        return " ".join(self._fingerprints[part] for part in parts)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {}

    def unet(self, *, dtype: torch.dtype = torch.float32) -> UNet3DConditionModel:
        """The UNet, in eval mode: `TemporalConvLayer` has a dropout of 0.1 that would be live in train mode."""
        unet = self._open(UNet3DConditionModel, "unet", dtype)
        unet.set_attn_processor(AttnProcessor() if self.attention == "plain" else AttnProcessor2_0())
        return unet

    def vae(self, *, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """The autoencoder, frozen."""
        return self._open(AutoencoderKL, "vae", dtype)

    def text_encoder(self, *, dtype: torch.dtype = torch.float32) -> CLIPTextModel:
        """The text encoder, frozen."""
        return self._open(CLIPTextModel, "text_encoder", dtype)

    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer."""
        return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_length(self) -> int:
        """Positions of the text encoder: how many tokens of a text it reads, its begin and end among them."""
        return int(self._config("text_encoder").get("max_position_embeddings", 77))  # CLIP's, where it is not written

    def scheduler(self) -> DDIMScheduler:
        """The training scheduler: its betas and prediction type."""
        return DDIMScheduler.from_config(self._config("scheduler"))

    def solver(self, **changes: Any) -> DPMSolverMultistepScheduler:
        """DPM-Solver++ (Lu et al., 2022), multistep, on the model's own noise schedule."""
        settings = {"algorithm_type": "dpmsolver++", "solver_order": 2, **changes}
        return DPMSolverMultistepScheduler.from_config(self._config("scheduler"), **settings)

    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w) of the latents of a video of `frames` square frames of `size` px.

        Raises:
            VmcError: the size is not divisible by the autoencoder's reduction.
        """
        config = self._config("vae")
        reduction = 2 ** (len(config["block_out_channels"]) - 1)
        if size % reduction:
            raise VmcError(f"data.size is {size}, which is not divisible by {reduction}; choose a multiple of it")
        return int(config["latent_channels"]), frames, size // reduction, size // reduction

    def _config(self, part: str) -> dict[str, Any]:
        file = self.folder / part / PARTS[part]
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise VmcError(f"{file} is no JSON ({first_line(error)}); {self._remedy}") from error

    def _open(self, kind: type, part: str, dtype: torch.dtype) -> Any:
        """Load one part in exactly `dtype`; a missing or misshaped tensor is an error and never random weights."""
        folder = self.folder / part
        # Without safetensors diffusers would look for them, and log an error, before it takes the `.bin`.
        safe = None if any(folder.glob("*.safetensors")) else False
        try:
            with quiet_loading():
                module, found = kind.from_pretrained(  # type: ignore[attr-defined]
                    folder, torch_dtype=dtype, output_loading_info=True, use_safetensors=safe
                )
        except Exception as error:  # the libraries raise of every kind
            if reason := problem(folder, kind):
                raise VmcError(f"{reason}; {self._remedy}") from error
            raise VmcError(f"{folder} does not load as {kind.__name__}: {first_line(error)}") from error
        unknown = sorted(name for name in map(str, found.get("unexpected_keys") or ()) if not is_harmless(name))
        unfit = any(found.get(key) for key in ("missing_keys", "mismatched_keys", "error_msgs"))
        if unfit or (self.strict and unknown):
            reason = problem(folder, kind, shapes_of(module.state_dict())) or f"{folder} does not fit {kind.__name__}"
            raise VmcError(f"{reason}; {self._remedy}")
        if unknown:
            log.warning("%s holds %d tensors that are not used, the first %s", folder, len(unknown), unknown[0])
        # Not every file follows the dtype asked for; one that does must not be cast again (diffusers warns of it).
        if any(tensor.dtype != dtype for tensor in module.parameters()):
            module = module.to(dtype)
        return module.requires_grad_(False).eval()

    @property
    def _remedy(self) -> str:
        return f"get the complete file again ({self.get or 'a published one: python -m vmc.weights get NAME'})"


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without progress bars, and without the libraries' advice to train what a file lacks, which is refused here."""
    loggers = (diffusers_logging, transformers_logging)
    former = [one.get_verbosity() for one in loggers]
    for one in loggers:
        one.set_verbosity_error()
    try:
        with without_progress_bar():
            yield
    finally:
        for one, level in zip(loggers, former, strict=True):
            one.set_verbosity(level)


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """transformers shows one for every model it opens, however small."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def incomplete(folder: Path) -> str | None:
    """What a pipeline's folder lacks, a clause; None where all parts are there, with their weights."""
    if missing := [f"{part}/{file}" for part, file in PARTS.items() if not (folder / part / file).is_file()]:
        return f"has no {missing[0]}"
    bare = [part for part in WEIGHED if not weight_files(folder / part)]
    return f"has no weights in {', '.join(bare)}" if bare else None


def _download(name: str, get: str) -> Path:
    """A local copy of a hub repository's pipeline files, from the cache when it is complete there."""
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot(name, PARTS)
    except HFValidationError:
        raise VmcError(f"model.path is {name}, which is neither a folder nor a hub name; check the path") from None
    except Exception as error:
        remedy = f"run `{get}` where there is a network" if get else "check the network"
        raise VmcError(
            f"model.path is {name}, which is no local folder and could not be downloaded ({type(error).__name__});"
            f" give the path of a local copy, or {remedy}"
        ) from error
