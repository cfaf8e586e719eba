"""Safe reading of YAML files of any origin, and replacing numbers in YAML files without losing their comments."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import short_reason, write_text
from vmc.utils.text_files import shortened

# The C loader, where it was built, is ten times as fast; a full sweep has two hundred configs.
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BYTES = 1 << 20  # most bytes of a file; a run's config has about 4 KiB
SCALAR = 10_000  # most characters of a value; longer ones can take minutes to be read as a number
DEPTH = 50  # most levels of nesting


def read_yaml(file: Path, *, remedy: str) -> Any:
    """Read a YAML file of dicts with text as keys, lists, texts, numbers, truth values and None.

    Args:
        file: of at most 1 MiB, in UTF-8.
        remedy: what to do about an invalid file, for the message.
    """
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):  # reading a pipe would wait
            raise VmcError(f"{file} is no regular file; {remedy}")
        if about.st_size > BYTES:
            raise VmcError(f"{file} has {about.st_size} bytes, and at most {BYTES} are read; {remedy}")
        text = file.read_text(encoding="utf-8")
        _check_bounds(text)
        content = yaml.load(text, Loader=SafeLoader)
        _check_plain(content)
        return content
    except VmcError:
        raise
    except PermissionError as error:
        raise VmcError(f"{file} cannot be read ({error.strerror}); correct its permissions") from error
    except (yaml.YAMLError, ValueError, OSError, RecursionError, OverflowError) as error:
        raise VmcError(f"{file} does not read as a config ({shortened(short_reason(error), 200)}); {remedy}") from error


def _check_bounds(text: str) -> None:
    """Refuse aliases, which expand to any size, long values and deep nesting, before any value is constructed."""
    depth, line = 0, 0
    for event in yaml.parse(text, Loader=SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else line
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line} has an alias, *{event.anchor}")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > SCALAR:
            raise ValueError(f"line {line} has a value of {len(event.value)} characters")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"line {line} is nested more than {DEPTH} deep")


def _check_plain(node: Any) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is no text")
            _check_plain(value)
    elif isinstance(node, list):
        for value in node:
            _check_plain(value)
    elif not (node is None or isinstance(node, str | int | float)):  # a date, a set, bytes
        raise ValueError(f"it holds a {type(node).__name__}")


# For each threshold, its outer and inner key in the YAML of a stack.
PLACES = {"appearance": ("search", "appearance"), "copy": ("metrics", "copy_threshold")}


def write_thresholds(stack: Path, thresholds: Mapping[str, float]) -> None:
    """Replace thresholds, by the names of `PLACES`, as `write_values` does."""
    write_values(stack, {PLACES[name]: value for name, value in thresholds.items()})


def write_values(stack: Path, values: Mapping[tuple[str, str], float]) -> None:
    """Replace numbers, by their outer and inner key, in the YAML of a stack, whose comments are kept."""
    try:
        text = stack.read_text(encoding="utf-8")
        for (outer, inner), value in values.items():
            text = with_value(text, outer, inner, value)
    except (OSError, ValueError, yaml.YAMLError) as error:
        lines = ", ".join(f"{outer}.{inner}: {value}" for (outer, inner), value in values.items())
        said = f"--stack is {stack}, into which no number can be put ({first_line(error)}); put {lines} in by hand"
        raise VmcError(said) from error
    write_text(stack, text)


def with_value(text: str, outer: str, inner: str, value: float) -> str:
    """Replace the number of `outer: {inner: ...}` in a YAML; a ValueError where there is none."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for name in (outer, inner):
        parts = {key.value: part for key, part in node.value} if isinstance(node, yaml.MappingNode) else {}
        if (node := parts.get(name)) is None:
            raise ValueError(f"it has no {outer}.{inner}")
    start, end, number = node.start_mark.index, node.end_mark.index, yaml_number(value)
    if gap := re.compile(" +(?=#)").match(text, end):  # the comment after it stays in its column
        number, end = f"{number}  ".ljust(gap.end() - start), gap.end()
    return text[:start] + number + text[end:]


def yaml_number(value: float) -> str:
    """Format a number for YAML 1.1, in which an exponent needs a point before it, and a sign."""
    mantissa, letter, power = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{int(power):+d}" if letter else mantissa
