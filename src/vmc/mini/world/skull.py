"""The form of heads, which hair, faces and hats go by."""

from dataclasses import dataclass

from vmc.mini.world.people import Person

CENTER_Y = 0.335
"""Height of the middle of the head."""


@dataclass(frozen=True)
class Skull:
    """Half axes of the head, about (0, CENTRE_Y)."""

    across: float
    up: float

    @property
    def top(self) -> float:
        """y of the crown."""
        return CENTER_Y - self.up


def skull(person: Person) -> Skull:
    """The size of a person's head; children's are rounder and larger beside their shoulders."""
    size = person.traits.head * (0.97 if person.young else 1.0)
    round_face = 1.06 if person.young else 0.97 if person.female else 1.0
    return Skull(0.110 * size * person.traits.face_width * round_face, 0.143 * size * (0.95 if person.young else 1.0))


def eyes(person: Person, head: Skull) -> tuple[float, float]:
    """(distance from the middle, height) of the eyes; children's lie lower."""
    return head.across * 0.44, CENTER_Y - (-0.012 if person.young else 0.008)
