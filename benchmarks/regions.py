"""Does each region of a composition show its own concept? Scenes of tinyworld, told by a CLIP.

    python benchmarks/regions.py FUSED_MODEL --sheet docs/images/regions.png

Every scene of the folder whose concepts the model knows is drawn in several ways, once per seed.
What lies in a region's box is compared with the tuning pictures of all object concepts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import HERE, table, write_json
from mos_diffusion.base_model import load_base
from mos_diffusion.composing import compose, known_words
from mos_diffusion.evaluation.alignment import load_clip
from mos_protocol.scene import Region, Scene
from mos_protocol.scene_file import read_scene
from region_identity import ALL, OBJECTS, OWN, SIDE, Identifier
from region_sheet import draw_sheet

sys.path.insert(0, str(HERE.parent / "examples/tinyworld"))
from tinyworld.concepts import CONCEPTS

TINYWORLD = HERE.parent / "examples/tinyworld"
SEEDS = 4
Figures = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One way to draw a scene; `regions` False is a plain prompt that names the same concepts."""

    name: str
    title: str
    regions: bool = True
    apart: float = 0.0
    weight: float = 1.0
    against_class: bool = False

    def of(self, scene: Scene, seeds: int) -> Scene:
        """The scene drawn this way, with seeds 0 …"""
        changes: dict[str, Any] = {"seeds": tuple(range(seeds))}
        if not self.regions:
            return scene.model_copy(update=changes | {"regions": (), "prompt": plain_prompt(scene)})
        regions = tuple(r.model_copy(update=self._changes(r)) for r in scene.regions)
        return scene.model_copy(
            update=changes
            | {
                "regions": regions,
                "self_attention": "regions" if self.apart else "free",
                "self_attention_share": self.apart or 1.0,
            }
        )

    def _changes(self, region: Region) -> dict[str, Any]:
        """The region's weight, and its prompt with the class word as what it shows not."""
        concept = CONCEPTS[region.id]
        plain = region.prompt.replace(" ".join(concept.words), concept.class_word)
        negative = plain if self.against_class else region.negative_prompt
        return {"weight": self.weight, "negative_prompt": negative}


VARIANTS = (
    Variant("plain", "plain prompt", regions=False),
    Variant("free", "regions"),
    Variant("half", "regions, self-attention apart in the first half", apart=0.5),
    Variant("apart", "regions, self-attention apart", apart=1.0),
    Variant("mixed", "regions of weight 0.8", weight=0.8),
    Variant("class", "regions, apart, against the class word", apart=1.0, against_class=True),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table as a markdown section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a model fused of tinyworld's concepts")
    parser.add_argument("--scenes", type=Path, default=TINYWORLD / "scenes", help="folder")
    parser.add_argument("--clip", type=Path, default=TINYWORLD / "clip", help="folder")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="pictures per scene and way")
    parser.add_argument("--only", choices=[v.name for v in VARIANTS], action="append")
    parser.add_argument("--sheet", type=Path, help="also draw a sheet of the first pictures there")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(argv)
    variants = [v for v in VARIANTS if not given.only or v.name in given.only]
    result = measure(given, variants)
    print(section(result, variants))
    write_json(given.json, result)


def measure(given: argparse.Namespace, variants: Sequence[Variant]) -> Figures:
    """What was found in each box: by variant, scene, seed and region."""
    model = load_base(given.model, device=given.device)
    scenes = known_scenes(given.scenes, known_words(model.tokenizer))
    identifier = Identifier(load_clip(given.clip, given.device))
    found: dict[str, dict[str, list[dict[str, list[str]]]]] = {v.name: {} for v in variants}
    first: dict[str, list[Any]] = {name: [] for name in scenes}
    for name, scene in scenes.items():
        for variant in variants:
            pictures = compose(model, variant.of(scene, given.seeds))
            found[variant.name][name] = [
                identifier.named(picture, scene, assigned=variant.regions) for picture in pictures
            ]
            first[name].append(pictures[0])
        print(f"{name} …", file=sys.stderr, flush=True)
    alone = {
        region.id: identifier.alone(compose(model, alone_in(scene, number, given.seeds)))
        for scene in scenes.values()
        for number, region in enumerate(scene.regions)
    }
    if given.sheet:
        draw_sheet(scenes, first, [v.title for v in variants], given.sheet)
    return {
        "clip_accuracy": identifier.accuracy(),
        "scenes": {name: [r.id for r in scene.regions] for name, scene in scenes.items()},
        "overlapping": [name for name, scene in scenes.items() if overlaps(scene)],
        "seeds": given.seeds,
        "found": found,
        "alone": alone,
    }


