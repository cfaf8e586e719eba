"""Using the config of a run folder in place of what the command line composed, and the runs that `runs` names."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vmc.config.checks import GROUPS, check_free_values, check_part
from vmc.config.known_keys import find, schema_of
from vmc.config.trusted_classes import check_foreign, is_allowed
from vmc.training.merging import ScaledRun, read_runs
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

FRAMES = ("frames", "size", "fps")
"""Settings of a run's clips, and so of its model's videos."""
NEEDED = {"prompts": ("file", "limit", "seeds"), "stop": ("appearance",)}
"""Required keys of parts that describe no object."""


def take_over(config: DictConfig, run: Path, keys: Sequence[str]) -> None:
    """Replace the values of `keys` by those of a run; single values on the command line have precedence.

    Args:
        config: the composed config, which is changed.
        run: the run's folder.
        keys: groups and other keys of the outermost level; choosing one of them on the command line is a VmcError.
    """
    from vmc.runs.earlier_versions import read_config

    ours = check_run_config(read_config(run), keys, source=str(run / "config.yaml"), trust=bool(config.get("trust")))
    for text in map(str, HydraConfig.get().overrides.task):
        if text.startswith("~") and text[1:].partition(".")[0] in keys:
            raise VmcError(
                f"{text} is given with run={run}, which brings its own; write {text[1:].partition('=')[0]}=null"
            )
    given = [str(text).lstrip("+").partition("=")[0] for text in HydraConfig.get().overrides.task]
    said = {key: OmegaConf.select(config, key) for key in given if key.partition(".")[0] in keys and "." in key}
    OmegaConf.set_struct(config, False)
    if "metrics" in keys:  # metrics that the command line adds are kept beside the run's own
        own = schema_of("train").tree["metrics"]
        ours["metrics"] |= {name: node for name, node in config.metrics.items() if name not in own}
    for key in keys:
        if key not in given:
            config[key] = ours[key]
        elif key not in ("trainer", "prompts"):  # which do not change what was learned
            raise VmcError(f"{key} is given with run={run}, which brings its own; leave it out")
    for key, value in said.items():
        OmegaConf.update(config, key, value, merge=False)


def choose_runs(config: DictConfig) -> list[ScaledRun]:
    """The runs to be merged that `runs` names; none if it is null.

    A single run with a scale of 1 becomes the config's `run` and `step`, so that its weights are exact.
    """
    if config.runs is None:
        return []
    for key in ("run", "step", "videos"):
        if config.get(key) is not None:
            remedy = "name a file of the run's weights/ in runs" if key == "step" else "choose one of them"
            raise VmcError(f"{key} and runs are both given; {remedy}")
    runs = read_runs(OmegaConf.to_container(OmegaConf.create([config.runs]), resolve=True)[0])  # type: ignore[index]
    if len(runs) > 1 or runs[0].scale != 1:
        return runs
    config.run, config.step, config.runs = str(runs[0].path), runs[0].step, None
    return []


def check_run_config(config: Any, keys: Sequence[str], *, source: str, trust: bool = False) -> dict[str, Any]:
    """The parts of a run's config that are taken over, checked by `check_foreign` and for their values.

    Args:
        config: the run's config, as it was read.
        keys: groups and other keys of the outermost level.
        source, trust: as in `check_foreign`.
    """
    if not isinstance(config, Mapping):
        raise VmcError(f"{source} is no config of vmc.train; give the output folder of vmc.train")
    for key in (*keys, "data"):
        if (part := config.get(key, "???")) == "???":
            raise VmcError(f"{source} has no {key}; it is no config of vmc.train, give the output folder of vmc.train")
        if key in GROUPS and not (isinstance(part, Mapping) and (key == "prompts" or "_target_" in part)):
            raise VmcError(f"{source} has {key}: {str(part)[:80]}, which describes nothing; make the run anew")
    for key in keys:
        check_foreign(config[key], key, source=source, trust=trust)
        for name in NEEDED.get(key, ()):
            if not isinstance(config[key], Mapping) or name not in config[key]:
                raise VmcError(f"{source} has no {key}.{name}; make the run anew, or correct the file")
    ours = _known_alone({key: config[key] for key in keys}, trust=trust)
    # The run's clips may have another length or size than the model's own.
    ours["model"] |= {key: config["data"][key] for key in FRAMES if key in config["data"]}
    ours["trainer"] |= {"devices": 1, "strategy": "auto"}
    try:
        check_free_values(ours, schema_of("train").tree)
        for group in GROUPS:
            check_part(ours.get(group), group)
    except VmcError as error:
        raise VmcError(f"{source}: {error}") from error
    return ours


def _known_alone(config: Mapping[str, Any], *, trust: bool) -> dict[str, Any]:
    """A run's config without keys that this version does not know, which are logged.

    In a trusted config, the parts of a user's own class are kept as they are.
    """
    kept: Any = copy.deepcopy(dict(config))
    for key in list(schema_of("train").unknown(kept)):
        parent, _, name = key.rpartition(".")
        node = find(kept, parent)
        if trust and isinstance(node, Mapping) and not is_allowed(parent, node.get("_target_")):
            continue
        if not isinstance(node, dict) or name not in node:  # a name with a dot in it
            raise VmcError(f"the run's config has {key}, which no run of this project has; make the run anew")
        log.warning("the run's config has %s, which this version does not know; it is left out", key[:80])
        del node[name]
    return kept
