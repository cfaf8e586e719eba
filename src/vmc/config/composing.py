"""Composing a config as an entry point does, for what does not begin the run: checks, benchmarks, the miniature."""

import copy
from collections.abc import Sequence

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.checks import check_config, check_overlays, check_parts, missing_keys
from vmc.config.folders import config_folder
from vmc.config.free_text import quote_free_text
from vmc.config.retelling import retold


def compose(command: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of a command line.

    Args:
        command: train, generate, evaluate or report.
        overrides: as they are typed; `hydra.searchpath=[DIR]` names a folder of further YAMLs.

    Raises:
        VmcError: they do not compose, or two overlays are chosen.
    """
    try:
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            config = hydra.compose(command, overrides=quote_free_text(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last: parameters=null
        raise retold(error, command) from error
    HydraConfig.instance().set_config(config)  # which says where its YAMLs lie
    choices = config.hydra.runtime.choices
    with open_dict(config):
        del config["hydra"]
    check_overlays(config, choices)
    return config


def check_values(config: DictConfig, command: str) -> None:
    """Check keys and values as the command does, but for the values that are not given yet.

    Raises:
        VmcError: naming the first that is wrong.
    """
    given = copy.deepcopy(config)
    for key in missing_keys(config):
        OmegaConf.update(given, key, "not-given")
    check_config(given, command)
    check_parts(given)
