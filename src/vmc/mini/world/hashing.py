"""What the pictures and captions of the miniature depend on, as one hash."""

import ast
import hashlib
from functools import cache
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


@cache
def renderer_hash(*more: str) -> str:
    """SHA-256 of the code of `SOURCES`, and of the modules of this package named in `more`.

    Imports, docstrings, comments and blank lines are left out: they change no picture.
    """
    digest = hashlib.sha256()
    for name in (*SOURCES, *more):
        digest.update(f"{name}\x1f".encode())
        for line in _code(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")):
            digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _code(source: str) -> list[str]:
    left_out = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return [line for number, line in lines if number not in left_out and line.split("#")[0].strip()]
