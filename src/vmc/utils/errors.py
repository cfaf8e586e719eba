"""The one error type that entry points turn into a sentence instead of a traceback."""


class VmcError(ValueError):
    """Something the user can put right: one sentence that names the thing, its value and the remedy."""


class UnwritableError(VmcError):
    """A file or folder cannot be written: the disk is full, or the place may not be written to."""


class DamagedError(VmcError):
    """A file does not hold what was written into it."""


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says, or the error's kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
