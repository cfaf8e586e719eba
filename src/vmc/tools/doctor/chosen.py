"""The run that is asked about: a stack with overrides of `vmc.train`, composed as that does and not begun."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object
from omegaconf import DictConfig

from vmc.config.build import build_part
from vmc.config.command import check_values, compose
from vmc.models.base import VideoModel
from vmc.tools.downloads.download import cached_folder
from vmc.tools.downloads.sources import SOURCES, HubSource
from vmc.tools.full_size.sizes import ZEROSCOPE
from vmc.training.memory import Load, micro_batch, state_bytes
from vmc.utils.errors import VmcError

PUBLISHED = {source.repository: name for name, source in SOURCES.items() if isinstance(source, HubSource)}
"""Pipelines of the hub: repository -> name."""

PARTS = ("model", "parameters", "objective", "timesteps", "lr_schedule", "token", "sampler", "metrics")
"""Groups that refuse wrong values when they are made."""


def choose(stack: str, words: Sequence[str] = ()) -> "Chosen":
    """The run of a stack with overrides.

    Raises:
        VmcError: they do not compose.
    """
    config = compose("train", [f"stack={stack}", *words])
    check_values(config, "train")  # a path that is not given is a finding of the table, and no error
    chosen, made = Chosen(config), {}
    for part in PARTS:
        try:
            made[part] = chosen.value(part)
        except InstantiationException as error:
            raise VmcError(f"{part} cannot be made ({error}); give other overrides") from error
    if chosen.trains:
        made["parameters"].check(made["model"].groups)
    return chosen


@dataclass(frozen=True)
class Chosen:
    """A run by its config; what is asked of it is made from the config's parts and nothing is loaded."""

    config: DictConfig

    @property
    def stack(self) -> str:
        """Its name."""
        return str(self.config.stack_name)

    @property
    def trains(self) -> bool:
        """Whether anything is trained; the base model alone may be scored."""
        return self.config.get("parameters") is not None

    @property
    def evaluates(self) -> bool:
        """Whether it is scored."""
        return bool(self.config.evaluate_every)

    def value(self, key: str) -> Any:
        """What stands under a dotted key, made where it is an object; None where it is missing."""
        return build_part(self.config, key)

    @property
    def model(self) -> str:
        """The base model: a folder, or the name of a hub repository."""
        return str(self.value("model.path"))

    @cached_property
    def base(self) -> VideoModel | None:
        """The base model by its config files, or as published; None where no files are here that could be read."""
        model, folder = self.value("model"), Path(self.model).expanduser()
        found = folder if folder.is_dir() else cached_folder(self.model, model.family)
        if found is None:
            return ZEROSCOPE if self.model in PUBLISHED and model.family == ZEROSCOPE.family else None
        model = replace(model, path=found)
        try:
            model.folder  # noqa: B018
        except VmcError:  # a finding of its own
            return None
        return model

    @cached_property
    def load(self) -> Load | None:
        """What it holds on a GPU; None where the sizes are not known."""
        if self.base is None:
            return None
        config, trainer = self.config, self.config.trainer
        beside = {
            "text": self.trains and self.value("token").trains,
            "autoencoder": self.evaluates and not trainer.offload,
        }
        return Load.of(
            self.base,
            self.value("parameters"),
            beside=[role for role, there in beside.items() if there],
            precision=trainer.precision,
            state_bytes=self.state_bytes,
            draws=micro_batch(config.batch_size, devices=trainer.devices, accumulate=trainer.accumulate),
            recomputed=trainer.checkpoint_activations,
        )

    @property
    def state_bytes(self) -> int:
        """Of a trained parameter's optimizer state."""
        return state_bytes(get_object(self.config.optimizer._target_))
