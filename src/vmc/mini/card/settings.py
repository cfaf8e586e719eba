"""What the card takes from the configs, so that it measures what runs use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmc.config.build import build_part
from vmc.config.checks import resolved
from vmc.config.command import compose
from vmc.config.folders import config_folder
from vmc.diffusion.sampling import Sampler
from vmc.models.base import VideoModel
from vmc.models.token import MotionToken
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import read_yaml

MOTION = "swiping_down"
"""Whose prompt is asked: the five targets have the same one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the miniature's stack.

    Args:
        config: of a run, resolved.
        sampler: of videos.
        token: the rare word.
        template: of a test prompt, with `{subject}` and `{token}`.
    """

    config: Mapping[str, Any]
    sampler: Sampler
    token: MotionToken
    template: str

    def base(self, pipeline: Path) -> VideoModel:
        """The base model in a folder.

        Raises:
            VmcError: there is no such folder.
        """
        if not pipeline.is_dir():
            raise VmcError(f"--weights has no folder {pipeline.name}; run `python -m vmc.mini ship` to put it there")
        return build_part(self.config, "model", path=pipeline)


def stack_file() -> Path:
    """The miniature's stack."""
    return config_folder() / "stack" / "mini.yaml"


def read_settings(stack: Path) -> Settings:
    """The settings of a run with the miniature's stack, and with what the file of a stack sets in its place.

    Raises:
        VmcError: a file does not read.
    """
    config = compose("train", ["stack=mini", f"motion={MOTION}"])
    found = read_yaml(stack, remedy="get the file again")
    if not isinstance(found, dict):
        raise VmcError(f"{stack} holds no keys; get the file again")
    config.merge_with({key: value for key, value in found.items() if key != "defaults"})
    plain = resolved(config)
    return Settings(
        config=plain,
        sampler=build_part(plain, "sampler"),
        token=build_part(plain, "token"),
        template=build_part(plain, "motion").template,
    )
