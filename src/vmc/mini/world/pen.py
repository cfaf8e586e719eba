"""Drawing in a person's or a scene's own units instead of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import ImageDraw

Rgb: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Pen:
    """Draws on a picture whose pixel (left + pixels * x, top + pixels * y) is the point (x, y)."""

    draw: ImageDraw.ImageDraw
    pixels: float
    left: float
    top: float

    def at(self, x: float, y: float) -> Point:
        """A point in pixels."""
        return self.left + self.pixels * x, self.top + self.pixels * y

    def polygon(self, points: Sequence[Point], fill: Rgb, line: Rgb | None = None, width: float = 0.0) -> None:
        """A filled polygon, with a line of `width` units round it."""
        placed = [self.at(x, y) for x, y in points]
        self.draw.polygon(placed, fill=fill)
        if line is not None:
            thick = max(round(width * self.pixels), 1)
            self.draw.line([*placed, placed[0], placed[1]], fill=line, width=thick, joint="curve")

    def oval(
        self,
        x: float,
        y: float,
        across: float,
        up: float,
        fill: Rgb | None,
        line: Rgb | None = None,
        width: float = 0.0,
    ) -> None:
        """An ellipse about (x, y) with the half axes `across` and `up`."""
        (x0, y0), (x1, y1) = self.at(x - across, y - up), self.at(x + across, y + up)
        if line is None:
            self.draw.ellipse((x0, y0, x1, y1), fill=fill)
        else:
            self.draw.ellipse((x0, y0, x1, y1), fill=fill, outline=line, width=max(round(width * self.pixels), 1))

    def arc(
        self, x: float, y: float, across: float, up: float, start: float, end: float, line: Rgb, width: float
    ) -> None:
        """A part of an ellipse's line, angles in degrees clockwise from the right."""
        box = (*self.at(x - across, y - up), *self.at(x + across, y + up))
        self.draw.arc(box, start, end, fill=line, width=max(round(width * self.pixels), 1))

    def cap(self, x: float, y: float, across: float, up: float, start: float, end: float, fill: Rgb) -> None:
        """An ellipse cut off by the chord between two angles."""
        self.draw.chord((*self.at(x - across, y - up), *self.at(x + across, y + up)), start, end, fill=fill)

    def line(self, points: Sequence[Point], fill: Rgb, width: float) -> None:
        """A stroke through points."""
        thick = max(round(width * self.pixels), 1)
        self.draw.line([self.at(x, y) for x, y in points], fill=fill, width=thick, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, radius: float = 0.0) -> None:
        """A rectangle, its corners rounded by `radius`."""
        corners = (*self.at(x0, y0), *self.at(x1, y1))
        if radius:
            self.draw.rounded_rectangle(corners, radius * self.pixels, fill=fill)
        else:
            self.draw.rectangle(corners, fill=fill)


def shade(color: Rgb, factor: float) -> Rgb:
    """The colour made darker (factor < 1) or lighter (factor > 1, towards white)."""
    if factor <= 1:
        return int(color[0] * factor), int(color[1] * factor), int(color[2] * factor)
    part = factor - 1
    red, green, blue = (int(value + (255 - value) * part) for value in color)
    return red, green, blue


def mix(first: Rgb, second: Rgb, part: float) -> Rgb:
    """`part` of the second colour, the rest of the first."""
    red, green, blue = (int(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
