"""Models at a center: their versions, fetching one, aliases, where they come from."""

from __future__ import annotations

from pathlib import Path

from mos_protocol.names import check_slug, parse_model_ref

from mos_client.session.connection import Connection, quoted
from mos_client.session.download import Download
from mos_client.session.model_files import ModelFiles
from mos_client.session.registry_results import AliasMove, Lineage, Mark
from mos_client.session.results import Fusion, ModelVersion
from mos_client.session.upload import OnTransfer, ignore_transfer


class ModelCalls(Connection):
    """What a session can ask about published models."""

    def models(
        self,
        *,
        q: str | None = None,
        base: str | None = None,
        concept: str | None = None,
        owner: str | None = None,
    ) -> list[ModelVersion]:
        """The latest version of every model that you may see; all filters are optional."""
        filters = {"q": q, "base": base, "concept": concept, "owner": owner}
        return list(self._rest.pages(ModelVersion, "/v1/models", filters))

    def model(self, ref: str) -> ModelVersion:
        """One model version: `demo@7`, `demo@champion`, or `demo` for the latest."""
        return self._rest.get(ModelVersion, _path(ref))

    def pull(self, ref: str, out: Path, on_progress: OnTransfer = ignore_transfer) -> ModelVersion:
        """Fetch a model version into the folder `out`, which is complete or absent afterwards.

        An interrupted download goes on where it stopped; files that are there already are kept.
        Raises `Conflict` when `out` holds anything that no download put there.
        """
        version = self.model(ref)
        Download(version, out, ModelFiles(self._rest, version), on_progress, self._backoff).run()
        return version

    def set_alias(self, model: str, alias: str, version: int) -> ModelVersion:
        """Have `model@alias` mean this version."""
        path = _alias_path(model, alias)
        return self._rest.change("PUT", ModelVersion, path, {"version": version})

    def remove_alias(self, model: str, alias: str) -> None:
        """Have `model@alias` mean nothing."""
        self._rest.remove(_alias_path(model, alias))

    def roll_back(self, model: str, alias: str) -> ModelVersion:
        """Have `model@alias` mean again what it meant before it was last moved."""
        return self._rest.change("POST", ModelVersion, f"{_alias_path(model, alias)}/rollback")

    def alias_history(self, model: str, alias: str) -> list[AliasMove]:
        """Where an alias pointed, the newest move first."""
        return list(self._rest.pages(AliasMove, f"{_alias_path(model, alias)}/history"))

    def lineage(self, ref: str) -> Lineage:
        """What a model version was made of, and what became of it."""
        return self._rest.get(Lineage, f"{_path(ref)}/lineage")

    def mark(self, mark: str) -> Mark:
        """What made a picture with this mark, as far as you may see; raises `NotFound`."""
        return self._rest.get(Mark, f"/v1/marks/{quoted(mark)}")

    def request_refusion(self, ref: str) -> Fusion:
        """Ask for the same fusion again without the concepts that were withdrawn since."""
        return self._rest.change("POST", Fusion, f"{_path(ref)}/refusion")


def _path(ref: str) -> str:
    parsed = parse_model_ref(ref)
    return f"/v1/models/{parsed.name}/{parsed.revision}"


def _alias_path(model: str, alias: str) -> str:
    check_slug(model, "model name")
    return f"/v1/models/{model}/aliases/{quoted(alias)}"
