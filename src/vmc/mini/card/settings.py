"""What the card takes from the configs, so that it measures what runs use; read as plain YAML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import vmc
from vmc.diffusion.sampling import Sampler
from vmc.errors import VmcError
from vmc.models.token import MotionToken
from vmc.models.unet3d import UNet3D

MOTION = "swiping_down"
"""Whose prompt is asked: the five targets have the same one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the miniature's stack.

    Args:
        sampler: of videos.
        model: the keys of `conf/model/mini.yaml` that a `UNet3D` takes, its path aside.
        token: the rare word.
        template: of a test prompt, with `{subject}` and `{token}`.
    """

    sampler: Sampler
    model: dict[str, Any]
    token: MotionToken
    template: str

    def base(self, pipeline: Path) -> UNet3D:
        """The base model in a folder.

        Raises:
            VmcError: there is no such folder.
        """
        if not pipeline.is_dir():
            raise VmcError(f"--weights has no folder {pipeline.name}; run `python -m vmc.mini ship` to put it there")
        return UNet3D(path=pipeline, **self.model)


def config_folder() -> Path:
    """The configs: inside the package when it is installed, beside `src` in a checkout."""
    package = Path(str(vmc.__file__)).parent
    return package / "conf" if (package / "conf").is_dir() else package.parents[1] / "conf"


def stack_file() -> Path:
    """The miniature's stack."""
    return config_folder() / "stack" / "mini.yaml"


def read_settings(stack: Path) -> Settings:
    """The settings of a stack's file and of the groups that it stands for.

    Raises:
        VmcError: a file is missing or does not read, or a key is not there.
    """
    groups = config_folder()
    model, token, motion = (groups / name for name in ("model/mini.yaml", "token/frozen.yaml", f"motion/{MOTION}.yaml"))
    sampler = {name: _value(model, "sampler", name) for name in ("steps", "guidance")}
    sampler |= _read(stack).get("sampler") or {}  # a stack may have its own, as it may in a run
    return Settings(
        sampler=Sampler(**sampler),
        model={name: _value(model, "model", name) for name in ("frames", "size", "fps", "attention")},
        token=MotionToken(word=_value(token, "word")),
        template=_value(motion, "prompt"),
    )


def _value(file: Path, *keys: str) -> Any:
    node = _read(file)
    try:
        for key in keys:
            node = node[key]
    except (KeyError, TypeError) as error:
        raise VmcError(f"{file} has no {'.'.join(keys)} ({type(error).__name__}); get the file again") from error
    return node


def _read(file: Path) -> Any:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise VmcError(f"{file} does not read ({type(error).__name__}); get the file again") from error
    if not isinstance(found, dict):
        raise VmcError(f"{file} holds no keys; get the file again")
    return found
