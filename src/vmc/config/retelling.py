"""Hydra's own errors, told as this project tells its own."""

import re

from vmc.config.schema import schema_of
from vmc.errors import VmcError


def retold(error: Exception, command: str) -> VmcError:
    """The error as one sentence; for a key that is not there, the nearest one in place of Hydra's advice to add it.

    Args:
        error: what composing raised.
        command: train, generate, evaluate or report.
    """
    said, *_ = str(error).partition("Config search path")
    told = VmcError(" ".join(said.split()))
    if found := re.search(r"Could not override '([^']+)'", str(told)):
        key, schema = found[1], schema_of(command)
        said = "belongs to another choice than this one; +{0}=... adds it" if schema.knows(key) else "is unknown; {1}"
        told = VmcError(f"{key} {said.format(key, schema.advice(key))}")
    told.__cause__ = error
    return told
