"""Colours that captions can name, a few that they cannot, and the fixed ones of parts."""

from __future__ import annotations

Colour = tuple[int, int, int]

NAMED: dict[str, Colour] = {
    "red": (222, 50, 48),
    "orange": (247, 146, 40),
    "yellow": (250, 218, 60),
    "green": (48, 152, 72),
    "blue": (46, 92, 210),
    "purple": (138, 68, 190),
    "pink": (248, 142, 188),
    "white": (246, 246, 244),
    "brown": (138, 86, 50),
}
UNNAMED: dict[str, Colour] = {
    "teal": (24, 168, 166),
    "lime": (172, 226, 52),
    "navy": (30, 40, 104),
    "coral": (255, 118, 100),
    "lilac": (200, 172, 244),
    "mint": (164, 236, 200),
    "wine": (122, 24, 60),
    "cream": (252, 238, 200),
    "grey": (132, 136, 146),
}
DARK: Colour = (38, 34, 46)
WHITE: Colour = NAMED["white"]
WOOD: Colour = (112, 70, 42)
GLASS: Colour = (176, 226, 246)

COLOURS: dict[str, Colour] = {**NAMED, **UNNAMED, "black": DARK}


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above (towards white)."""
    if factor <= 1:
        return _clip(tuple(c * factor for c in colour))
    return _clip(tuple(c + (255 - c) * (factor - 1) for c in colour))


def partner(colour: Colour) -> Colour:
    """The second colour of a pattern: white, or dark grey on light colours."""
    luma = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return (88, 88, 100) if luma > 185 else WHITE


def _clip(values: tuple[float, ...]) -> Colour:
    r, g, b = (max(0, min(255, round(v))) for v in values)
    return r, g, b
