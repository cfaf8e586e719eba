"""The gestures that the base model draws, as prompts: what it may forget while it learns another."""

from vmc.mini.world.gestures import KNOWN, PHRASES


def known_prompts() -> dict[str, str]:
    """Class -> prompt in natural language with `{subject}`, for configs."""
    return {gesture: f"{{subject}} {PHRASES[gesture]}" for gesture in KNOWN}
