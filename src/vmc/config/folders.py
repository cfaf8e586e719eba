"""The folders of configs and sweeps, names that become names of folders, and the resolvers of configs.

A user's own folder, with the same groups as the one that ships (`objective/mine.yaml`), is given to an entry point as
`--config-dir DIR`, or to any command as the override `hydra.searchpath=[DIR]`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vmc.utils.errors import VmcError
from vmc.utils.files import LONGEST_NAME, safe_name


def config_folder() -> Path:
    """The folder of configs: inside the package if it is installed, beside `src` in a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def config_folders() -> tuple[Path, ...]:
    """The folder of the configs that ship, and the further ones on the command's search path."""
    found = [config_folder().resolve()]
    if HydraConfig.initialized():
        sources = HydraConfig.get().runtime.config_sources
        found += [Path(source.path).resolve() for source in sources if source.schema == "file"]
    return tuple(dict.fromkeys(folder for folder in found if folder.is_dir()))


def group_names() -> list[str]:
    """The names of all groups, without Hydra's own."""
    return sorted(path.name for path in config_folder().iterdir() if path.is_dir() and path.name != "hydra")


def group_files(group: str, folders: Sequence[Path] | None = None) -> list[Path]:
    """The YAMLs of a group, those that ship first."""
    found = config_folders() if folders is None else folders
    return [file for folder in found for file in sorted((folder / group).glob("*.yaml"))]


def package_of(text: str, group: str) -> str:
    """The package of a group's YAML, as its first line says; empty for the outermost level."""
    given = re.match(r"#\s*@package\s+(\S+)", text)
    return "" if given and given[1] == "_global_" else given[1] if given else group


def sweeps_folder() -> Path:
    """The folder of the sweeps that ship, beside the configs."""
    return config_folder().parent / "sweeps"


def find_sweep(arguments: Sequence[str]) -> list[str]:
    """Add the folder of a sweep that ships to arguments that name one (`--config-name ablations`).

    `-m` is moved to the front, because Hydra's parser does not accept options between overrides.
    """
    multirun = [text for text in arguments if text in MULTIRUN]
    others = [text for text in arguments if text not in multirun]
    options: dict[str, str] = {}  # `--name value` or `--name=value`, of which the first counts
    for argument, following in zip(others, [*others[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        options.setdefault(name, value if equals else following)
    sweep = sweeps_folder() / f"{options.get('--config-name') or options.get('-cn')}.yaml"
    if not {"--config-dir", "-cd"} & options.keys() and sweep.is_file():
        others = ["--config-dir", str(sweeps_folder()), *others]
    return [*multirun, *others]


MULTIRUN = ("-m", "--multirun")
SPACING = 2.0
"""Factor between neighbours in a search for rates."""


def check_name(key: str, name: Any) -> None:
    """Raise a VmcError if the value of a setting cannot be the name of a folder, with a similar one that can."""
    text = str(name)
    if not text or text != safe_name(text, keep="@=+~,() '&!#$%;[]{}"):
        offered = safe_name(text) or "another"
        raise VmcError(f"{key} is {text[:LONGEST_NAME]!r}, which cannot name a folder; write {key}={offered}")


def around(rate: float) -> str:
    """The values of a sweep around a rate, in configs `${around:${rates.method}}`: one below, itself, one above.

    The neighbors have two digits.
    """
    return f"{rate / SPACING:.2g},{rate:.6g},{rate * SPACING:.2g}"


def name_of_clips(*, _root_: DictConfig) -> str:
    """The default name of a motion, in configs `${name_of_clips:}`."""
    from vmc.data.motion import default_name  # imports torch

    def said(key: str) -> str:
        value = OmegaConf.select(_root_, key, throw_on_missing=False)
        return value if isinstance(value, str) and value != "???" else ""

    of_many = said("data.source._target_").endswith(".Jester")
    return default_name(path="" if of_many else said("data.path"), label=said("motion.label"))


OmegaConf.register_new_resolver("around", around, replace=True)
OmegaConf.register_new_resolver("name_of_clips", name_of_clips, replace=True)
