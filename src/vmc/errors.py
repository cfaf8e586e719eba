"""The one error type that entry points turn into a sentence instead of a traceback."""


class VmcError(ValueError):
    """Something the user can put right: one sentence that names the thing, its value and the remedy."""
