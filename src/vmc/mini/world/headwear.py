"""All headwear by its name: functions of pen, colour, half the head's width and the crown's height."""

from collections.abc import Callable

from vmc.mini.world import costume_hats, hats
from vmc.mini.world.pen import Pen, Rgb

HEADWEAR: dict[str, Callable[[Pen, Rgb, float, float], None]] = {
    "hat": hats.hat,
    "cap": hats.cap,
    "beanie": hats.beanie,
    "headband": hats.headband,
    "fire helmet": hats.fire_helmet,
    "hard hat": hats.hard_hat,
    "toque": hats.toque,
    "peaked cap": hats.peaked_cap,
    "nurse cap": hats.nurse_cap,
    "surgical cap": hats.surgical_cap,
    "army helmet": hats.army_helmet,
    "sailor cap": hats.sailor_cap,
    "space helmet": costume_hats.space_helmet,
    "crown": costume_hats.crown,
    "knight helmet": costume_hats.knight_helmet,
    "clown wig": costume_hats.clown_wig,
    "straw hat": hats.straw_hat,
    "cowboy hat": hats.cowboy_hat,
    "wizard hat": costume_hats.wizard_hat,
    "santa hat": costume_hats.santa_hat,
    "pirate hat": costume_hats.pirate_hat,
    "ninja hood": costume_hats.ninja_hood,
    "veil": costume_hats.veil,
    "judge wig": costume_hats.judge_wig,
    "robot head": costume_hats.robot_head,
    "alien head": costume_hats.alien_head,
    "top hat": costume_hats.top_hat,
    "beret": hats.beret,
    "boxing helmet": hats.boxing_helmet,
    "mortarboard": hats.mortarboard,
    "football helmet": hats.football_helmet,
    "bee hat": hats.bee_hat,
    "bald head": costume_hats.bald_head,
}

HIDES_HAIR = (
    "surgical cap", "space helmet", "knight helmet", "clown wig", "ninja hood", "veil", "judge wig", "robot head",
    "alien head", "bald head", "boxing helmet", "football helmet", "army helmet",
)  # fmt: skip
"""Headwear under which no hair shows."""
