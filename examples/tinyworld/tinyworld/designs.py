"""The fixed, unusual designs of the object concepts; no caption of the world describes them."""

from __future__ import annotations

from tinyworld.marks import badge, band, cross, eyes, post, slash, smile, spot, zigzag
from tinyworld.paint import Design, Fill

DESIGNS: dict[str, tuple[str, Design]] = {
    "zigmug": (
        "mug",
        Design(
            Fill("teal"),
            {"rim": Fill("orange"), "handle": Fill("purple")},
            (zigzag("yellow", 0.1),),
        ),
    ),
    "moonmug": (
        "mug",
        Design(
            Fill("navy"),
            {"rim": Fill("lime"), "handle": Fill("coral")},
            (badge("cream", -0.12, 0.12, 0.58),),
        ),
    ),
    "grin": (
        "ball",
        Design(
            Fill("lime"),
            {},
            (
                band("purple", -1.2, -0.5),
                eyes("black", 0, -0.12, 0.36, 0.17),
                smile("coral", 0, 0.25, 0.5),
            ),
        ),
    ),
    "orbit": (
        "ball",
        Design(Fill("wine"), {}, (slash("mint", 0, 0.5), spot("orange", 0, 0, 0.42))),
    ),
    "dice": (
        "cube",
        Design(
            Fill("cream"),
            {"top": Fill("lilac"), "side": Fill("navy")},
            (
                spot("coral", -0.6, -0.15, 0.22),
                spot("teal", -0.22, 0.23, 0.22),
                spot("coral", 0.16, 0.6, 0.22),
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
                band("coral", -1.2, -0.55),
                band("lime", -0.2, 0.1),
                spot("white", 0, 0.38, 0.19),
            ),
        ),
    ),
    "nova": (
        "star",
        Design(Fill("teal"), {}, (spot("orange", 0, 0.08, 0.5), spot("purple", 0, 0.08, 0.26))),
    ),
    "villa": (
        "house",
        Design(
            Fill("mint"),
            {"roof": Fill("wine"), "door": Fill("yellow"), "window": Fill("navy")},
            (band("coral", 0.66, 1.2),),
        ),
    ),
    "haunt": (
        "house",
        Design(
            Fill("purple"),
            {"roof": Fill("black"), "door": Fill("lime"), "window": Fill("orange")},
            (zigzag("lime", 0.0, 0.2, 0.18),),
        ),
    ),
    "clown": (
        "fish",
        Design(
            Fill("coral"),
            {"tail": Fill("lime"), "fin": Fill("purple")},
            (post("white", -0.42, -0.16), post("black", -0.16, -0.04), post("white", 0.14, 0.38)),
        ),
    ),
    "angler": (
        "fish",
        Design(
            Fill("navy"),
            {"tail": Fill("mint"), "fin": Fill("orange"), "eye": Fill("pink")},
            (band("yellow", 0.12, 0.38), spot("mint", -0.1, -0.2, 0.2)),
        ),
    ),
    "lolly": (
        "tree",
        Design(
            Fill("lilac"),
            {"trunk": Fill("teal")},
            (slash("coral", -0.45, 0.36), slash("cream", 0.35, 0.36)),
        ),
    ),
    "berry": (
        "tree",
        Design(
            Fill("lime"),
            {"trunk": Fill("navy")},
            (
                spot("wine", -0.45, 0.05, 0.24),
                spot("purple", 0.05, -0.5, 0.24),
                spot("wine", 0.5, 0.0, 0.24),
            ),
        ),
    ),
    "mittens": (
        "cat",
        Design(
            Fill("teal"),
            {"head": Fill("orange"), "ears": Fill("purple"), "tail": Fill("yellow")},
            (spot("cream", -0.05, 0.6, 0.32),),
        ),
    ),
    "ninja": (
        "cat",
        Design(
            Fill("black"),
            {"tail": Fill("red"), "eye": Fill("lime"), "ears": Fill("grey")},
            (band("coral", -0.55, -0.14, "head"), slash("red", 0.0, 0.3)),
        ),
    ),
    "buggy": (
        "car",
        Design(
            Fill("lilac"),
            {"cabin": Fill("coral"), "window": Fill("cream"), "wheel": Fill("orange")},
            (post("teal", -0.25, 0.15), post("navy", 0.15, 0.35)),
        ),
    ),
}
