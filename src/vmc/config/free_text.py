"""Text and paths on the command line: what is typed is what arrives, whatever characters it holds."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from vmc.config.folders import MULTIRUN

FREE_TEXT = (
    *("prompt", "motion.caption", "motion.label", "motion.language", "motion.prompt", "subject.caption", "token.word"),
    *("token.further.subject.word", "figure3.subject", "choice.motion", "choice.text"),
)
"""Keys whose value is text and nothing else."""
PATHS = (
    *("output", "init", "run", "runs", "videos", "cache", "export", "data.path", "data.source.regularization_path"),
    *("model.path", "prompts.file", "regularization.path", "regularization.csv", "subject.path", "choice.key"),
    *("metrics.*.path", "metrics.classifier.labels"),
)
"""Keys whose value is a path. `~` is the home folder, and `${key}` refers to another key."""
NAMES = ("arm", "motion.name", "logger.name", "logger.project", "logger.group")
"""Keys whose value is a name: as paths, but for `~`."""
NUMBER = re.compile(r"true|false|[-+]?(inf|nan|[\d_.]+(e[-+]?\d+)?)", re.IGNORECASE)


def is_path(key: str) -> bool:
    """Whether the value of a dotted key is a path."""
    return any(fnmatchcase(key, pattern) for pattern in PATHS)


def quote_free_text(arguments: Sequence[str]) -> list[str]:
    """Quote the values of texts, names and paths, so that commas, quotes, parentheses and braces are only text.

    Hydra's grammar gives those characters a meaning. `null` and a value that is already one quoted string stay. With
    `-m`, the commas of names and paths part the choices of a sweep, as those of every other key do; a path that holds
    a comma is quoted there.
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
    if not (name in NAMES or is_path(name)) or (parsed and parsed.is_sweep_override()):
        return argument
    listed = value.startswith("[") and value.endswith("]")  # `runs` names several, which are no choices
    parts = value.split(",") if multirun and not listed else [value]
    return f"{key}={','.join(_as_text(part, name) for part in parts)}"


def _as_text(value: str, key: str) -> str:
    """A path or a name, in quotes where Hydra would read another thing.

    A number stays one where a path is asked for, and is refused later: `./5` is a path. So does what stands for a
    class that makes the path, or for a list of the names of classes.
    """
    plain = re.fullmatch(r"[\w./@-]+", value, re.ASCII) and (is_path(key) or not NUMBER.fullmatch(value))
    listed = key.endswith(".labels") and value.startswith("[") and value.endswith("]")
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
