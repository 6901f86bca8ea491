"""The order in which concepts join a fusion: the first 2, 4, 8, 14 or all 19 are fused together."""

SIZES = (2, 4, 8, 14, 19)
# Drawn once by hand so that every size has objects of many classes, and places from 8 on.
ORDER = (
    "zigmug", "mittens",
    "gift", "clown",
    "grin", "villa", "aurora", "lolly",
    "moonmug", "rocket", "orbit", "ninja", "candyland", "buggy",
    "dice", "haunt", "angler", "nova", "berry",
)  # fmt: skip


def sizes_of(concepts: int) -> tuple[int, ...]:
    """The sizes that so many concepts allow."""
    return tuple(size for size in SIZES if size <= concepts)
