"""The card on disk, and whether it is of the weights beside it and of this renderer."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vmc.mini.card.bars import BARS
from vmc.mini.shipped import WEIGHTS
from vmc.mini.world.hashing import renderer_hash
from vmc.utils.errors import VmcError

CARD, PAGE, TRAININGS = "card.json", "README.md", "trainings.json"
COMMAND = "python -m vmc.mini card"
_NO_WEIGHTS = (CARD, PAGE, TRAININGS)


def read_card(folder: Path = WEIGHTS) -> dict[str, Any]:
    """The card of a folder of weights.

    Raises:
        VmcError: it is missing, does not read, or lacks a figure.
    """
    file = folder / CARD
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VmcError(f"{file} does not exist; `{COMMAND}` measures the weights and writes it") from None
    except (OSError, ValueError) as error:
        raise VmcError(f"{file} does not read ({type(error).__name__}); `{COMMAND}` writes it anew") from error
    known = card if isinstance(card, dict) else {}
    for name in (*BARS, "thresholds", "hashes"):
        if not isinstance(known.get(name), dict):
            raise VmcError(f"{file} has no {name}; `{COMMAND}` writes it anew")
    return known


def check_card(folder: Path = WEIGHTS) -> dict[str, Any]:
    """The card, which belongs to the weights beside it and to this renderer.

    Raises:
        VmcError: see `read_card`; or the card is older than a weight file or than the renderer.
    """
    card = read_card(folder)
    stored, found = card["hashes"], hashes(folder)
    if stored.get("renderer") != found["renderer"]:
        raise VmcError(f"{folder / CARD} was measured with another renderer; `{COMMAND}` measures it anew")
    known, there = stored.get("files") or {}, found["files"]
    if different := sorted(name for name in known.keys() | there.keys() if known.get(name) != there.get(name)):
        others = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise VmcError(
            f"{folder / CARD} was measured with another {different[0]}{others};"
            f" `{COMMAND}` measures the weights that are there"
        )
    return card


def hashes(folder: Path) -> dict[str, Any]:
    """SHA-256 of the renderer, and of every weight file by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name[0] != ".")
    return {
        "renderer": renderer_hash(),
        "files": {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.relative_to(folder).as_posix() not in _NO_WEIGHTS
        },
    }
