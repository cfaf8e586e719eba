"""YAML that may come from anybody, read as plain values within bounds; and numbers put in place in a YAML file."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, short_reason
from vmc.utils.text_files import shortened

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where it was built; a full sweep has two hundred configs."""
BYTES = 1 << 20
"""Of a file. A run's config has about 4 KiB."""
SCALAR = 10_000
"""Characters of one value; longer ones can take minutes to be read as a number."""
DEPTH = 50


def read_yaml(file: Path, *, remedy: str) -> Any:
    """The content of a YAML file: dicts with text as keys, lists, texts, numbers, truth values and None.

    Args:
        file: of at most 1 MiB, in UTF-8.
        remedy: what to do about a file that does not read, for the message.

    Raises:
        VmcError: it does not read as plain YAML.
    """
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise VmcError(f"{file} is no regular file; {remedy}")
        if about.st_size > BYTES:
            raise VmcError(f"{file} has {about.st_size} bytes, and at most {BYTES} are read; {remedy}")
        return parse_yaml(file.read_text(encoding="utf-8"))
    except VmcError:
        raise
    except PermissionError as error:
        raise VmcError(f"{file} cannot be read ({error.strerror}); correct its permissions") from error
    except (ValueError, OSError) as error:  # a decoding error is a ValueError too
        raise VmcError(f"{file} does not read as a config ({shortened(short_reason(error), 200)}); {remedy}") from error


def parse_yaml(text: str, *, plain: bool = True) -> Any:
    """The content of a YAML text, in the bounds of `read_yaml`.

    Args:
        text: the YAML.
        plain: refuse dates and other values that no config has.

    Raises:
        ValueError: it is no plain YAML, or it exceeds a bound.
    """
    try:
        _check_bounds(text)
        content = yaml.load(text, Loader=SafeLoader)
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(shortened(short_reason(error), 200)) from error
    if plain:
        _check_plain(content)
    return content


def _check_bounds(text: str) -> None:
    """Refuse aliases, which unfold to any size, and what is nested or drawn out without end; nothing is built yet."""
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


PLACES = {"appearance": ("search", "appearance"), "copy": ("metrics", "copy_threshold")}
"""Of each threshold, the key of the stack and the key within it."""


def write_thresholds(stack: Path, thresholds: Mapping[str, float]) -> None:
    """`write_values` of thresholds by the names of `PLACES`."""
    write_values(stack, {PLACES[name]: value for name, value in thresholds.items()})


def write_values(stack: Path, values: Mapping[tuple[str, str], float]) -> None:
    """Put numbers into a stack's file, whose comments stay.

    Args:
        stack: the file.
        values: by the key of the stack and the key within it.

    Raises:
        VmcError: the file does not read, or is written in a way that is not understood.
    """
    try:
        text = stack.read_text(encoding="utf-8")
        wanted = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise VmcError(f"--stack is {stack}, which does not read ({type(error).__name__}); give a YAML file") from error
    for (outer, inner), value in values.items():
        text = with_value(text, outer, inner, value)
        wanted[outer] = {**(wanted.get(outer) or {}), inner: value}
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if found != wanted:
        lines = ", ".join(f"{outer}.{inner}: {value}" for (outer, inner), value in values.items())
        raise VmcError(f"--stack is {stack}, which is not written as expected; put {lines} in by hand")
    with atomic_write(stack) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_value(text: str, outer: str, inner: str, value: float) -> str:
    """The YAML with `outer: {inner: value}`: the number replaced where it stands, else a line added at the end."""
    root, shown = yaml.compose(text, Loader=yaml.SafeLoader), written(value)
    parts = {key.value: node for key, node in root.value} if isinstance(root, yaml.MappingNode) else {}
    part = parts.get(outer)
    items = part.value if isinstance(part, yaml.MappingNode) else []
    if old := {key.value: node for key, node in items}.get(inner):
        return f"{text[: old.start_mark.index]}{shown}{text[old.end_mark.index :]}"
    if part is not None and part.flow_style and items:
        begin = items[0][0].start_mark.index
        return f"{text[:begin]}{inner}: {shown}, {text[begin:]}"
    return f"{text.rstrip()}\n{outer}: {{{inner}: {shown}}}\n"


def written(value: float) -> str:
    """A number as YAML 1.1 reads it: an exponent needs a point before it, and its sign."""
    mantissa, letter, power = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{int(power):+d}" if letter else mantissa
