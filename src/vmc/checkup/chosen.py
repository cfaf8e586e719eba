"""The run that is asked about: a stack with overrides of `vmc.train`, composed as that does and not begun."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vmc.cli import check_config, check_overlays, check_parts, config_folder, quote_free_text, user_error
from vmc.config.checks import missing_keys
from vmc.config.retelling import retold
from vmc.download.sources import SOURCES, HubSource
from vmc.errors import VmcError
from vmc.fullsize.sizes import ZEROSCOPE, Sizes
from vmc.models.parameters import ParameterSubset
from vmc.training.memory import Load, micro_batch, moment_bytes, text_parameters

PUBLISHED = {source.repository: name for name, source in SOURCES.items() if isinstance(source, HubSource)}
"""Pipelines of one architecture, so that their sizes are known before they are there: repository -> name."""

PARTS = ("model", "parameters", "timesteps", "token", "sampler")
"""Groups that refuse wrong values when they are made."""


def choose(stack: str, words: Sequence[str] = ()) -> "Chosen":
    """The run of a stack with overrides.

    Raises:
        VmcError: they do not compose.
    """
    try:
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            config = compose("train", overrides=[f"stack={stack}", *quote_free_text(words)])
    except (HydraException, OmegaConfBaseException) as error:
        raise retold(error, "train") from error
    check_overlays(config, {})
    _check(config)
    chosen = Chosen(config)
    for part in PARTS:
        try:
            chosen.value(part)
        except InstantiationException as error:
            raise VmcError(user_error(error) or f"{part} cannot be made ({error}); give other overrides") from error
    return chosen


def _check(config: DictConfig) -> None:
    """Check keys and values as `vmc.train` does. A path that is not given is a finding of the table, and no error."""
    given = copy.deepcopy(config)
    for key in missing_keys(config):
        OmegaConf.update(given, key, "not-given")
    check_config(given, "train")
    check_parts(given)


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
        node = OmegaConf.select(self.config, key, throw_on_missing=False)
        return instantiate(node) if isinstance(node, DictConfig) else node

    @property
    def model(self) -> str:
        """The base model: a folder, or the name of a hub repository."""
        return str(self.value("model.path"))

    @cached_property
    def sizes(self) -> Sizes | None:
        """Of the base model's networks, by its config files, or as published; None where they are not known."""
        files = [Path(self.model).expanduser() / part / "config.json" for part in ("unet", "vae", "text_encoder")]
        if all(file.is_file() for file in files):
            unet, vae, text = (json.loads(file.read_text(encoding="utf-8")) for file in files)
            return Sizes(unet=unet, vae=vae, text_encoder=text)
        return ZEROSCOPE if self.model in PUBLISHED else None

    @cached_property
    def load(self) -> Load | None:
        """What it puts on a GPU; None where the sizes are not known."""
        if self.sizes is None:
            return None
        config, vae = self.config, self.sizes.vae
        reduction = 2 ** (len(vae["block_out_channels"]) - 1)
        side, token = int(config.data.size) // reduction, self.value("token")
        decodes = self.evaluates and not config.trainer.offload
        return Load(
            unet=self.sizes.unet,
            subset=self.value("parameters") if self.trains else ParameterSubset(groups=()),
            moments=self.moments,
            precision=config.trainer.precision,
            latent_shape=(int(vae["latent_channels"]), int(config.data.frames), side, side),
            draws=micro_batch(config.batch_size, devices=config.trainer.devices, accumulate=config.trainer.accumulate),
            paired=config.regularization.get("mix") == "paired",
            recomputed=config.trainer.checkpoint_activations,
            text_trained=self.trains and token.trains,
            beside=(_count(vae) if decodes else 0)
            + (text_parameters(self.sizes.text_encoder) if self.trains and token.trains else 0),
            steps=max(config.steps, 1),
        )

    @property
    def moments(self) -> int:
        """Bytes of a trained parameter's moments."""
        return moment_bytes(get_object(self.config.optimizer._target_))


def _count(vae: Any) -> int:
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in AutoencoderKL.from_config(dict(vae)).parameters())
