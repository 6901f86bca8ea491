"""The catalogue of concepts: the submissions that passed validation."""

from __future__ import annotations

from mos_protocol.errors import NotFound
from mos_protocol.manifest import FileEntry

from mos_center.domain.models import Submission
from mos_center.domain.ports import Database
from mos_center.domain.states import CATALOGUED


class ConceptService:
    """Looks concepts up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        *,
        base: str | None = None,
        owner: str | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        """Concepts, newest first; `text` is found in names, words and class words."""
        with self._database.read() as transaction:
            return transaction.submissions.find(
                states=CATALOGUED, base=base, owner=owner, text=text, before=before, limit=limit
            )

    def get(self, owner: str, name: str, version: int) -> Submission:
        """Return one version of a concept; raises `NotFound`."""
        with self._database.read() as transaction:
            concept = transaction.submissions.by_version(owner, name, version)
        if concept is None or concept.state not in CATALOGUED:
            raise NotFound(
                f"There is no concept {owner}/{name}@{version}.", hint="List the concepts."
            )
        return concept

    def preview(self, owner: str, name: str, version: int, path: str) -> FileEntry:
        """Return a preview picture's entry; tensors are not given out."""
        entry = self.get(owner, name, version).manifest.file(path)
        if entry is None or not path.startswith("previews/"):
            raise NotFound(
                f"{owner}/{name}@{version} has no preview {path!r}.",
                hint="The concept's `previews` lists them.",
            )
        return entry
