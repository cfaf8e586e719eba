"""What a base-model family is: all that the rest of the project asks of a pretrained text-to-video model.

A family is a subclass of `VideoModel` in a file of its own and a YAML in `conf/model`. Nothing else names its classes,
its layers, its text encoder or what its autoencoder does to time.

Axes: B videos, C latent or color channels, F frames, H and W, M = 2 posterior moments (mean and deviation).
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from vmc.diffusion.process import NoiseProcess
from vmc.diffusion.sampling import Conditioning
from vmc.models.loading import (
    cast,
    download,
    empty_network,
    is_harmless,
    pipeline_class,
    problem,
    quiet_loading,
    weight_files,
)
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint
from vmc.utils.tensor_files import shapes_of

if TYPE_CHECKING:
    from vmc.models.text import TextEncoder
    from vmc.models.token import MotionToken

log = logging.getLogger(__name__)

Groups = Mapping[str, Callable[[str], bool]]
"""Of each group of parameters, whether it holds the parameter of a name."""
PARTS = {
    **dict.fromkeys(("vae", "text_encoder"), "config.json"),
    **{"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"},
}
ROLES = {"autoencoder": ("vae",), "text": ("text_encoder", "tokenizer")}
DECODE_FRAMES = 64
"""Frames that are decoded at a time where nobody says otherwise."""


def check_size(size: int, divisor: int) -> None:
    """Refuse frames of `size` px that an autoencoder cannot hold, whose latents and tokens divide it by `divisor`."""
    if size % divisor:
        nearest = max(divisor, round(size / divisor) * divisor)
        raise VmcError(f"data.size is {size}; it must be divisible by {divisor}, for example {nearest}")


def _parts(module: Module) -> list[Module]:
    """The entries of a module's lists, or the module where it has none."""
    lists = [child for child in module.children() if isinstance(child, ModuleList)]
    return [part for one in lists for part in one] or [module]


class Autoencoder(ABC):
    """Frames to latents and back, in the scale that the denoiser computes in; `module` is the network, frozen."""

    def __init__(self, module: Any) -> None:
        self.module = module

    @abstractmethod
    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """moments_MCFHW, float32 on the CPU, of uint8 frames: the posterior's mean and deviation."""

    @abstractmethod
    def decode(self, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None) -> Tensor:
        """frames_BFCHW, uint8 on the CPU.

        Args:
            latents_BCFHW: as the denoiser has them.
            frames_at_once: of a chunk, where frames are decoded one by one; fewer need less memory.
            tile: px, the side of overlapping tiles; None decodes whole frames.
        """

    @abstractmethod
    def enable_tiles(self, tile: int) -> None:
        """Have the network work in tiles of so many px, a quarter of which overlaps."""

    @contextmanager
    def tiled(self, tile: int | None) -> Iterator[None]:
        """In tiles within, and only while decoding: a cached posterior must not depend on them."""
        if tile is not None:
            self.enable_tiles(tile)
        try:
            yield
        finally:
            if tile is not None:
                self.module.disable_tiling()

    def to(self, device: torch.device | str) -> "Autoencoder":
        """Move the network."""
        self.module.to(device)
        return self


