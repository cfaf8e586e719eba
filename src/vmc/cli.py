"""What the Hydra entry points share: finding the configs, free text on the command line, errors as sentences."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from vmc.errors import VmcError

log = logging.getLogger(__name__)

FREE_TEXT = ("prompt", "motion.caption", "motion.language", "motion.prompt", "subject.caption", "token.word")


def config_folder() -> Path:
    """The configs: inside the package when it is installed, beside `src` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def quote_free_text(arguments: Sequence[str]) -> list[str]:
    """Quote the values of the free-text keys, so that commas, quotes, parentheses and braces are only text.

    Hydra's grammar gives those characters a meaning. `null` and a value that is already one quoted string stay.
    """
    return [_quote(argument) for argument in arguments]


def _quote(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key.lstrip("+") not in FREE_TEXT or value in ("null", "") or _is_quoted(value):
        return argument
    # Hydra reads \" as a quote; a backslash counts only before a quote. OmegaConf reads ${ as an interpolation.
    escaped = value.replace('\\"', '\\\\"').replace('"', '\\"').replace("${", "\\${")
    if escaped.endswith("\\"):
        escaped += "\\"
    return f'{key}="{escaped}"'


def _is_quoted(value: str) -> bool:
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "'\"":
        return False
    try:
        # A single element, and no choice of several: 'a','b' would be a sweep.
        return OverridesParser.create().parse_override(f"key={value}").value_type is ValueType.ELEMENT
    except HydraException:
        return False


def check_overlays(config: DictConfig) -> None:
    """Refuse an unknown overlay, and two together, which would compose silently, the last one winning."""
    chosen = HydraConfig.get().runtime.choices
    for kind in ("ablation", "baseline"):
        if kind in config:  # no overlay of that name: Hydra took it for a new key
            raise VmcError(f"+{kind}={config[kind]} is unknown; --help lists the overlays there are")
    if "ablation" in chosen and "baseline" in chosen:
        raise VmcError(
            f"+ablation={chosen['ablation']} and +baseline={chosen['baseline']} are both given;"
            " a run is one arm, choose one of them"
        )


def check_complete(config: DictConfig) -> None:
    """Refuse a config in which a value that has no default is not set."""
    # Not `OmegaConf.missing_keys`: it fails where one value refers to another that is missing.
    for name in _missing(OmegaConf.to_container(config)):
        raise VmcError(f"{name} is not set and has no default; give {name}=...")


def take_over(config: DictConfig, run: Path, keys: Sequence[str]) -> None:
    """Put the run's own choices under `keys` in place; the command line has the last word on single values.

    Raises:
        VmcError: no run there, or another group is chosen for one of the keys.
    """
    from vmc.runs.folder import read_config

    ours = OmegaConf.create(read_config(run))
    # The run's clips may have been of another length or size than the model's own.
    ours.model.update({key: ours.data[key] for key in ("frames", "size", "fps")})
    ours.trainer.update(devices=1, strategy="auto")
    given = [str(text) for text in HydraConfig.get().overrides.task]
    OmegaConf.set_struct(config, False)
    for key in keys:
        said = [text for text in given if text.startswith(f"{key}.")]
        if not any(text.startswith(f"{key}=") for text in given):
            base = ours[key]
            dotted = OmegaConf.from_dotlist(said).get(key, {}) if said else None
            config[key] = OmegaConf.merge(base, dotted) if dotted else base
        elif key != "trainer":  # trainer=cpu serves a run that was made on a GPU
            raise VmcError(f"{key} is given with run={run}, which brings its own; leave it out")


def _missing(node: Any, name: str = "") -> Iterator[str]:
    if node == "???":
        yield name
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _missing(value, f"{name}.{key}" if name else key)


def run_hydra(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Compose the config, run the task, and end with exit code 1 and one sentence where it cannot be done.

    `HYDRA_FULL_ERROR=1` shows the traceback of such an error. An error that is no `VmcError` is a defect: its traceback
    is shown. Nothing leaves a Hydra job as an exception or an exit, either of which would disturb a sweep.
    """
    failures: list[BaseException] = []

    def job(config: DictConfig) -> None:
        try:
            check_complete(config)
            task(config)
        except Exception as error:
            failures.append(error)
            sentence = user_error(error)
            if sentence is None or log.isEnabledFor(logging.DEBUG) or _full_error():
                log.exception("the run failed")
            print(f"error: {sentence or error}", file=sys.stderr)

    sys.argv[1:] = quote_free_text(sys.argv[1:])
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()
    if failures:
        sys.exit(1)


def user_error(error: BaseException | None) -> str | None:
    """The sentence of the `VmcError` behind an error; Hydra wraps what a constructor raises."""
    while error is not None:
        if isinstance(error, VmcError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _full_error() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
