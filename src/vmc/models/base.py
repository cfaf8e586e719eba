"""The interface of a base-model family: all that the rest of the project needs of a pretrained text-to-video model.

A family is a subclass of `VideoModel` in a file of its own and a YAML in `conf/model`. Nothing else names its classes
or layers, its text encoder, or how its autoencoder compresses time.

Axes: B videos, C latent or color channels, F frames, H and W, M = 2 posterior moments (mean and deviation).
"""

import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

import vmc.models
from vmc.diffusion.process import NoiseProcess
from vmc.diffusion.sampling import Conditioning
from vmc.models import pretrained_weights
from vmc.models.parameters import Groups
from vmc.models.token import MotionToken
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint

if TYPE_CHECKING:
    from vmc.models.text import TextEncoder


WITHOUT_WEIGHTS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
"""Parts that every pipeline has beside its networks, and their config files; a network's is `config.json`."""
DECODE_FRAMES = 64
"""Frames that are decoded at a time by default."""


def check_size(size: int, divisor: int) -> None:
    """Raise a VmcError if frames of `size` px cannot be divided into latents or tokens of `divisor` px."""
    if size % divisor:
        nearest = max(divisor, round(size / divisor) * divisor)
        raise VmcError(f"data.size is {size}; it must be divisible by {divisor}, for example {nearest}")


def _parts(module: Module) -> list[Module]:
    """The entries of a module's lists, or the module itself if it has no lists."""
    lists = [child for child in module.children() if isinstance(child, ModuleList)]
    return [part for one in lists for part in one] or [module]


