"""Where compositions are kept, and what workers read and tell about them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.compositions import Composition, CompositionPlan
from mos_center.domain.jobs import Job
from mos_center.domain.models import StoredFile


class Compositions(Protocol):
    """Scenes that were asked for, and the pictures of those that are drawn."""

    def add(self, composition: Composition) -> None: ...

    def update(self, composition: Composition) -> None:
        """Write how it stands; scene, version and pictures stay as they are."""

    def get(self, composition_id: str) -> Composition | None: ...

    def find(
        self, *, viewer: str | None, before: str | None = None, limit: int
    ) -> tuple[Composition, ...]:
        """Those that `viewer` asked for, newest first, only ids below `before`; None: of all."""

    def unfinished(self) -> tuple[str, ...]:
        """Ids of those that are queued or running, oldest first."""

    def waiting(self, member: str) -> int:
        """How many of `member` are queued or running."""

    def add_picture(self, composition_id: str, number: int, picture: StoredFile) -> None:
        """Refer to a drawn picture; one that is there already stays."""

    def releasable(self, before: datetime | None) -> tuple[str, ...]:
        """Ids of finished ones whose pictures are to go.

        Those that ended before then, and whenever they ended those whose version is tombstoned or
        holds a withdrawn concept.
        """

    def forget_pictures(self, composition_id: str) -> Iterable[Digest]:
        """Drop its references to pictures and return the digests."""


class CompositionLedger(Protocol):
    """What a worker reads and tells about compositions; every call is one transaction."""

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs of those that are queued or running, oldest first."""

    def begin(self, composition_id: str) -> CompositionPlan | None:
        """What is to be drawn; None when it is not to be done (any more).

        Raises `Gone` when the version was tombstoned meanwhile.
        """

    def progress(self, composition_id: str, done: int, total: int, message: str) -> bool:
        """Note how far it is; tells whether it is still wanted: running, not cancelled."""

    def drawn(self, composition_id: str, number: int, picture: StoredFile) -> None:
        """Note a picture that is in the store.

        Raises `Conflict` when the composition is finished, and `Unavailable` when the picture is
        not in the store: put it again, then tell again.
        """

    def done(self, composition_id: str) -> None:
        """Note that all pictures are there; ignored when it is finished."""

    def failed(self, composition_id: str, error: MosError) -> None:
        """Note why it failed; ignored when it is finished."""
