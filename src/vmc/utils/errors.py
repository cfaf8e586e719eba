"""The one error type, and how entry points turn it into a sentence instead of a traceback."""

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class VmcError(ValueError):
    """Something the user can put right: one sentence that names the thing, its value and the remedy."""


class UnwritableError(VmcError):
    """A file or folder cannot be written: the disk is full, or the place may not be written to."""


class DamagedError(VmcError):
    """A file does not hold what was written into it."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it, which libraries wrap; each once, as two may name one another."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says, or the error's kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def told(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """An entry point that prints a `VmcError` as its sentence and gives 2, the exit status for what the user can put
    right; interrupted it gives 130, as a shell does.
    """

    @wraps(main)
    def telling(*words: Arguments.args, **named: Arguments.kwargs) -> int:
        try:
            return main(*words, **named)
        except VmcError as error:
            print(error, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the same command begins anew or goes on where it can", file=sys.stderr)
            return 130

    return telling


def check_positive(options: object, *names: str) -> None:
    """Raise a `VmcError` where a number that these options give, or one of a list of them, is below 1."""
    for name in names:
        given = getattr(options, name, None)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value < 1:
                raise VmcError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