class Autoencoder(ABC):
    """Encodes frames to latents in the denoiser's scale, and decodes them; `module` is the frozen network."""

    def __init__(self, module: Any) -> None:
        self.module = module

    @abstractmethod
    def encode(self, frames_FCHW: Tensor) -> Tensor:
        """The posterior's moments_MCFHW of uint8 frames, float32 on the CPU."""

    @abstractmethod
    def decode(self, latents_BCFHW: Tensor, *, frames_at_once: int = DECODE_FRAMES, tile: int | None = None) -> Tensor:
        """frames_BFCHW, uint8 on the CPU.

        Args:
            latents_BCFHW: in the denoiser's scale.
            frames_at_once: frames decoded at a time, if frames are decoded independently; fewer need less memory.
            tile: px, the side of overlapping tiles; None decodes whole frames.
        """

    @abstractmethod
    def enable_tiles(self, tile: int) -> None:
        """Let the network work in tiles of `tile` px, a quarter of which overlaps."""

    @contextmanager
    def tiled(self, tile: int | None) -> Iterator[None]:
        """Use tiles within. Only decoding may, because a cached posterior must not depend on them."""
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
    """A pretrained pipeline in a folder of the diffusers layout, whose parts are loaded one at a time when needed.

    Args:
        path: the folder, or the name of a hub repository.
        frames: frames of a clip and of a generated video.
        size: px, height and width of both.
        fps: frames per second of a generated video.
        attention: `fused` (PyTorch's scaled dot product) or `plain` (a product, a softmax and a product).
        get: the command that downloads it, for error messages.
        strict: raise an error for tensors that the networks do not have; otherwise they are ignored with a warning.
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
    """Pipeline classes that `model_index.json` may name; the first one opens an export."""
    networks: ClassVar[Mapping[str, Any]]
    """The class of each part that has weights: the denoiser, `vae` and `text_encoder`."""
    parts: ClassVar[Mapping[str, str]]
    """Folders of a pipeline, each with the file that it must hold; follows from `networks`."""
    groups: ClassVar[Groups]
    """Parameter groups that can be trained by name. `spatial`, what does not mix frames, is trained by stills."""
    text_class: ClassVar[type["TextEncoder"]]
    autoencoder_class: ClassVar[type[Autoencoder]]
    prefix: ClassVar[str]
    """The denoiser's part, and the prefix of its tensors in weight files: `unet`, `transformer`."""
    of_another_family: ClassVar[bool] = False
    """Whether it builds its network from the folders of another family."""
    half: ClassVar[str] = "float16"
    """Torch's name of the precision in which an export should be opened."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.parts = {**dict.fromkeys(cls.networks, "config.json"), **WITHOUT_WEIGHTS}

    def __post_init__(self) -> None:
        if self.attention not in ("fused", "plain"):
            raise VmcError(f"model.attention is '{self.attention}'; it must be fused or plain")

    # --- what a family implements ------------------------------------------------------------------------------------

    @cached_property
    @abstractmethod
    def process(self) -> NoiseProcess:
        """The noise process and its solver, made from config files alone."""

    def assemble(self, load: Callable[[str], Any]) -> Any:
        """Build the denoiser from the parts that `load` gives by name, with weights or on the meta device."""
        return load(self.prefix)

    @abstractmethod
    def predict(self, denoiser: Any, noisy_BCFHW: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """The denoiser's prediction_BCFHW for noisy latents.

        `timesteps` are the network's own (`NoiseProcess.timesteps`), one for each video or one for all; `text` has an
        entry for each video.
        """

    @abstractmethod
    def tokenizer(self) -> Any:
        """The tokenizer; no weights are loaded."""

    @abstractmethod
    def text_length(self) -> int:
        """How many tokens of a text the text encoder reads, begin and end tokens included."""

    @abstractmethod
    def latent_shape(self, *, frames: int, size: int) -> tuple[int, int, int, int]:
        """(C, F, h, w) of the latents of a video of `frames` square frames of `size` px, from config files alone.

        Raises:
            VmcError: the autoencoder cannot encode such a video.
        """

    @abstractmethod
    def blocks(self, denoiser: Any) -> Sequence[Module]:
        """The blocks that are recomputed one by one if activations are checkpointed."""

    def layers(self, denoiser: Any) -> list[Module]:
        """The layers of the blocks: ResNet blocks, temporal convolutions, transformers."""
        return [layer for block in self.blocks(denoiser) for layer in _parts(block)]

    def compiled(self, denoiser: Any) -> list[Module]:
        """The modules that are compiled one by one: the layers, or the blocks of a transformer."""
        return [part for layer in self.layers(denoiser) for part in _parts(layer)]

    @abstractmethod
    def save(self, folder: Path, *, denoiser: Any, text: "TextEncoder") -> None:
        """Write a pipeline that diffusers opens without this project, with the base's other parts and its solver."""

    def check_folder(self, folder: Path) -> None:  # noqa: B027 - most have nothing to refuse
        """Raise a VmcError for a complete folder that the family cannot use; no weights are loaded."""

    def check_export(self) -> None:  # noqa: B027 - most have nothing to refuse
        """Raise a VmcError if diffusers could not open an export; nothing is loaded."""

    def place(self, part: str) -> Path:
        """The folder of a part."""
        return self.folder / part

    def network(self, part: str) -> Any:
        """The class of a part that has weights."""
        return self.networks[part]

    def parts_of(self, role: str) -> tuple[str, ...]:
        """The parts of the `denoiser`, the `autoencoder` or the `text` encoder; those of a part are itself."""
        roles = {"denoiser": (self.prefix,), "autoencoder": ("vae",), "text": ("text_encoder", "tokenizer")}
        return roles.get(role, (role,))

    @property
    def described(self) -> str:
        """Where the model comes from, for messages and the metadata of weights."""
        return str(self.path)

    # --- what all families share -------------------------------------------------------------------------------------

    def denoiser(self, *, dtype: torch.dtype = torch.float32) -> Any:
        """The network that is fine-tuned, frozen, in eval mode (dropout would draw from the global generator)."""
        return self.assemble(lambda part: self.open(part, dtype)).requires_grad_(False).eval()

    def empty_denoiser(self) -> Any:
        """The denoiser on the meta device: names and shapes without memory."""
        return self.assemble(self.empty)

    def text_encoder(self, token: MotionToken | None = None, *, dtype: torch.dtype = torch.float32) -> "TextEncoder":
        """The text encoder, with the motion's token in its vocabulary if one is given."""
        parts: Any = {"tokenizer": self.tokenizer(), "network": self.open("text_encoder", dtype)}
        rows = token.install(parts["tokenizer"], parts["network"]) if token else None
        return self.text_class(**parts, length=self.text_length(), token_embedding=rows, token=token)

    def autoencoder(self, *, dtype: torch.dtype = torch.float32) -> Autoencoder:
        """The autoencoder, frozen."""
        return self.autoencoder_class(self.open("vae", dtype))

    @cached_property
    def folder(self) -> Path:
        """The local folder, downloaded first if `path` names a hub repository.

        Raises:
            VmcError: there is no such folder or repository, a part is missing, or it is of another family.
        """
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            folder = pretrained_weights.download(str(self.path), self.parts, self.networks, get=self.get)
        if (name := pretrained_weights.pipeline_class(folder)) is not None and name not in self.pipelines:
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
        """What a pipeline's folder lacks, a clause for messages; None if all parts and weights are there."""
        if missing := [f"{part}/{file}" for part, file in cls.parts.items() if not (folder / part / file).is_file()]:
            return f"has no {missing[0]}"
        bare = [part for part in cls.networks if not pretrained_weights.weight_files(folder / part)]
        return f"has no weights in {', '.join(bare)}" if bare else None

    def fingerprint(self, *roles: str) -> str:
        """SHA-256 of the files of roles or parts, by which caches and deltas are told apart. Each part is read once."""
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
        """The fingerprint of all that its videos depend on, besides the sampler."""
        parts = self.fingerprint("denoiser", "autoencoder", "text", "scheduler")
        return " ".join([parts, *self.settings.values()])

    @property
    def settings(self) -> dict[str, str]:
        """What its videos depend on besides its files, by name: choices of a family."""
        return {}

    @property
    def remedy(self) -> str:
        """What to do about a damaged part, a clause for messages."""
        return f"get the complete file again ({self.get or 'a published one: python -m vmc.weights get NAME'})"

    def config(self, part: str) -> dict[str, Any]:
        """The content of a part's config file; a VmcError if it cannot be read."""
        return self.read_config(self.place(part) / self.parts.get(part, "config.json"))

    def read_config(self, file: Path) -> dict[str, Any]:
        """The content of a config file; a VmcError if it cannot be read."""
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise VmcError(f"{file} is no JSON ({first_line(error)}); {self.remedy}") from error

    def empty(self, part: str) -> Any:
        """A part's network on the meta device, from its config file: names and shapes without memory."""
        with pretrained_weights.quiet_loading():
            return pretrained_weights.empty_network(self.network(part), self.config(part))

    def open(self, part: str, dtype: torch.dtype) -> Any:
        """Load a part in `dtype`, frozen, in eval mode; a missing or misshaped tensor is an error, never random."""
        return pretrained_weights.load_network(
            self.place(part), self.network(part), dtype, strict=self.strict, remedy=self.remedy
        )


def families() -> dict[str, type[VideoModel]]:
    """All families by name, in the order of their files."""
    for module in pkgutil.iter_modules(vmc.models.__path__):
        import_module(f"{vmc.models.__name__}.{module.name}")
    return {family.family: family for family in _subclasses(VideoModel)}  # type: ignore[type-abstract]


def _subclasses(kind: type[VideoModel]) -> list[type[VideoModel]]:
    direct = kind.__subclasses__()
    return [one for one in direct if "family" in vars(one)] + [far for one in direct for far in _subclasses(one)]


def family_of(folder: Path) -> type[VideoModel]:
    """The family of a folder, by the pipeline class in its `model_index.json`; a VmcError if there is none."""
    name = pretrained_weights.pipeline_class(folder)
    if name is None:
        raise VmcError(f"{folder} has no model_index.json that names a pipeline; get the complete folder again")
    for family in families().values():
        if name in family.pipelines and not family.of_another_family:
            return family
    known = ", ".join(f"{name} ({', '.join(family.pipelines)})" for name, family in families().items())
    raise VmcError(f"{folder} is a {name}, which is of no family that is known here; known are {known}")
