"""Where the configs and the sweeps lie, and how a sweep is found by its name."""

from collections.abc import Sequence
from pathlib import Path


def config_folder() -> Path:
    """The configs: inside the package when it is installed, beside `src` in a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def sweeps_folder() -> Path:
    """The sweeps that ship, beside the configs."""
    return config_folder().parent / "sweeps"


def find_sweep(arguments: Sequence[str]) -> list[str]:
    """Where the arguments name a sweep that ships (`--config-name ablations`), tell Hydra its folder too.

    `-m` comes first: Hydra's parser takes no option that stands between overrides.
    """
    multirun = [text for text in arguments if text in MULTIRUN]
    others = [text for text in arguments if text not in multirun]
    name = _option(others, "--config-name", "-cn")
    if name and _option(others, "--config-dir", "-cd") is None and (sweeps_folder() / f"{name}.yaml").is_file():
        others = ["--config-dir", str(sweeps_folder()), *others]
    return [*multirun, *others]


MULTIRUN = ("-m", "--multirun")


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of a command-line option, `--name value` or `--name=value`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):  # none has none after it
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else following
    return None
