"""Composing a config and running a task on it, as every Hydra entry point does, with errors told as sentences."""

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
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from vmc.config.checks import check_complete, check_overlays
from vmc.config.folders import config_folder, find_sweep
from vmc.config.free_text import quote_free_text
from vmc.config.schema import schema_of
from vmc.config.sweep import check_launcher
from vmc.utils.errors import VmcError, causes
from vmc.utils.files import DISK_FAULTS
from vmc.utils.processes import environment

log = logging.getLogger(__name__)
# conf/hydra/launcher/joblib.yaml has the name of a schema of its plugin, and is meant to match it. Workers see it too.
warnings.filterwarnings("ignore", message=r"\n'hydra/launcher/joblib' is validated against ConfigStore schema")

Task: TypeAlias = Callable[[DictConfig], dict[str, Any] | None]
"""What an entry point does; a training returns the state of its run folder."""
HYDRA_ERRORS, ASKED = "HYDRA_FULL_ERROR", "VMC_FULL_ERROR"
"""Environment variables: whether Hydra raises its errors, and what the user had said there."""


def explained(error: Exception, command: str) -> VmcError:
    """What composing raised, as one sentence; for a key that is not there, with the nearest one there is."""
    said = " ".join(str(error).partition("Config search path")[0].split())
    if found := re.search(r"Could not override '([^']+)'", said):
        said = schema_of(command).explain(found[1])
    if "Config group override must be a string" in said:
        said = "a group is given as null; name one of its choices (for the base model: +baseline=pretrained)"
    return VmcError(said)


def compose(command: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of a command line: `train`, `generate`, `evaluate` or `report`, and overrides as they are typed, of
    which `hydra.searchpath=[DIR]` names a folder of further YAMLs.
    """
    try:
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            config = hydra.compose(command, overrides=quote_free_text(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last: parameters=null
        raise explained(error, command) from error
    HydraConfig.instance().set_config(config)  # which says where its YAMLs lie
    choices = config.hydra.runtime.choices
    with open_dict(config):
        del config["hydra"]
    check_overlays(config, choices)
    return config


class CheckLauncher(Callback):
    """Named by the YAML of a launcher, `name`: what would keep it from working is said before any job begins."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End with exit code 1 where the launcher cannot work."""
        try:
            check_launcher(self.name)
        except VmcError as error:  # Hydra makes a warning of what a callback raises
            tell(error)
            sys.exit(1)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End with exit code 1: Hydra would leave the launcher out without a word."""
        tell(VmcError(f"hydra/launcher={self.name} serves sweeps; add -m before the overrides, or leave it out"))
        sys.exit(1)


def run_hydra(task: Task, config_name: str) -> None:
    """Compose the config, run the task, and end with exit code 1 and one sentence where it cannot be done."""
    job = Job(task)
    if not os.environ.get("VMC_WEIGHTS"):
        os.environ.pop("VMC_WEIGHTS", None)  # an empty one is none, as for `python -m vmc.weights`
    sys.argv[1:] = find_sweep(quote_free_text(sys.argv[1:]))
    # Hydra raises what does not compose: it would print an advice of its own. Further processes see both.
    asked = os.environ.get(ASKED) or os.environ.get(HYDRA_ERRORS) or "0"
    with environment(**{ASKED: asked, HYDRA_ERRORS: "1"}):
        try:
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last: parameters=null
            tell(explained(error, config_name), cause=error)
            sys.exit(1)
    if job.exit_code:
        sys.exit(job.exit_code)


class Job:
    """A task as Hydra runs it, alone or in a sweep: it returns how the task ended, and never raises what failed, which
    would end the sweep that it is part of.

    A task that a signal stopped names the exit code, so that no script takes it for done. `HYDRA_FULL_ERROR=1` shows
    the traceback of an error; that of a defect, which is no `VmcError`, is always shown.
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
            return {"status": "failed", "reason": tell(error)}


def tell(error: BaseException, *, cause: BaseException | None = None) -> str:
    """Print an error as a sentence, a defect and what is asked for with its traceback; the sentence."""
    sentence = user_error(error)
    asked = (os.environ.get(ASKED) or os.environ.get(HYDRA_ERRORS, "0")) not in ("", "0")
    if sentence is None or asked or log.isEnabledFor(logging.DEBUG):
        log.error("the run failed", exc_info=cause or error)
    print(f"error: {sentence or error}", file=sys.stderr, flush=True)
    return sentence or f"{type(error).__name__}: {error}".strip(": ")


def user_error(error: BaseException | None) -> str | None:
    """The sentence of the `VmcError` behind an error, which Hydra wraps, or of what the system refuses: no permission,
    a full disk.
    """
    if found := [str(one) for one in causes(error) if isinstance(one, VmcError)]:
        return found[0]
    if isinstance(error, OSError) and error.errno in DISK_FAULTS:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; make room or give a path that can be read and written, and run it again"
    return None
