"""What the Hydra entry points share: finding the configs, free text on the command line, errors as sentences."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from vmc.errors import VmcError
from vmc.launchers import check_launcher

log = logging.getLogger(__name__)
# conf/hydra/launcher/joblib.yaml has the name of a schema of its plugin, and is meant to match it. Workers see it too.
warnings.filterwarnings("ignore", message=r"\n'hydra/launcher/joblib' is validated against ConfigStore schema")

Task: TypeAlias = Callable[[DictConfig], dict[str, Any] | None]
"""What an entry point does; a training returns the state of its run folder."""
FREE_TEXT = (
    *("prompt", "motion.caption", "motion.language", "motion.prompt", "subject.caption", "token.word"),
    "figure3.subject",
)

HOW = {
    "data.path": "data.path=FOLDER, of Jester (`python -m vmc.prepare jester FOLDER` verifies it) or, with data=videos,"
    " of your own clips"
}
"""What is given for a key that has no default, where its name does not say it."""
SPACING = 2.0
"""Factor between neighbours in a search for rates."""


def around(rate: float) -> str:
    """The values of a sweep over a rate, in configs `${around:${rates.method}}`: one below it, it, one above it."""
    return ",".join(f"{value:.2g}" for value in (rate / SPACING, rate, rate * SPACING))


OmegaConf.register_new_resolver("around", around, replace=True)


def config_folder() -> Path:
    """The configs: inside the package when it is installed, beside `src` in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def sweeps_folder() -> Path:
    """The sweeps that ship, beside the configs."""
    return config_folder().parent / "sweeps"


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


def check_overlays(config: DictConfig, chosen: Mapping[str, Any]) -> None:
    """Refuse an unknown overlay, and two together, which would compose silently, the last one winning.

    Args:
        config: the run's.
        chosen: Hydra's choice of each group.
    """
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
        raise VmcError(f"{name} is not set and has no default; give {HOW.get(name, f'{name}=...')}")


class CheckLauncher(Callback):
    """Named by the YAML of a launcher: what would keep it from working is said before any job begins.

    Args:
        name: the choice of hydra/launcher.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End with exit code 1 where the launcher cannot work."""
        try:
            check_launcher(self.name)
        except VmcError as error:
            _exit(error)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End with exit code 1: Hydra would leave the launcher out without a word."""
        _exit(VmcError(f"hydra/launcher={self.name} serves sweeps; add -m before the overrides, or leave it out"))


def _exit(error: VmcError) -> None:
    # Not the exception: Hydra makes a warning of what a callback raises.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


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


def run_hydra(task: Task, config_name: str) -> None:
    """Compose the config, run the task, and end with exit code 1 and one sentence where it cannot be done."""
    job = Job(task)
    if not os.environ.get("VMC_WEIGHTS"):
        os.environ.pop("VMC_WEIGHTS", None)  # an empty one is none, as for `python -m vmc.weights`
    sys.argv[1:] = find_sweep(quote_free_text(sys.argv[1:]))
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()
    if job.exit_code:
        sys.exit(job.exit_code)


def find_sweep(arguments: Sequence[str]) -> list[str]:
    """Where the arguments name a sweep that ships (`--config-name ablations`), tell Hydra its folder too.

    `-m` comes first: Hydra's parser takes no option that stands between overrides.
    """
    multirun = [text for text in arguments if text in ("-m", "--multirun")]
    others = [text for text in arguments if text not in multirun]
    name = _option(others, "--config-name", "-cn")
    if name and _option(others, "--config-dir", "-cd") is None and (sweeps_folder() / f"{name}.yaml").is_file():
        others = ["--config-dir", str(sweeps_folder()), *others]
    return [*multirun, *others]


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of a command-line option, `--name value` or `--name=value`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):  # none has none after it
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else following
    return None


class Job:
    """A task as Hydra runs it, alone or in a sweep: it returns how the task ended, and never raises what failed.

    A task that a signal stopped names the exit code, so that no script takes it for done.

    `HYDRA_FULL_ERROR=1` shows the traceback of an error. An error that is no `VmcError` is a defect: its traceback
    is always shown. An exception that left a job would end the sweep that it is part of.
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


def tell(error: BaseException) -> str:
    """Print an error as a sentence, a defect and what is asked for with its traceback; the sentence."""
    sentence = user_error(error)
    if sentence is None or log.isEnabledFor(logging.DEBUG) or _full_error():
        log.error("the run failed", exc_info=error)
    print(f"error: {sentence or error}", file=sys.stderr, flush=True)
    return sentence or f"{type(error).__name__}: {error}".strip(": ")


def user_error(error: BaseException | None) -> str | None:
    """The sentence of the `VmcError` behind an error; Hydra wraps what a constructor raises."""
    while error is not None:
        if isinstance(error, VmcError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _full_error() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
