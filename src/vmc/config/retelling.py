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
        if choices := schema.choices(key):
            said = f"belongs to {' or '.join(choices)}, which is not chosen; choose it, or leave the key out"
        elif schema.knows(key):
            said = f"stands in no file that is chosen; +{key}=... adds it"
        else:
            said = f"is unknown; {schema.advice(key)}"
        told = VmcError(f"{key} {said}")
    if "Config group override must be a string" in str(told):
        told = VmcError("a group is given as null; name one of its choices (for the base model: +baseline=pretrained)")
    told.__cause__ = error
    return told
