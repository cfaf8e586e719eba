"""Another run's weights as the start of a run (`init`), in place of the base model's own."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from vmc.models.base import VideoModel
from vmc.models.lora import merge
from vmc.models.parameters import Subset
from vmc.models.text import TextEncoder
from vmc.models.token import MOTION, MotionToken, key_of
from vmc.runs.folder import RunFolder, newest_weights, read_config
from vmc.training.delta import Delta, named_places, row_name
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, fingerprint

NAME = "init.safetensors"
"""The copy in the folder of the run that starts from them."""


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Weights that a run starts from. Its own then hold all that differs from the base model, whoever trained it.

    Args:
        file: they are read from.
        delta: its content.
    """

    file: Path
    delta: Delta

    @classmethod
    def find(cls, init: str | Path, *, run: RunFolder, model: VideoModel, token: MotionToken) -> "InitialWeights":
        """The weights that a config names, or the copy of them in the folder of a run that goes on.

        Args:
            init: the folder of a run, whose newest weights are taken, or a file of its `weights/`.
            run: that starts from them.
            model: its base model; nothing of it is loaded.
            token: its tokens.

        Raises:
            VmcError: no weights there, or of another base model, or with a row of a token that the run has otherwise.
        """
        kept = run.path / NAME
        goes_on = kept.is_file() and read_config(run.path).get("init") == str(init)
        file = kept if goes_on else _weights_of(Path(init).expanduser(), run.path)
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
        """Copy the file into a run's folder, so that the run needs no other."""
        if self.file != folder / NAME:
            with atomic_write(folder / NAME) as temporary:
                shutil.copyfile(self.file, temporary)

    def apply(self, model: VideoModel, denoiser: Module, subset: Subset) -> dict[str, Tensor]:
        """Put the weights into a fresh denoiser; all that then differs from the base, under the names of a delta.

        Adapters of the subset's own kind are left out, as it brings places for them (`MotionModule` fills these).
        Others become part of the layers that they stand beside.
        """
        tensors, about = dict(self.delta.tensors), dict(self.delta.about)
        plain = {name: tensor for name, tensor in tensors.items() if ".lora_" not in name}
        if about.get("lora") is not None and about["lora"] == subset.describe().get("lora"):
            del about["lora"]
            Delta(tensors=_without_rows(plain), about=about).apply(model, denoiser)
            return tensors
        Delta(tensors=_without_rows(tensors), about=about).apply(model, denoiser)
        return plain | {f"{model.prefix}.{name}": weight.detach().clone() for name, weight in merge(denoiser).items()}

    @torch.no_grad()
    def apply_rows(self, text: TextEncoder) -> None:
        """Put the rows of tokens into a fresh text encoder."""
        for name, row in named_places({}, text.rows, prefix="").items():
            if name in self.delta.tensors:
                row.copy_(self.delta.tensors[name])


def _weights_of(path: Path, own: Path) -> Path:
    """The file of weights that a path names."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise VmcError(f"init is {path}, which does not exist; give the folder of a run, or a file of its weights")
    if path.resolve() == own.resolve():
        raise VmcError(f"init is {path}, which is the run's own folder; give another run, or another output")
    if not (path / "config.yaml").is_file():
        raise VmcError(f"init is {path}, which holds no run; give the output folder of vmc.train")
    try:
        return newest_weights(path)
    except VmcError as error:
        raise VmcError(f"init is {path}, a run that has no weights; go on with it, or give another run") from error


def _check_tokens(delta: Delta, token: MotionToken, init: str | Path) -> None:
    """Refuse weights that hold a row of a token which the run has not, or has with another word."""
    told: Mapping[str, Any] = delta.about.get("token") or {}
    for name, theirs in {MOTION: told, **told.get("further", {})}.items():
        ours = token.tokens.get(name)
        wanted = {key: theirs.get(key) for key in ("word", "added", "start")}
        if row_name(name) not in delta.tensors:
            continue
        if ours is None or any(getattr(ours, key) != value for key, value in wanted.items()):
            said = ", ".join(f"{key_of(name)}.{key}={value}" for key, value in wanted.items() if value)
            raise VmcError(f"init is {init}, whose weights hold the trained row of '{theirs.get('word')}'; give {said}")


def _without_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the denoiser alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(row_name(MOTION))}
