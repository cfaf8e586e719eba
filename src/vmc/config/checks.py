"""What is refused of a composed config before anything is built: overlays, missing values, keys, values and names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.folders import group_files
from vmc.config.names import check_name
from vmc.config.places import expand_paths
from vmc.config.schema import OVERLAYS, arguments, schema_of
from vmc.config.targets import INSTRUCTIONS
from vmc.config.values import check_loose, check_numbers, check_part
from vmc.errors import VmcError
from vmc.plain_yaml import read_yaml

HOW = {
    "data.path": "data.path=FOLDER, of Jester (`python -m vmc.prepare jester FOLDER` verifies it) or, with data=videos,"
    " of your own clips"
}
"""What is given for a key that has no default, where its name does not say it."""
NAMES = ("arm", "motion.name", "stack_name")
"""Names of folders."""
GROUPS = (
    *("model", "data", "motion", "token", "parameters", "objective", "timesteps", "regularization", "optimizer"),
    *("lr_schedule", "metrics", "sampler", "trainer", "logger", "prompts"),
)
"""Groups of which classes are made."""


def check_overlays(config: DictConfig, chosen: Mapping[str, Any]) -> None:
    """Refuse an unknown overlay, and two together, which would compose silently, the last one winning.

    Args:
        config: the run's.
        chosen: Hydra's choice of each group.
    """
    for kind in OVERLAYS:
        if kind in config:  # no overlay of that name: Hydra took it for a new key
            raise VmcError(f"+{kind}={config[kind]} is unknown; --help lists the overlays there are")
    if "ablation" in chosen and "baseline" in chosen:
        raise VmcError(
            f"+ablation={chosen['ablation']} and +baseline={chosen['baseline']} are both given;"
            " a run is one arm, choose one of them"
        )


def check_complete(config: DictConfig) -> None:
    """Refuse a config in which a value that has no default is not set."""
    for name in missing_keys(config):
        raise VmcError(f"{name} is not set and has no default; give {HOW.get(name, f'{name}=...')}")


def missing_keys(config: DictConfig) -> list[str]:
    """Dotted keys without a value. `OmegaConf`'s own fails where one value refers to another that is missing."""
    return list(_missing(OmegaConf.to_container(config)))


def _missing(node: Any, name: str = "") -> Iterator[str]:
    if node == "???":
        yield name
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _missing(value, f"{name}.{key}" if name else key)


def check_config(config: DictConfig, command: str) -> None:
    """Refuse keys that nothing reads, and values that cannot be; cheap, as no class is imported for it.

    Args:
        config: as it was composed, wherever its keys come from. A `~` in its paths becomes the home folder, and the
            optimizer loses what a YAML sets for another class.
        command: train, generate, evaluate or report.

    Raises:
        VmcError: naming the first such key.
    """
    expand_paths(config)
    drop_keys_of_another_class(config, "optimizer")
    plain, schema = resolved(config), schema_of(command)
    for key in schema.unknown(plain):
        raise VmcError(f"{key} is unknown; {schema.advice(key)}")
    check_numbers(plain)
    check_loose(plain, schema.tree)
    for key in NAMES:
        name: Any = OmegaConf.select(config, key)
        if name is not None:
            check_name(key, name)


def drop_keys_of_another_class(config: DictConfig, group: str) -> None:
    """Remove what a group's YAML sets for its own class where another is chosen that does not take it.

    So `optimizer._target_=torch.optim.SGD` needs no `~optimizer.betas`. What was given otherwise than a YAML has it is
    left, and refused by `check_parts`.

    Raises:
        VmcError: the class cannot be imported.
    """
    node = OmegaConf.to_container(config[group], resolve=False) if config.get(group) is not None else {}
    if not isinstance(node, dict) or not isinstance(target := node.get("_target_"), str):
        return
    settings = [read_yaml(file, remedy="correct it") or {} for file in group_files(group)]
    if any(one.get("_target_") == target and node.keys() <= one.keys() for one in settings):
        return  # its own; nothing is imported for it
    taken = arguments(target)
    for key, value in node.items():
        foreign = taken is not None and key not in taken and key not in INSTRUCTIONS
        if foreign and any(key in one and one[key] == value for one in settings):
            with open_dict(config):
                del config[group][key]


def check_parts(config: DictConfig, groups: Sequence[str] = GROUPS) -> None:
    """Check the values of every group by its class, which is imported for it.

    Raises:
        VmcError: naming key, value and what it must be.
    """
    plain = resolved(config)
    for group in groups:
        check_part(plain.get(group), group)


def resolved(config: DictConfig) -> dict[str, Any]:
    """A config as plain dicts and lists.

    Raises:
        VmcError: a value refers to one that is not there.
    """
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        said, *_ = str(error).split("\n")
        raise VmcError(f"the config does not resolve ({said}); correct what stands in ${{...}}") from error
    return plain