def known_scenes(folder: Path, words: frozenset[str]) -> dict[str, Scene]:
    """The scenes of a folder that use only these words, by file name."""
    scenes = {path.stem: read_scene(path.read_bytes()) for path in sorted(folder.glob("*.yaml"))}
    known = {name: scene for name, scene in scenes.items() if scene.words() <= words}
    if not known:
        sys.exit(f"error: the model knows the concepts of none of the {len(scenes)} scenes")
    return known


def plain_prompt(scene: Scene) -> str:
    """One prompt that names all of the scene's concepts, where its regions say they are."""
    place = scene.regions[0].prompt.rpartition(">")[2]
    named = (f"a {' '.join(CONCEPTS[region.id].words)}" for region in scene.regions)
    return f"a photo of {' and '.join(named)}{place}"


def alone_in(scene: Scene, number: int, seeds: int) -> Scene:
    """A plain picture of one region's concept: what the model can do without company."""
    prompt = scene.regions[number].prompt
    changes = {"prompt": prompt, "regions": (), "size": (SIDE, SIDE), "seeds": tuple(range(seeds))}
    return scene.model_copy(update=changes)


def overlaps(scene: Scene) -> bool:
    """Whether two boxes of the scene share a pixel."""
    boxes = [region.box for region in scene.regions if region.box]
    return any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for number, a in enumerate(boxes)
        for b in boxes[:number]
    )


def right(result: Figures, variant: str, scenes: Sequence[str], among: str) -> str:
    """The share of regions in which their own concept was found, of all or the scene's own."""
    told = [
        found == wanted
        for name in scenes
        for picture in result["found"][variant][name]
        for found, wanted in zip(picture[among], result["scenes"][name], strict=True)
    ]
    return f"{sum(told) / len(told):.0%}" if told else "–"


def section(result: Figures, variants: Sequence[Variant]) -> str:
    """The figures as markdown."""
    names = list(result["scenes"])
    apart = [name for name in names if name not in result["overlapping"]]
    kinds: Mapping[str, list[str]] = {
        "side by side": [name for name in apart if len(result["scenes"][name]) == 2],
        "overlapping": result["overlapping"],
        "three": [name for name in apart if len(result["scenes"][name]) == 3],
    }
    rows = [
        [
            variant.title,
            right(result, variant.name, names, OWN),
            *(right(result, variant.name, chosen, OWN) for chosen in kinds.values()),
            right(result, variant.name, names, ALL),
        ]
        for variant in variants
    ]
    alone = [name == found for name, named in result["alone"].items() for found in named]
    rows.append(["each concept alone in a picture", *[""] * 4, f"{sum(alone) / len(alone):.0%}"])
    heads = [
        "regions that show their concept",
        f"of the scene's own, all {len(names)}",
        *(f"{kind} ({len(chosen)})" for kind, chosen in kinds.items()),
        f"of all {len(OBJECTS)} concepts",
    ]
    return (
        "## Regions\n\n"
        f"{len(names)} scenes, {result['seeds']} seeds each. The CLIP names "
        f"{result['clip_accuracy']:.0%} of held-out pictures rightly, cut to the concept.\n\n"
        + table(heads, rows)
    )


if __name__ == "__main__":
    main()
