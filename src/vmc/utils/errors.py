"""The errors that users can correct, and how entry points print them as a sentence instead of a traceback."""

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class VmcError(ValueError):
    """An error that the user can correct: one sentence that names the setting, its value and the remedy."""


class UnwritableError(VmcError):
    """A file or folder cannot be written, because the disk is full or its permissions do not allow it."""


class DamagedError(VmcError):
    """A file is damaged."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it, each once, as two may name one another."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def print_errors(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Decorate an entry point to print a `VmcError` as a sentence and return exit code 2.

    An interruption returns 130, as a shell does.
    """

    @wraps(main)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except VmcError as error:
            print(error, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the same command begins anew or goes on where it can", file=sys.stderr)
            return 130

    return wrapper


def check_positive(options: object, *names: str) -> None:
    """Raise a `VmcError` if one of these options, or an item of one that is a list, is below 1."""
    for name in names:
        given = getattr(options, name, None)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value < 1:
                raise VmcError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
