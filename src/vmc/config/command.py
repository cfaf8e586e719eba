"""Composing a config and running a task on it, as every Hydra entry point does, with errors as sentences."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.checks import check_complete, check_overlays
from vmc.config.folders import MULTIRUN, config_folder, find_sweep
from vmc.config.known_keys import FREE_TEXT, NAME_KEYS, is_path, schema_of
from vmc.config.launchers import check_launcher
from vmc.utils.errors import VmcError, causes
from vmc.utils.files import DISK_FAULTS
from vmc.utils.processes import environment

log = logging.getLogger(__name__)
# conf/hydra/launcher/joblib.yaml deliberately has the name of its plugin's schema. Workers see this filter, too.
warnings.filterwarnings("ignore", message=r"\n'hydra/launcher/joblib' is validated against ConfigStore schema")

Task: TypeAlias = Callable[[DictConfig], dict[str, Any] | None]
"""What an entry point does; training returns the state of its run folder."""
HYDRA_ERRORS, ASKED = "HYDRA_FULL_ERROR", "VMC_FULL_ERROR"
"""Environment variables: whether Hydra raises its errors, and what the user had set it to."""
NUMBER = re.compile(r"true|false|[-+]?(inf|nan|[\d_.]+(e[-+]?\d+)?)", re.IGNORECASE)


def explain_error(error: Exception, command: str) -> VmcError:
    """An error of composing as one sentence, with the most similar key for an unknown one."""
    said = " ".join(str(error).partition("Config search path")[0].split())
    if found := re.search(r"Could not override '([^']+)'", said):
        said = schema_of(command).explain(found[1])
    if "Config group override must be a string" in said:
        said = "a group is given as null; name one of its choices (for the base model: +baseline=pretrained)"
    return VmcError(said)


def compose(command: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the config of `train`, `generate`, `evaluate` or `report` with overrides as they are typed;
    `hydra.searchpath=[DIR]` adds a folder of YAMLs.
    """
    try:
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            config = hydra.compose(command, overrides=quote_free_text(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last: parameters=null
        raise explain_error(error, command) from error
    HydraConfig.instance().set_config(config)  # `config_folders` looks up the search path there
    choices = config.hydra.runtime.choices
    with open_dict(config):
        del config["hydra"]
    check_overlays(config, choices)
    return config


class CheckLauncher(Callback):
    """Checks before any job starts whether the launcher `name`, whose YAML names this callback, can work."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Exit with code 1 if the launcher cannot work."""
        try:
            check_launcher(self.name)
        except VmcError as error:  # Hydra would turn it into a warning
            print_error(error)
            sys.exit(1)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Exit with code 1, because Hydra would silently ignore the launcher."""
        print_error(VmcError(f"hydra/launcher={self.name} serves sweeps; add -m before the overrides, or leave it out"))
        sys.exit(1)


def run_hydra(task: Task, config_name: str) -> None:
    """Compose the config and run the task; errors are printed as one sentence, with exit code 1."""
    job = Job(task)
    if not os.environ.get("VMC_WEIGHTS"):
        os.environ.pop("VMC_WEIGHTS", None)  # an empty one is none, as for `python -m vmc.weights`
    sys.argv[1:] = find_sweep(quote_free_text(sys.argv[1:]))
    # Hydra should raise its errors, in place of printing them with its own advice. Further processes see both.
    asked = os.environ.get(ASKED) or os.environ.get(HYDRA_ERRORS) or "0"
    with environment(**{ASKED: asked, HYDRA_ERRORS: "1"}):
        try:
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last: parameters=null
            print_error(explain_error(error, config_name), cause=error)
            sys.exit(1)
    if job.exit_code:
        sys.exit(job.exit_code)


class Job:
    """A task as Hydra runs it, alone or in a sweep: it returns how the task ended and never raises, which would end the
    sweep.

    A task that was stopped by a signal sets the exit code, so that no script takes it for done. `HYDRA_FULL_ERROR=1`
    shows the traceback of a `VmcError`; that of any other error is always shown.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.exit_code = 0

    def __call__(self, config: DictConfig) -> dict[str, Any]:
        """The state that the task returned, or `failed` with the error as its reason."""
        try:
            check_complete(config)
            state = self.task(config) or {}
            self.exit_code = state.pop("exit_code", 0)
            return state
        except KeyboardInterrupt:
            self.exit_code = 130
            print("interrupted", file=sys.stderr, flush=True)
            return {"status": "stopped", "reason": "signal"}
        except Exception as error:
            self.exit_code = 1
            return {"status": "failed", "reason": print_error(error)}


def print_error(error: BaseException, *, cause: BaseException | None = None) -> str:
    """Print an error as a sentence and return it; defects, and all errors on request, with their traceback."""
    sentence = user_error(error)
    asked = (os.environ.get(ASKED) or os.environ.get(HYDRA_ERRORS, "0")) not in ("", "0")
    if sentence is None or asked or log.isEnabledFor(logging.DEBUG):
        log.error("the run failed", exc_info=cause or error)
    print(f"error: {sentence or error}", file=sys.stderr, flush=True)
    return sentence or f"{type(error).__name__}: {error}".strip(": ")


def user_error(error: BaseException | None) -> str | None:
    """The sentence of the `VmcError` that Hydra wrapped in an error, or of a fault of the disk or its permissions."""
    if found := [str(one) for one in causes(error) if isinstance(one, VmcError)]:
        return found[0]
    if isinstance(error, OSError) and error.errno in DISK_FAULTS:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; make room or give a path that can be read and written, and run it again"
    return None


# --- what is typed is what arrives, whatever characters it holds ------------------------------------------------------


def quote_free_text(arguments: Sequence[str]) -> list[str]:
    """Quote texts, names and paths, whose commas, quotes, parentheses and braces have a meaning in Hydra's grammar.

    `null` and single quoted strings are kept. With `-m`, commas in names and paths separate the choices of a sweep, as
    in all other values; a path with a comma must be quoted there.
    """
    multirun = any(argument in MULTIRUN for argument in arguments)
    return [_quote(argument, multirun=multirun) for argument in arguments]


def _quote(argument: str, *, multirun: bool) -> str:
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if not equals or value in ("null", "") or _is_quoted(value):
        return argument
    if name in FREE_TEXT:
        # OmegaConf reads ${ as an interpolation.
        return f"{key}={_quoted(value.replace('${', chr(92) + '${'))}"
    parsed = _parsed(value) if multirun else None
    if not (name in NAME_KEYS or is_path(name)) or (parsed and parsed.is_sweep_override()):
        return argument
    listed = value.startswith("[") and value.endswith("]")  # `runs` names several, which are no choices
    parts = value.split(",") if multirun and not listed else [value]
    return f"{key}={','.join(_as_text(part, name) for part in parts)}"


def _as_text(value: str, key: str) -> str:
    """A path or a name, quoted if Hydra would read something else.

    A number given for a path is kept and refused later (`./5` is a path), and so is a `_target_` that makes the path,
    or a list of class names.
    """
    plain = re.fullmatch(r"[\w./@-]+", value, re.ASCII) and (is_path(key) or not NUMBER.fullmatch(value))
    listed = key.endswith((".labels", ".answers")) and value.startswith("[") and value.endswith("]")
    made = is_path(key) and (listed or value.startswith("{_target_"))
    return value if plain or made or value in ("null", "???") or _is_quoted(value) else _quoted(value)


def _quoted(value: str) -> str:
    # Hydra reads \" as a quote; a backslash counts only before a quote.
    escaped = value.replace('\\"', '\\\\"').replace('"', '\\"')
    return f'"{escaped}\\"' if escaped.endswith("\\") else f'"{escaped}"'


def _is_quoted(value: str) -> bool:
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "'\"":
        return False
    parsed = _parsed(value)  # a single element, and no choice of several: 'a','b' would be a sweep
    return parsed is not None and parsed.value_type is ValueType.ELEMENT


def _parsed(value: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None
