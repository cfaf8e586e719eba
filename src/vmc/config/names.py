"""Names that become names of folders, and what configs compute: `${around:...}` and `${name_of_clips:}`."""

import re
import unicodedata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vmc.errors import VmcError

LONGEST = 100  # bytes of a name; a file system takes 255, and temporary names are longer
SPACING = 2.0
"""Factor between neighbours in a search for rates."""


def check_name(key: str, name: Any) -> None:
    """Refuse a name that would not be the name of one folder.

    Args:
        key: the setting that it comes from.
        name: as it was given.

    Raises:
        VmcError: with the nearest name that is one.
    """
    text = str(name)
    if not text or text != safe_name(text, keep="@=+~,() '&!#$%;[]{}"):
        offered = safe_name(text) or "another"
        raise VmcError(f"{key} is {text[:LONGEST]!r}, which cannot name a folder; write {key}={offered}")


def safe_name(text: str, *, keep: str = "@") -> str:
    """The text as the name of one folder: letters, digits, `._-` and the characters to keep; empty where none is left.

    Args:
        text: any.
        keep: further characters that stay.
    """
    known = unicodedata.normalize("NFC", text)
    name = re.sub(rf"[^\w.\-{re.escape(keep)}]+", "_", known).lstrip("._ ").rstrip(". ")
    while len(name.encode()) > LONGEST:
        name = name[:-1]
    return name


def around(rate: float) -> str:
    """The values of a sweep over a rate, in configs `${around:${rates.method}}`: one below it, it, one above it."""
    return ",".join(f"{value:.2g}" for value in (rate / SPACING, rate, rate * SPACING))


def name_of_clips(*, _root_: DictConfig) -> str:
    """What a motion is called that nobody has named: as its folder of clips, or its class in a data set of many."""

    def said(key: str) -> str:
        value = OmegaConf.select(_root_, key, throw_on_missing=False)
        return value if isinstance(value, str) and value != "???" else ""

    if said("data.source._target_").endswith(".Jester") or not said("data.path"):
        return safe_name(said("motion.label")).lower() or "custom"
    place = Path(said("data.path")).absolute()
    return safe_name(place.stem if 1 < len(place.suffix) <= 5 else place.name) or "custom"


OmegaConf.register_new_resolver("around", around, replace=True)
OmegaConf.register_new_resolver("name_of_clips", name_of_clips, replace=True)