@dataclass(frozen=True, kw_only=True)
class VideoModel(ABC):
    """A pretrained pipeline as a folder in the diffusers layout, its parts loaded one at a time as they are needed.

    Args:
        path: the folder, or the name of a hub repository.
        frames: of a clip and of a generated video.
        size: px, height and width of both.
        fps: frames a second of a generated video.
        attention: `fused` (PyTorch's scaled dot product) or `plain` (a product, a softmax and a product).
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

    family: ClassVar[str]
    """Its name in weight files and messages."""
    pipelines: ClassVar[tuple[str, ...]]
    """Classes that a folder of this family may name in `model_index.json`; the first one opens an export."""
    parts: ClassVar[Mapping[str, str]]
    """Folders that a pipeline of this family has, each with the file that it must hold; `PARTS` and the denoiser's."""
    networks: ClassVar[Mapping[str, Any]]
    """The class of each part that has weights."""
    roles: ClassVar[Mapping[str, tuple[str, ...]]]
    """Which parts make the `denoiser`, the `autoencoder` and the `text` encoder; `ROLES` and the denoiser's."""
    groups: ClassVar[Groups]
    """What can be trained by name (`parameters`). Stills of a subject move `spatial`, what does not mix frames."""
    text_class: ClassVar[type["TextEncoder"]]
    autoencoder_class: ClassVar[type[Autoencoder]]
    prefix: ClassVar[str]
    """Of the denoiser's tensors in weight files, as in diffusers' adapter files: `unet`, `transformer`."""
    of_another_family: ClassVar[bool] = False
    """Whether its folders are those of another family, which it makes another network of."""
    half: ClassVar[str] = "float16"
    """The precision in which an export is to be opened, by its name in torch."""

    def __post_init__(self) -> None:
        if self.attention not in ("fused", "plain"):
            raise VmcError(f"model.attention is '{self.attention}'; it must be fused or plain")

    # --- what a family gives -----------------------------------------------------------------------------------------

    @cached_property
    @abstractmethod
    def process(self) -> NoiseProcess:
        """How its latents become noise, and its solver; made of config files alone."""

    @abstractmethod
    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> Any:
        """The network that is fine-tuned, frozen, in eval mode (dropout would draw from the global generator)."""

    @abstractmethod
    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """prediction_BCFHW of what `denoiser` gave, for noisy latents.

        `timesteps` are what the network reads (`NoiseProcess.timesteps`), one for each video or one for all; `text`
        is one for each video.
        """

    @abstractmethod
    def tokenizer(self) -> Any:
        """The tokenizer; no weights are loaded for it."""

    @abstractmethod
    def text_length(self) -> int:
        """Positions of the text encoder: how many tokens of a text it reads, its begin and end among them."""

    @abstractmethod
    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w) of the latents of a video of `frames` square frames of `size` px; from config files alone.

        Raises:
            VmcError: the autoencoder cannot hold such a video.
        """

    @abstractmethod
    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """What is recomputed at a time where activations are not kept."""

    def layers(self, denoiser: Any) -> list[Module]:
        """What blocks are made of and is recomputed by itself: ResNet blocks, temporal convolutions, transformers."""
        return [layer for block in self.blocks(denoiser) for layer in _parts(block)]

    def compiled(self, denoiser: Any) -> list[Module]:
        """What is compiled by itself: the layers, and of a transformer its blocks."""
        return [part for layer in self.layers(denoiser) for part in _parts(layer)]

    @abstractmethod
    def save(self, folder: Path, *, denoiser: Any, text: "TextEncoder") -> None:
        """Write a pipeline that diffusers opens without this project: these two, the base's other parts, the solver."""

    def check_folder(self, folder: Path) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse a folder that has all parts for a reason of the family's own; no weights are loaded."""

    def check_export(self) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse to be written as a pipeline, where diffusers could not open it; nothing is loaded."""

    def place(self, part: str) -> Path:
        """The folder of a part."""
        return self.folder / part

    def network(self, part: str) -> Any:
        """The class of a part that has weights."""
        return self.networks[part]

    def parts_of(self, role: str) -> tuple[str, ...]:
        """The parts that make a role; a part makes itself."""
        return self.roles.get(role, (role,))

    @property
    def described(self) -> str:
        """What it is made of, for messages and what is said of weights."""
        return str(self.path)

    # --- what all families share -------------------------------------------------------------------------------------

    def text_encoder(self, token: "MotionToken | None" = None, *, dtype: torch.dtype = torch.float32) -> "TextEncoder":
        """Texts to what the denoiser reads, with the motion's token in the vocabulary where one is given."""
        parts: Any = {"tokenizer": self.tokenizer(), "network": self.open("text_encoder", dtype)}
        rows = token.install(parts["tokenizer"], parts["network"]) if token else None
        return self.text_class(**parts, length=self.text_length(), token_embedding=rows, token=token)

    def autoencoder(self, *, dtype: torch.dtype = torch.float32) -> Autoencoder:
        """The autoencoder, frozen."""
        return self.autoencoder_class(self.open("vae", dtype))

    @cached_property
    def folder(self) -> Path:
        """The local folder, downloaded first when `path` names a hub repository.

        Raises:
            VmcError: there is no such folder or repository, one of its parts is missing, or it is of another family.
        """
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            folder = download(str(self.path), self.parts, self.networks, get=self.get)
        if (name := pipeline_class(folder)) is not None and name not in self.pipelines:
            from vmc.models.pipelines import families  # imports every family

            told = f"is a {name}, but this model is of the family {self.family}; give a folder of that family"
            known = "; ".join(f"{one} opens {' or '.join(kind.pipelines)}" for one, kind in families().items())
            raise VmcError(f"model.path is {self.path}, which {told}, or choose a model of the other one ({known})")
        if reason := self.incomplete(folder):
            told = f"{reason}; it must be a whole text-to-video pipeline in the diffusers layout, so {self.remedy}"
            raise VmcError(f"model.path is {self.path}, which {told}")
        self.check_folder(folder)
        return folder

    @classmethod
    def incomplete(cls, folder: Path) -> str | None:
        """What a pipeline's folder lacks, a clause; None where all parts are there, with their weights."""
        if missing := [f"{part}/{file}" for part, file in cls.parts.items() if not (folder / part / file).is_file()]:
            return f"has no {missing[0]}"
        bare = [part for part in cls.networks if not weight_files(folder / part)]
        return f"has no weights in {', '.join(bare)}" if bare else None

    def fingerprint(self, *roles: str) -> str:
        """SHA-256 over the files of roles or parts: what caches and deltas belong to. Each part is read once."""
        parts = [part for role in roles for part in self.parts_of(role)]
        for part in parts:
            if part not in self._fingerprints:
                self._fingerprints[part] = fingerprint(self.place(part))
        return " ".join(self._fingerprints[part] for part in parts)

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {}

    @property
    def identity(self) -> str:
        """What tells its videos from another model's, the sampler aside."""
        return self.fingerprint("denoiser", "autoencoder", "text")

    @property
    def remedy(self) -> str:
        """What to do about a damaged part."""
        return f"get the complete file again ({self.get or 'a published one: python -m vmc.weights get NAME'})"

    def config(self, part: str) -> dict[str, Any]:
        """The content of a part's config file; raises a VmcError where it does not read."""
        return self.read_config(self.place(part) / self.parts.get(part, "config.json"))

    def read_config(self, file: Path) -> dict[str, Any]:
        """The content of a config file; raises a VmcError where it does not read."""
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise VmcError(f"{file} is no JSON ({first_line(error)}); {self.remedy}") from error

    def empty(self, part: str) -> Any:
        """A part's network on the meta device, by its config file: names and shapes, and no memory."""
        with quiet_loading():
            return empty_network(self.network(part), self.config(part))

    def empty_denoiser(self) -> Any:
        """The denoiser on the meta device."""
        return self.empty(self.parts_of("denoiser")[0])

    def open(self, part: str, dtype: torch.dtype) -> Any:
        """Load one part in `dtype`, frozen, in eval mode; a missing or misshaped tensor is an error, never random."""
        folder, kind = self.place(part), self.network(part)
        # Without safetensors diffusers would look for them, and log an error, before it takes the `.bin`.
        safe = None if any(folder.glob("*.safetensors")) else False
        try:
            with quiet_loading():
                module, found = kind.from_pretrained(
                    folder, torch_dtype=dtype, output_loading_info=True, use_safetensors=safe
                )
        except Exception as error:  # the libraries raise of every kind
            reason = problem(folder, kind) or f"{folder} does not load as {kind.__name__}: {first_line(error)}"
            raise VmcError(f"{reason}; {self.remedy}") from error
        unknown = sorted(name for name in map(str, found.get("unexpected_keys") or ()) if not is_harmless(name))
        unfit = any(found.get(key) for key in ("missing_keys", "mismatched_keys", "error_msgs"))
        if unfit or (self.strict and unknown):
            reason = problem(folder, kind, shapes_of(module.state_dict())) or f"{folder} does not fit {kind.__name__}"
            raise VmcError(f"{reason}; {self.remedy}")
        if unknown:
            log.warning("%s holds %d tensors that are not used, the first %s", folder, len(unknown), unknown[0])
        cast(module, dtype)  # not every file follows the dtype asked for
        return module.requires_grad_(False).eval()
