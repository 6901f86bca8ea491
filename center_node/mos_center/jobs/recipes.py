"""What a ledger's plans mean for the fusion: sources that open the store's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from mos_protocol.errors import NotFound
from mos_protocol.names import Digest

from mos_center.domain.models import FusionPlan, PlannedConcept
from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.sources import BaseSource, ConceptSource


def recipe_of(plan: FusionPlan, ledger: FusionLedger, blobs: BlobStore) -> Recipe:
    """All that decides the fused model, read from the store when it is needed."""

    def at_hand(digest: Digest) -> ConceptSource | None:
        """A package that is not in the fusion, if all its files are still in the store."""
        concept = ledger.package(digest)
        return None if concept is None else concept_source(concept, blobs)

    return Recipe(
        BaseSource(
            name=plan.base.name,
            folder=plan.base.path,
            layer_map=plan.base.layer_map,
            prior={
                block: partial(blobs.local_path, digest)
                for block, digest in plan.base.prior.items()
            },
        ),
        [concept_source(concept, blobs) for concept in plan.concepts],
        FusionSettings(
            solver=Solver(plan.solver),
            ridge=plan.ridge or {},
            prior_weight=plan.prior_weight,
            lbfgs_steps=plan.lbfgs_steps or {},
            refine_rounds=plan.refine_rounds,
        ),
        plan.build,
        plan.exports,
        at_hand,
    )


def concept_source(concept: PlannedConcept, blobs: BlobStore) -> ConceptSource:
    """A package whose files lie in the store."""
    return ConceptSource(
        ref=concept.ref,
        weights=concept.weights,
        manifest=concept.manifest,
        files={
            path: partial(_opened, blobs, digest, f"{path} of {concept.ref}")
            for path, digest in concept.files.items()
        },
    )


@contextmanager
def _opened(blobs: BlobStore, digest: Digest, name: str) -> Iterator[Path]:
    """A package's file; one that is gone is named as people know it."""
    with ExitStack() as held:
        try:
            path = held.enter_context(blobs.local_path(digest))
        except NotFound as error:
            message = f"{name} is not in the store any more (blob {digest[:12]}…)."
            raise NotFound(message, hint=error.hint) from error
        yield path
