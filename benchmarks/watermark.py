"""What the watermark survives: varied pictures, marked, changed as the internet changes them, read.

python benchmarks/watermark.py                       200 pictures, and 1,000 without a mark
python benchmarks/watermark.py --photographs DIR     with photographs of your own among them
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measuring import table, write_json
from mos_diffusion.watermark import embed, read, read_sheet
from PIL import Image
from PIL.Image import Resampling
from varied_pictures import kind_of, varied_picture

Change = Callable[[Image.Image], Image.Image]
SIZE = (512, 512)
OTHER_SIZES = ((768, 512), (512, 768), (1024, 1024))
# Pictures without a mark are others than those that are marked.
UNMARKED_FROM = 10_000


@dataclass
class Measured:
    """What became of the marked pictures of one size."""

    read: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    kinds: list[str] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    embedding: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--unmarked", type=int, default=1000)
    parser.add_argument("--photographs", type=Path, help="a folder of pictures to add")
    parser.add_argument("--quick", action="store_true", help="a few pictures")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    pictures, unmarked = (10, 10) if given.quick else (given.pictures, given.unmarked)
    found = measure(pictures, SIZE, given.photographs)
    others = {} if given.quick else {size: measure(pictures // 5, size) for size in OTHER_SIZES}
    result = {
        "pictures": pictures,
        "read": shares(found),
        "by_kind": by_kind(found),
        "psnr": {"min": min(found.psnr), "mean": float(np.mean(found.psnr))},
        "milliseconds": {
            "embed": 1e3 * float(np.median(found.embedding)),
            "read": 1e3 * float(np.median(found.reading)),
        },
        "other_sizes": {f"{w}×{h}": shares(item) for (w, h), item in others.items()},
        "unmarked": unmarked,
        "false_hits": false_hits(unmarked),
    }
    write_json(given.json, result)
    print(section(result))


def measure(count: int, size: tuple[int, int], photographs: Path | None = None) -> Measured:
    """Mark so many pictures, each with another mark, and read them back after every change."""
    rng, found = np.random.default_rng(0), Measured()
    embed(varied_picture(0, size), "0" * 12)  # What is computed once is not counted.
    for number in range(count):
        plain, mark = varied_picture(number, size, photographs), rng.bytes(6).hex()
        started = time.process_time()
        marked = embed(plain, mark)
        found.embedding.append(time.process_time() - started)
        found.psnr.append(psnr(plain, marked))
        found.kinds.append(kind_of(number))
        for name, change in changes(size).items():
            changed = change(marked)
            started = time.process_time()
            found.read[name].append(read(changed) == mark)
            found.reading.append(time.process_time() - started)
    return found


def changes(size: tuple[int, int]) -> Mapping[str, Change]:
    """What is done to a picture, by name."""
    half, third = ((size[0] // 2, size[1] // 2), (size[0] * 3 // 8, size[1] * 3 // 8))
    return {
        "nothing": lambda picture: picture,
        "JPEG 75": lambda picture: as_jpeg(picture, 75),
        "half size": lambda picture: picture.resize(half, Resampling.LANCZOS),
        "half size, bilinear": lambda picture: picture.resize(half, Resampling.BILINEAR),
        "half size, JPEG 75": lambda picture: as_jpeg(picture.resize(half, Resampling.LANCZOS), 75),
        "JPEG 50": lambda picture: as_jpeg(picture, 50),
        "3/8 size": lambda picture: picture.resize(third, Resampling.LANCZOS),
        "WebP 75": lambda picture: kept_as(picture, "WEBP", quality=75),
        "grain of 5 levels": grained,
    }


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after it was kept as JPEG."""
    return kept_as(picture, "JPEG", quality=quality)


def kept_as(picture: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The picture after it was kept in this format."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return Image.open(file).convert("RGB")


def grained(picture: Image.Image) -> Image.Image:
    """The picture with noise of a deviation of five grey levels."""
    noise = np.random.default_rng(1).normal(0, 5, (picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def false_hits(count: int) -> int:
    """In how many pictures without a mark one is found: a third each plain, as JPEG, at half size.

    They are looked at as `mos-client whose` looks, which also tries parts of the picture.
    """
    return sum(read_sheet(picture) is not None for picture in unmarked_pictures(count))


def unmarked_pictures(count: int) -> Iterator[Image.Image]:
    """So many pictures, changed in turns."""
    turns = [changes(SIZE)[name] for name in ("nothing", "JPEG 75", "half size")]
    for number in range(count):
        yield turns[number % len(turns)](varied_picture(UNMARKED_FROM + number))


def shares(found: Measured) -> dict[str, float]:
    """The share of pictures that were read, by change."""
    return {name: float(np.mean(read)) for name, read in found.read.items()}


def by_kind(found: Measured) -> dict[str, dict[str, float]]:
    """The smallest PSNR and the shares that were read, by kind of picture."""
    result = {}
    for kind in dict.fromkeys(found.kinds):
        own = [number for number, other in enumerate(found.kinds) if other == kind]
        result[kind] = {
            "psnr": min(found.psnr[number] for number in own),
            **{
                name: float(np.mean([read[number] for number in own]))
                for name, read in found.read.items()
            },
        }
    return result


def section(result: Mapping[str, Any]) -> str:
    """The figures as markdown."""
    sizes = {"512×512": result["read"], **result["other_sizes"]}
    names = list(result["read"])
    rows = [[name, *(f"{100 * read[name]:.1f}" for read in sizes.values())] for name in names]
    told = ("JPEG 75", "half size", "half size, JPEG 75")
    kinds = [
        [kind, f"{item['psnr']:.1f}", *(f"{100 * item[name]:.0f}" for name in told)]
        for kind, item in result["by_kind"].items()
    ]
    quality, speed = result["psnr"], result["milliseconds"]
    return "\n\n".join(
        [
            "## Watermark",
            f"Of {result['pictures']} varied pictures of 512×512 (a fifth as many of other sizes), "
            "the mark is read back after the change from so many percent:",
            table(["change", *sizes], rows),
            f"PSNR: at least {quality['min']:.1f} dB, {quality['mean']:.1f} dB on average. "
            f"Marking takes {speed['embed']:.0f} ms of one core, reading {speed['read']:.0f} ms. "
            f"False hits: {result['false_hits']} in {result['unmarked']} pictures without a mark, "
            "a third each plain, as JPEG 75 and at half size.",
            "By kind of picture, 512×512:",
            table(["kind", "lowest PSNR, dB", *(f"{name}, %" for name in told)], kinds),
        ]
    )


if __name__ == "__main__":
    main()
