"""What the pictures and captions of the miniature depend on, as one hash."""

import hashlib
from pathlib import Path

SOURCES = (
    "activities",
    "arms",
    "body",
    "captions",
    "clothes",
    "costume_hats",
    "face",
    "gestures",
    "hair",
    "hand_paint",
    "hands",
    "hats",
    "head",
    "headwear",
    "motion",
    "pen",
    "people",
    "phrases",
    "places",
    "poses",
    "renderer",
    "skull",
    "specs",
    "test_set",
    "uniforms",
    "vocabulary",
)
"""Modules that decide pictures, captions or the test set."""


def renderer_hash(*more: str) -> str:
    """SHA-256 of the source bytes of `SOURCES`, and of the modules of this package named in `more`."""
    digest = hashlib.sha256()
    for name in (*SOURCES, *more):
        digest.update(f"{name}\x1f".encode())
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()
