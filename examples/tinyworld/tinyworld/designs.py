"""The fixed, unusual designs of the object concepts; no caption of the world describes them.

Their colours are those that the base model's autoencoder can show: the unnamed ones it only met
in `fancy` objects come out as their nearest named neighbours.
"""

from __future__ import annotations

from tinyworld.marks import badge, band, cross, eyes, post, slash, smile, spot, zigzag
from tinyworld.paint import Design, Fill

DESIGNS: dict[str, tuple[str, Design]] = {
    "zigmug": (
        "mug",
        Design(
            Fill("blue"),
            {"rim": Fill("orange"), "handle": Fill("purple")},
            (zigzag("yellow", 0.1),),
        ),
    ),
    "moonmug": (
        "mug",
        Design(
            Fill("navy"),
            {"rim": Fill("green"), "handle": Fill("red")},
            (badge("white", -0.12, 0.12, 0.58),),
        ),
    ),
    "grin": (
        "ball",
        Design(
            Fill("yellow"),
            {},
            (
                band("purple", -1.2, -0.5),
                eyes("black", 0, -0.12, 0.36, 0.17),
                smile("red", 0, 0.25, 0.5),
            ),
        ),
    ),
    "orbit": (
        "ball",
        Design(Fill("brown"), {}, (slash("white", 0, 0.5), spot("orange", 0, 0, 0.42))),
    ),
    "dice": (
        "cube",
        Design(
            Fill("white"),
            {"top": Fill("pink"), "side": Fill("navy")},
            (
                spot("red", -0.6, -0.15, 0.22),
                spot("blue", -0.22, 0.23, 0.22),
                spot("red", 0.16, 0.6, 0.22),
            ),
        ),
    ),
    "gift": (
        "cube",
        Design(
            Fill("pink"),
            {"top": Fill("yellow"), "side": Fill("purple")},
            (cross("green", -0.22, 0.22, 0.75),),
        ),
    ),
    "rocket": (
        "cone",
        Design(
            Fill("navy"),
            {"foot": Fill("orange")},
            (
                band("red", -1.2, -0.55),
                band("yellow", -0.2, 0.1),
                spot("white", 0, 0.38, 0.19),
            ),
        ),
    ),
    "nova": (
        "star",
        Design(Fill("blue"), {}, (spot("orange", 0, 0.08, 0.5), spot("purple", 0, 0.08, 0.26))),
    ),
    "villa": (
        "house",
        Design(
            Fill("white"),
            {"roof": Fill("red"), "door": Fill("yellow"), "window": Fill("navy")},
            (band("orange", 0.66, 1.2),),
        ),
    ),
    "haunt": (
        "house",
        Design(
            Fill("purple"),
            {"roof": Fill("black"), "door": Fill("green"), "window": Fill("orange")},
            (zigzag("yellow", 0.0, 0.2, 0.18),),
        ),
    ),
    "clown": (
        "fish",
        Design(
            Fill("orange"),
            {"tail": Fill("green"), "fin": Fill("purple")},
            (post("white", -0.42, -0.16), post("black", -0.16, -0.04), post("white", 0.14, 0.38)),
        ),
    ),
    "angler": (
        "fish",
        Design(
            Fill("navy"),
            {"tail": Fill("white"), "fin": Fill("orange"), "eye": Fill("pink")},
            (band("yellow", 0.12, 0.38), spot("white", -0.1, -0.2, 0.2)),
        ),
    ),
    "lolly": (
        "tree",
        Design(
            Fill("pink"),
            {"trunk": Fill("blue")},
            (slash("red", -0.45, 0.36), slash("white", 0.35, 0.36)),
        ),
    ),
    "berry": (
        "tree",
        Design(
            Fill("yellow"),
            {"trunk": Fill("navy")},
            (
                spot("red", -0.45, 0.05, 0.24),
                spot("purple", 0.05, -0.5, 0.24),
                spot("red", 0.5, 0.0, 0.24),
            ),
        ),
    ),
    "mittens": (
        "cat",
        Design(
            Fill("blue"),
            {"head": Fill("orange"), "ears": Fill("purple"), "tail": Fill("yellow")},
            (spot("white", -0.05, 0.6, 0.32),),
        ),
    ),
    "ninja": (
        "cat",
        Design(
            Fill("black"),
            {"tail": Fill("red"), "eye": Fill("yellow"), "ears": Fill("purple")},
            (band("orange", -0.55, -0.14, "head"), slash("red", 0.0, 0.3)),
        ),
    ),
    "buggy": (
        "car",
        Design(
            Fill("pink"),
            {"cabin": Fill("red"), "window": Fill("white"), "wheel": Fill("orange")},
            (post("blue", -0.25, 0.15), post("navy", 0.15, 0.35)),
        ),
    ),
}
