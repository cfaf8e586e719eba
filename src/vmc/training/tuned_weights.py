"""Deltas: the tensors that a run trained, in a safetensors file that says what they belong to; and runs that start from
another run's delta (`init`).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from vmc.models.base import VideoModel
from vmc.models.lora import LoraSubset, merge
from vmc.models.parameters import ParameterSubset, Subset
from vmc.models.text import TextEncoder
from vmc.models.token import MOTION, MotionToken, key_of
from vmc.runs.earlier_versions import read_config
from vmc.runs.folder import INIT, RunFolder, find_weights
from vmc.utils.errors import DamagedError, VmcError
from vmc.utils.files import atomic_write, fingerprint
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

FORMAT = "vmc-delta-1"
FIRST_FAMILY = "unet3d"
"""The family of files that name none, because it was the only one."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKEN = "text_encoder.token"
"""The name of the motion's row; that of another token NAME is `text_encoder.token.NAME`."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The tensors in which a run's model differs from its base model, those of the run that it started from included.

    They are named `PREFIX.NAME`, with the prefix of the model's family, and `text_encoder.token`. The metadata `about`
    holds family, base (path), base_fingerprint (of the base's denoiser), groups, token (word, added, start, and further
    tokens by name), step, lora (rank, alpha, targets) if adapters were trained, and init (SHA-256 of the weights that
    the run started from).
    """

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def save(self, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the file atomically."""
        tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in self.tensors.items()}
        save_tensors(tensors, path, about={"format": FORMAT, **self.about})

    @classmethod
    def load(cls, path: Path) -> "Delta":
        """Read a file written by `save`."""
        if not path.is_file():
            raise VmcError(f"the weights {path} do not exist; give a run folder that has trained, or another step")
        try:
            tensors, about = load_tensors(path)
        except DamagedError as error:
            before = [file.stem for file in path.parent.glob("[0-9]*.safetensors") if file.stem.isdigit()]
            before = [stem for stem in before if path.stem.isdigit() and stem < path.stem]
            earlier = f"take those of an earlier step (step={int(max(before))}), " if before else ""
            raise DamagedError(f"the weights {error}; {earlier}train again or get the file again") from error
        about.pop(CHECKSUM, None)  # files of earlier versions have none
        if about.pop("format", None) != FORMAT:
            raise VmcError(f"the weights {path} are not a delta written by vmc; give a file of a run's weights/ folder")
        return cls(tensors=tensors, about=about)

    @property
    def tokens(self) -> dict[str, Mapping[str, Any]]:
        """The metadata of each token by name: word, added, start."""
        about: Mapping[str, Any] = self.about.get("token") or {}
        return {MOTION: about, **about.get("further", {})}

    def check_base(self, model: VideoModel) -> None:
        """Raise a VmcError for another base model than the delta's own; nothing is loaded for this."""
        family, base = self.about.get("family", FIRST_FAMILY), self.about.get("base")
        if family != model.family:
            raise VmcError(
                f"model is of the family {model.family}, but these weights were trained on one of the family {family},"
                f" {base}; use that one"
            )
        if self.about.get("base_fingerprint") != model.fingerprint("denoiser"):
            raise VmcError(
                f"model.path is {model.described}, but these weights were trained on another model, {base}; use that"
                " one"
            )

    @torch.no_grad()
    def apply(self, model: VideoModel, denoiser: Module, text: TextEncoder | None = None) -> None:
        """Copy the tensors into an unchanged base model, which is given adapters if the delta has them."""
        # Adapters rename the layers that they belong to, so all other parameters are looked up before.
        places = delta_names(dict(denoiser.named_parameters()), text.rows if text else {}, prefix=model.prefix)
        lora = self.about.get("lora")
        subset: Subset = LoraSubset(**lora) if lora else ParameterSubset(groups=self.about.get("groups", ()))
        places |= delta_names(subset.places(denoiser, model.groups), {}, prefix=model.prefix)
        for name, tensor in self.tensors.items():
            if name not in places:
                raise VmcError(f"the weights hold {name}, which this model does not have; use the model of the run")
            if places[name].shape != tensor.shape:
                raise VmcError(
                    f"the weights hold {name} of shape {tuple(tensor.shape)}, but the model's is"
                    f" {tuple(places[name].shape)}; use the model of the run"
                )
            places[name].copy_(tensor)


def check_dtype(name: str) -> torch.dtype:
    """The dtype of a name; a VmcError if weights cannot be written in it."""
    if name not in DTYPES:
        raise VmcError(f"weights_dtype is '{name}'; it must be {', '.join(list(DTYPES)[:-1])} or {list(DTYPES)[-1]}")
    return DTYPES[name]


def delta_names(
    denoiser: Mapping[str, Parameter], rows: Mapping[str, Parameter], *, prefix: str
) -> dict[str, Parameter]:
    """Parameters of the denoiser and rows of tokens, by their names in a delta."""
    named = {f"{prefix}.{name}": parameter for name, parameter in denoiser.items()}
    return named | {row_name(name): row for name, row in rows.items()}


def row_name(token: str) -> str:
    """The name of a token's row in a delta."""
    return TOKEN if token == MOTION else f"{TOKEN}.{token}"


def is_row(name: str) -> bool:
    """Whether a tensor of a delta is the row of a token."""
    return name.startswith(TOKEN)


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Another run's weights, from which a run starts in place of the base model's. The run's own files then hold all
    that differs from the base model, whichever run trained it.
    """

    file: Path
    delta: Delta

    @classmethod
    def find(cls, init: str | Path, *, run: RunFolder, model: VideoModel, token: MotionToken) -> "InitialWeights":
        """The weights that a config names, or if the run is resumed the copy of them in its folder.

        Args:
            init: a run folder, whose newest weights are taken, or a file of its `weights/`.
            run: the folder of the run that starts from them.
            model, token: base model and tokens of that run; nothing of the model is loaded.
        """
        kept = run.path / INIT
        goes_on = kept.is_file() and read_config(run.path).get("init") == str(init)
        path = Path(init).expanduser()
        if path.is_dir() and path.resolve() == run.path.resolve():
            raise VmcError(f"init is {path}, which is the run's own folder; give another run, or another output")
        file = kept if goes_on else find_weights(path, said=f"init is {path}")
        delta = Delta.load(file)
        try:
            delta.check_base(model)
        except VmcError as error:
            raise VmcError(f"init is {init}, which cannot be started from: {error}") from error
        _check_tokens(delta, token, init)
        return cls(file=file, delta=delta)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file."""
        return fingerprint(self.file)

    def keep(self, folder: Path) -> None:
        """Copy the file into a run's folder, so that the run can be resumed without the other."""
        if self.file != folder / INIT:
            with atomic_write(folder / INIT) as temporary:
                shutil.copyfile(self.file, temporary)

    def apply(self, model: VideoModel, denoiser: Module, subset: Subset) -> dict[str, Tensor]:
        """Copy the weights into an unchanged denoiser; returns all tensors that then differ, by their names in a delta.

        Adapters like those that the subset will insert are left out, and filled in by `MotionModule`. Others are merged
        into their layers.
        """
        tensors, about = dict(self.delta.tensors), dict(self.delta.about)
        plain = {name: tensor for name, tensor in tensors.items() if ".lora_" not in name}
        own_kind = about.get("lora") is not None and about["lora"] == subset.describe().get("lora")
        if own_kind:
            del about["lora"]
        applied = {name: tensor for name, tensor in (plain if own_kind else tensors).items() if not is_row(name)}
        Delta(tensors=applied, about=about).apply(model, denoiser)
        if own_kind:
            return tensors
        return plain | {f"{model.prefix}.{name}": weight.detach().clone() for name, weight in merge(denoiser).items()}

    @torch.no_grad()
    def apply_rows(self, text: TextEncoder) -> None:
        """Copy the rows of tokens into an unchanged text encoder."""
        for name, row in text.rows.items():
            if row_name(name) in self.delta.tensors:
                row.copy_(self.delta.tensors[row_name(name)])


def _check_tokens(delta: Delta, token: MotionToken, init: str | Path) -> None:
    """Raise a VmcError if the weights hold a row of a token that the run lacks, or has with another word."""
    for name, theirs in delta.tokens.items():
        ours = token.tokens.get(name)
        wanted = {key: theirs.get(key) for key in ("word", "added", "start")}
        if row_name(name) not in delta.tensors:
            continue
        if ours is None or any(getattr(ours, key) != value for key, value in wanted.items()):
            said = ", ".join(f"{key_of(name)}.{key}={value}" for key, value in wanted.items() if value)
            raise VmcError(f"init is {init}, whose weights hold the trained row of '{theirs.get('word')}'; give {said}")
