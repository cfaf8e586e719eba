"""The delta: exactly what a run trained, as a safetensors file that says what it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from vmc.models.base import VideoModel
from vmc.models.lora import LoraSubset
from vmc.models.parameters import ParameterSubset, Subset
from vmc.models.text import TextEncoder
from vmc.models.token import MOTION
from vmc.utils.errors import DamagedError, VmcError
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

FORMAT = "vmc-delta-1"
FIRST_FAMILY = "unet3d"
"""Of files that do not say theirs: the only one there was."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKEN = "text_encoder.token"
"""The name of the motion's row; that of another token NAME is `text_encoder.token.NAME`."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What a run's model has in place of the base's: trained tensors, and those of the run that it started from.

    They are named `PREFIX.NAME` with the prefix of the model's family, and `text_encoder.token`. `about` says what they
    belong to: family, base (path), base_fingerprint (of the base's denoiser), groups, token (word, added, start, and
    further ones by name), step, where adapters were trained lora (rank, alpha, targets), and init (SHA-256 of the
    weights that the run started from).
    """

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def save(self, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the file whole."""
        tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in self.tensors.items()}
        save_tensors(tensors, path, about={"format": FORMAT, **self.about})

    @classmethod
    def load(cls, path: Path) -> "Delta":
        """Read a file written by `save`.

        Raises:
            VmcError: no such file, a damaged one, or not a delta.
        """
        if not path.is_file():
            raise VmcError(f"the weights {path} do not exist; give a run folder that has trained, or another step")
        try:
            tensors, about = load_tensors(path)
        except DamagedError as error:
            raise DamagedError(f"the weights {error}; {_remedy(path)}") from error
        about.pop(CHECKSUM, None)  # files of earlier versions have none
        if about.pop("format", None) != FORMAT:
            raise VmcError(f"the weights {path} are not a delta written by vmc; give a file of a run's weights/ folder")
        return cls(tensors=tensors, about=about)

    def check_base(self, model: VideoModel) -> None:
        """Refuse another base model than the one the delta was trained on; nothing is loaded for it.

        Raises:
            VmcError: another family, or another model of it.
        """
        family = self.about.get("family", FIRST_FAMILY)
        if family != model.family:
            raise VmcError(
                f"model is of the family {model.family}, but these weights were trained on one of the family {family},"
                f" {self.about.get('base')}; use that one"
            )
        if self.about.get("base_fingerprint") != model.fingerprint("denoiser"):
            raise VmcError(
                f"model.path is {model.described}, but these weights were trained on another model,"
                f" {self.about.get('base')}; use that one"
            )

    @torch.no_grad()
    def apply(self, model: VideoModel, denoiser: Module, text: TextEncoder | None = None) -> None:
        """Copy the tensors into a fresh base, which is given adapters where the delta has them.

        Raises:
            VmcError: a tensor has no place there, or its shape differs.
        """
        # Adapters rename the layers that they stand beside, so the others' places are found before there are any.
        places = named_places(dict(denoiser.named_parameters()), text.rows if text else {}, prefix=model.prefix)
        places |= named_places(subset_of(self.about).places(denoiser, model.groups), {}, prefix=model.prefix)
        for name, tensor in self.tensors.items():
            if name not in places:
                raise VmcError(f"the weights hold {name}, which this model does not have; use the model of the run")
            if places[name].shape != tensor.shape:
                raise VmcError(
                    f"the weights hold {name} of shape {tuple(tensor.shape)}, but the model's is"
                    f" {tuple(places[name].shape)}; use the model of the run"
                )
            places[name].copy_(tensor)


def _remedy(path: Path) -> str:
    """What to do about a damaged file, with the step before it where the run has weights of one."""
    earlier = [file for file in path.parent.glob("[0-9]*.safetensors") if file.stem.isdigit() and file.name < path.name]
    if not (earlier and path.stem.isdigit()):
        return "train again or get the file again"
    return f"take those of an earlier step (step={int(max(earlier).stem)}), train again or get the file again"


def check_dtype(name: str) -> torch.dtype:
    """The precision of that name.

    Raises:
        VmcError: weights are written in no such precision.
    """
    if name not in DTYPES:
        raise VmcError(f"weights_dtype is '{name}'; it must be {', '.join(list(DTYPES)[:-1])} or {list(DTYPES)[-1]}")
    return DTYPES[name]


def subset_of(about: Mapping[str, Any]) -> Subset:
    """The subset that a delta describes."""
    return LoraSubset(**about["lora"]) if "lora" in about else ParameterSubset(groups=about.get("groups", ()))


def named_places(
    denoiser: Mapping[str, Parameter], rows: Mapping[str, Parameter], *, prefix: str
) -> dict[str, Parameter]:
    """Parameters of the denoiser and rows of tokens under the names that a delta gives them."""
    places = {f"{prefix}.{name}": parameter for name, parameter in denoiser.items()}
    return places | {row_name(name): row for name, row in rows.items()}


def row_name(token: str) -> str:
    """What a delta calls the row of a token."""
    return TOKEN if token == MOTION else f"{TOKEN}.{token}"
