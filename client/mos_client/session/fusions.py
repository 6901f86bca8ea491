"""Fusions at a center: asking for them, following them, cancelling and trying again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from mos_protocol.errors import NotFound
from mos_protocol.layer_map import Part
from mos_protocol.names import parse_concept_ref

from mos_client.session.connection import Connection, quoted
from mos_client.session.results import Fusion, WeightedConcept
from mos_client.session.retry import PASSING, Patience

EVENT_SECONDS = 60.0
POLL_SECONDS = 1.0


class FusionCalls(Connection):
    """What a session can ask about fusions."""

    def request_fusion(
        self,
        model: str,
        base: str,
        concepts: Sequence[str | WeightedConcept],
        *,
        fuse_method: str | None = None,
        solver: str | None = None,
        prior_weight: float | None = None,
        ridge: Mapping[Part, float] | None = None,
        lbfgs_steps: Mapping[Part, int] | None = None,
        refine_rounds: int = 0,
        exports: Sequence[str] = (),
        previews: bool | None = None,
        priority: str | None = None,
        idempotency_key: str | None = None,
    ) -> Fusion:
        """Ask for a model version made of `concepts`; returns the queued (or known) fusion.

        Concepts are `owner/name` (its newest approved version), `owner/name@3` or
        `WeightedConcept`s. What is None, and parts that `ridge` and `lbfgs_steps` leave out, are
        the center's choice. `fuse_method` is gradient unless `solver` belongs to another one.
        `exports` are formats of other tools to publish the version in too, `previews` says whether
        the fused model is sampled, for pictures beside the concepts' own. `priority` is low, normal
        or high (for curators). A connection that breaks is tried again with the same idempotency
        key, so that one request stays one fusion.
        """
        body: dict[str, object] = {
            "model": model,
            "base": base,
            "concepts": [_requested(concept) for concept in concepts],
        }
        chosen = {
            "fuse_method": fuse_method,
            "solver": solver,
            "prior_weight": prior_weight,
            "ridge": ridge and dict(ridge),
            "lbfgs_steps": lbfgs_steps and dict(lbfgs_steps),
            "refine_rounds": refine_rounds or None,
            "exports": list(exports) or None,
            "previews": previews,
            "priority": priority,
        }
        body |= {name: value for name, value in chosen.items() if value is not None}
        return self._rest.change("POST", Fusion, "/v1/fusions", body, idempotency_key or "")

    def fusions(self, *, state: str | None = None) -> list[Fusion]:
        """The fusions that you may see, the newest first."""
        return list(self._rest.pages(Fusion, "/v1/fusions", {"state": state}))

    def fusion(self, fusion_id: str) -> Fusion:
        """One fusion as it stands now."""
        return self._rest.get(Fusion, f"/v1/fusions/{quoted(fusion_id)}")

    def cancel_fusion(self, fusion_id: str) -> Fusion:
        """Ask the center to stop a fusion."""
        return self._rest.change("POST", Fusion, f"/v1/fusions/{quoted(fusion_id)}/cancel")

    def retry_fusion(self, fusion_id: str) -> Fusion:
        """Have a failed fusion tried again."""
        return self._rest.change("POST", Fusion, f"/v1/fusions/{quoted(fusion_id)}/retry")

    def watch_fusion(self, fusion_id: str) -> Iterator[Fusion]:
        """The fusion each time it changes, until it is final.

        Follows the center's events and polls between connections; a center that is restarted is
        waited for.
        """
        last: Fusion | None = None
        for fusion in self._fusion_reports(fusion_id):
            if fusion != last:
                yield fusion
            last = fusion
            if fusion.state.final:
                return

    def _fusion_reports(self, fusion_id: str) -> Iterator[Fusion]:
        patience = Patience(self._backoff)
        while True:
            try:
                yield self.fusion(fusion_id)
                patience.restore()
                yield from self._fusion_events(fusion_id)
            except PASSING as error:
                patience.lose(error)
            else:
                self._backoff.sleep(POLL_SECONDS)

    def _fusion_events(self, fusion_id: str) -> Iterator[Fusion]:
        path = f"/v1/fusions/{quoted(fusion_id)}/events"
        # Without events there is still the polling around this call.
        with suppress(NotFound):
            for text in self._rest.events(path, EVENT_SECONDS):
                yield self._rest.validated(Fusion, text)


def _requested(concept: str | WeightedConcept) -> dict[str, object]:
    if isinstance(concept, str):
        parsed = parse_concept_ref(concept)
        concept = WeightedConcept(str(parsed.concept), parsed.version)
    return {"name": concept.name, "version": concept.version, "weight": concept.weights.to_json()}
