"""Torsos: everything from the neck down, but the arms."""

from collections.abc import Callable

from vmc.mini.world import clothes, uniforms
from vmc.mini.world.pen import Pen, Rgb, shade
from vmc.mini.world.people import Person
from vmc.mini.world.vocabulary import COLORS


def draw_body(pen: Pen, person: Person) -> None:
    """Torso with its clothes, then the neck's front and what hangs round it."""
    outfit = person.outfit
    color = person.clothes_rgb
    width = clothes.torso_width(person)
    pen.polygon(clothes.outline(width), color, shade(color, 0.55), clothes.LINE)
    neck = shade(person.skin_rgb, 0.88)
    pen.box(-0.052, 0.42, 0.052, 0.575, neck, 0.02)
    pen.cap(0.0, 0.56, 0.078, 0.04, 0, 180, neck)
    drawing = _CLOTHES.get(outfit.clothes)
    if drawing is not None:
        drawing(pen, color, width, person)
    for extra in outfit.extras:
        if extra in _EXTRAS:
            _EXTRAS[extra](pen, color, width, person)
    for accessory in person.accessories:
        name = accessory.split(" ", 1)[-1]
        if name in _ROUND_NECK:
            _ROUND_NECK[name](pen, COLORS[accessory.split(" ", 1)[0]])


_CLOTHES: dict[str, Callable[[Pen, Rgb, float, Person], None]] = {
    "t-shirt": clothes.neckline,
    "sweater": clothes.neckline,
    "shirt": clothes.shirt,
    "hoodie": clothes.hoodie,
    "jacket": clothes.jacket,
    "suit": clothes.suit,
    "dress": clothes.dress,
    "tank top": clothes.tank_top,
    "overalls": clothes.overalls,
    "striped sweater": clothes.pattern("stripes"),
    "polka dot shirt": clothes.pattern("dots"),
    "checked shirt": clothes.pattern("checks"),
    "uniform": uniforms.uniform,
    "chef jacket": uniforms.chef,
    "coat": uniforms.coat,
    "scrubs": uniforms.scrubs,
    "camouflage": uniforms.camouflage,
    "sailor suit": uniforms.sailor,
    "space suit": uniforms.space_suit,
    "wetsuit": uniforms.wetsuit,
    "ermine": uniforms.ermine,
    "armour": uniforms.armour,
    "clown suit": uniforms.clown,
    "safety vest": uniforms.safety_vest,
    "waistcoat": uniforms.waistcoat,
    "robe": uniforms.robe,
    "striped shirt": uniforms.striped,
    "hero suit": uniforms.hero,
    "santa coat": uniforms.santa,
    "torn shirt": uniforms.torn,
    "robot body": uniforms.robot,
    "smock": uniforms.smock,
    "jersey": uniforms.jersey,
}
_EXTRAS: dict[str, Callable[[Pen, Rgb, float, Person], None]] = {
    "stethoscope": uniforms.stethoscope,
    "yellow stripes": uniforms.stripes_yellow,
    "badge": uniforms.badge,
    "tie": uniforms.tie,
    "epaulettes": uniforms.epaulettes,
    "red neckerchief": uniforms.neckerchief,
    "jabot": uniforms.jabot,
    "vampire collar": uniforms.high_collar,
    "red bow": uniforms.red_bow,
    "yellow stole": uniforms.stole,
}
_ROUND_NECK: dict[str, Callable[[Pen, Rgb], None]] = {"scarf": clothes.scarf, "bow tie": clothes.bow}
