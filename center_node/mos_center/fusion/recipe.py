"""All that decides a fused model, and which layers it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mos_protocol.layer_map import Block
from mos_protocol.names import Digest

from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.sources import BaseSource, ConceptSource


@dataclass(frozen=True)
class Recipe:
    """Base, concepts in their order, settings, and the formats of other tools to add.

    build: the digest over all of these, by which the result is known. at_hand: finds a package by
    its digest if it can still be read, to take a concept that is not in this fusion out of earlier
    sums.
    """

    base: BaseSource
    concepts: Sequence[ConceptSource]
    settings: FusionSettings
    build: Digest
    exports: Sequence[str] = ()
    at_hand: Callable[[Digest], ConceptSource | None] = lambda digest: None

    def blocks(self) -> list[Block]:
        """The blocks to fuse: all that ED-LoRA changes, and others that a concept changes."""
        layer_map = self.base.layer_map
        changed = {name for concept in self.concepts for name in concept.changed_layers()}
        extra = [
            block
            for block in layer_map.extra_blocks
            if any(layer.name in changed for layer in block.layers)
        ]
        return [*layer_map.blocks, *extra]
