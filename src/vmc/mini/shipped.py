"""Files of the miniature's networks that ship with the package."""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("weights")


def shipped(name: str) -> Path:
    """Where a network lies, or would lie, for configs: pipeline, classifier.pth.tar, appearance or
    copying.torchscript.pt.
    """
    return WEIGHTS / name
