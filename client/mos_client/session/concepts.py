"""Concepts at a center: finding them, who sees them, and taking them back."""

from __future__ import annotations

from mos_protocol.errors import NotFound
from mos_protocol.names import parse_concept_name, parse_concept_ref

from mos_client.session.connection import Connection, quoted
from mos_client.session.registry_results import ConceptOverview, Withdrawn
from mos_client.session.results import Concept, ConceptDetail, ModelVersion

USABLE = ("approved",)


class ConceptCalls(Connection):
    """What a session can ask about concepts."""

    def concepts(
        self, *, base: str | None = None, owner: str | None = None, q: str | None = None
    ) -> list[Concept]:
        """The concepts that you may see; all filters are optional."""
        filters = {"base": base, "owner": owner, "q": q}
        return list(self._rest.pages(Concept, "/v1/concepts", filters))

    def concept(self, ref: str) -> ConceptDetail:
        """One concept, `owner/name@3`, or `owner/name` for its latest version."""
        return self._rest.get(ConceptDetail, self._version_path(ref))

    def concept_overview(self, name: str) -> ConceptOverview:
        """The concept `owner/name` over its versions: who sees it, and how each one stands."""
        return self._rest.get(ConceptOverview, _path(name))

    def show_concept(self, name: str, visibility: str) -> ConceptOverview:
        """Have your concept `owner/name` seen by private, shared or public."""
        body = {"visibility": visibility}
        return self._rest.change("PATCH", ConceptOverview, _path(name), body)

    def share_concept(self, name: str, member: str) -> ConceptOverview:
        """Let a member see your concept while its visibility is shared."""
        path = f"{_path(name)}/shares/{quoted(member)}"
        return self._rest.change("PUT", ConceptOverview, path)

    def unshare_concept(self, name: str, member: str) -> ConceptOverview:
        """Take back that a member sees your concept."""
        path = f"{_path(name)}/shares/{quoted(member)}"
        return self._rest.change("DELETE", ConceptOverview, path)

    def withdraw_concept(self, ref: str, reason: str) -> Withdrawn:
        """Have a concept version never fused again; returns the model versions that contain it."""
        path = f"{self._version_path(ref)}/withdraw"
        return self._rest.change("POST", Withdrawn, path, {"reason": reason})

    def models_with(self, ref: str) -> list[ModelVersion]:
        """The model versions that contain a concept version, as far as you may see them."""
        return list(self._rest.pages(ModelVersion, f"{self._version_path(ref)}/models"))

    def _version_path(self, ref: str) -> str:
        parsed = parse_concept_ref(ref)
        version = parsed.version or self._latest_version(str(parsed.concept))
        return f"/v1/concepts/{parsed.concept}/{version}"

    def _latest_version(self, concept: str) -> int:
        owner, _, name = concept.partition("/")
        found = self.concepts(owner=owner, q=name)
        versions = [item.version for item in found if item.name == concept and item.state in USABLE]
        if not versions:
            raise NotFound(
                f"The center has no approved concept {concept!r}.",
                hint="`mos-client concepts` lists what it has.",
            )
        return max(versions)


def _path(name: str) -> str:
    return f"/v1/concepts/{parse_concept_name(name)}"
