"""A run's own config in place of what the command line composed. It came with the run's folder, so it is checked."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vmc.config.checks import GROUPS
from vmc.config.schema import find, schema_of
from vmc.config.targets import allowed, check_foreign
from vmc.config.values import check_loose, check_numbers, check_part
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

EARLIER = ("data.step", "regularization.step")
"""Keys of runs of earlier versions, which say nothing that a run's other keys do not say."""


FRAMES = ("frames", "size", "fps")
"""What a run's clips, and so its model's videos, were made with."""
NEEDED = {"prompts": ("file", "limit", "seeds"), "stop": ("appearance",)}
"""Keys of parts that no class is made of."""


def take_over(config: DictConfig, run: Path, keys: Sequence[str]) -> None:
    """Put the run's own choices under `keys` in place; the command line has the last word on single values.

    Args:
        config: as it was composed; it is changed.
        run: the run's folder.
        keys: groups and other keys of the outermost level.

    Raises:
        VmcError: no run there, its config holds what no run of this project has, or another group is chosen for one of
            the keys.
    """
    from vmc.runs.folder import read_config

    ours = checked(read_config(run), keys, source=str(run / "config.yaml"), trust=bool(config.get("trust")))
    given = [str(text).lstrip("+").partition("=")[0] for text in HydraConfig.get().overrides.task]
    said = {key: OmegaConf.select(config, key) for key in given if "." in key}
    OmegaConf.set_struct(config, False)
    for key in keys:
        if key == "metrics":  # those that are added here stay beside the run's own
            own = schema_of("train").tree[key]
            ours[key] |= {name: node for name, node in config[key].items() if name not in own}
        if key not in given:
            config[key] = ours[key]
        elif key != "trainer":  # trainer=cpu serves a run that was made on a GPU
            raise VmcError(f"{key} is given with run={run}, which brings its own; leave it out")
    for key, value in said.items():
        if key.split(".")[0] in keys:
            OmegaConf.update(config, key, value, merge=False)


def checked(config: Any, keys: Sequence[str], *, source: str, trust: bool = False) -> dict[str, Any]:
    """The parts of a run's config that are taken over, nothing in which runs or looks up anything.

    Args:
        config: the run's, as it was read.
        keys: groups and other keys of the outermost level.
        source: the file, for messages.
        trust: the classes that it names are the user's own wish.

    Raises:
        VmcError: naming the key that is missing, or holds what no run of this project has.
    """
    if not isinstance(config, Mapping):
        raise VmcError(f"{source} is no config of vmc.train; give the output folder of vmc.train")
    config = dict(config)
    for key in dict.fromkeys([*keys, "data"]):
        if config.get(key, "???") == "???":
            raise VmcError(f"{source} has no {key}; it is no config of vmc.train, give the output folder of vmc.train")
        described = isinstance(config[key], Mapping) and (key == "prompts" or "_target_" in config[key])
        if key in GROUPS and not described:
            raise VmcError(f"{source} has {key}: {str(config[key])[:80]}, which describes nothing; make the run anew")
    for key in keys:
        check_foreign(config[key], key, source=source, trust=trust)
        for name in NEEDED.get(key, ()):
            if not isinstance(config[key], Mapping) or name not in config[key]:
                raise VmcError(f"{source} has no {key}.{name}; make the run anew, or correct the file")
    ours = known_alone({key: config[key] for key in keys}, trust=trust)
    # The run's clips may have been of another length or size than the model's own.
    clips = config["data"]
    ours["model"] |= {key: clips[key] for key in FRAMES if key in clips}
    ours["trainer"] |= {"devices": 1, "strategy": "auto"}
    try:
        check_numbers(ours)
        check_loose(ours, schema_of("train").tree)
        for group in GROUPS:
            check_part(ours.get(group), group)
    except VmcError as error:
        raise VmcError(f"{source}: {error}") from error
    return ours


def known_alone(config: Mapping[str, Any], *, trust: bool = False) -> dict[str, Any]:
    """A run's config without the keys that this version does not know; which, the log says.

    Args:
        config: parts of a run's, as plain dicts.
        trust: parts of a class of one's own are left as they are.
    """
    kept: Any = copy.deepcopy(dict(config))
    for key in list(schema_of("train").unknown(kept)):
        parent, _, name = key.rpartition(".")
        node = find(kept, parent)
        if trust and isinstance(node, Mapping) and not allowed(parent, node.get("_target_")):
            continue
        if not isinstance(node, dict) or name not in node:  # a name with a dot in it
            raise VmcError(f"the run's config has {key}, which no run of this project has; make the run anew")
        if key not in EARLIER:
            log.warning("the run's config has %s, which this version does not know; it is left out", key[:80])
        del node[name]
    return kept
