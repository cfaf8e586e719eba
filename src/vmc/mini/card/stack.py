"""Numbers in the stack's YAML: thresholds and rates are put in place, every other byte stays."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vmc.errors import VmcError
from vmc.files import written_whole

PLACES = {"appearance": ("stop", "appearance"), "copy": ("metrics", "copy_threshold")}
"""Of each threshold, the key of the stack and the key within it."""


def write_thresholds(stack: Path, thresholds: Mapping[str, float]) -> None:
    """Put the thresholds into a stack's file.

    Args:
        stack: the file.
        thresholds: by the names of `PLACES`.

    Raises:
        VmcError: the file does not read, or is written in a way that is not understood.
    """
    write_values(stack, {PLACES[name]: value for name, value in thresholds.items()})


def write_values(stack: Path, values: Mapping[tuple[str, str], float]) -> None:
    """Put numbers into a stack's file.

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
    if _loaded(text) != wanted:
        lines = ", ".join(f"{outer}.{inner}: {value}" for (outer, inner), value in values.items())
        raise VmcError(f"--stack is {stack}, which is not written as expected; put {lines} in by hand")
    with written_whole(stack) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_value(text: str, outer: str, inner: str, value: float) -> str:
    """The YAML with `outer: {inner: value}`: the number replaced where it stands, else a line added at the end."""
    shown = written(value)
    number = rf"(\b{inner}:[ \t]*)[^\s,}}#]+"
    flow = re.compile(rf"^({outer}:[ \t]*\{{[^#\n]*?){number}", re.MULTILINE)
    block = re.compile(rf"^({outer}:[ \t]*(?:#[^\n]*)?\n(?:[ \t]+[^\n]*\n|[ \t]*\n)*?[ \t]+){number}", re.MULTILINE)
    for pattern in (flow, block):
        text, found = pattern.subn(lambda match: f"{match[1]}{match[2]}{shown}", text, count=1)
        if found:
            return text
    opened = re.compile(rf"^({outer}:[ \t]*\{{)(?=[ \t]*[^\s}}])", re.MULTILINE)
    text, found = opened.subn(lambda match: f"{match[1]}{inner}: {shown}, ", text, count=1)
    if found:
        return text
    return f"{text.rstrip()}\n{outer}: {{{inner}: {shown}}}\n"


def written(value: float) -> str:
    """A number as YAML 1.1 reads it: an exponent needs a point before it, and its sign."""
    mantissa, letter, power = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{int(power):+d}" if letter else mantissa


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
