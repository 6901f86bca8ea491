"""Aliases of model versions: moved, removed and rolled back, with their history."""

from __future__ import annotations

from datetime import UTC, datetime

from mos_protocol.errors import Conflict, InvalidName, InvalidRequest, NotFound
from mos_protocol.names import LATEST, check_slug

from mos_center.domain.access import Caller
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.lineage import AliasHistory, AliasMove
from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import Database, Transaction
from mos_center.service.fusion_lookup import check_model_owner
from mos_center.service.models import check_given_out, find_version

_FAR_BACK = 1000


class AliasService:
    """Moves aliases, for the model's owner and curators; every move is remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def point(self, model: str, alias: str, version: int, caller: Caller) -> ModelVersion:
        """Have `alias` mean `version`, and return that version; `Gone` for a tombstoned one."""
        with self._database.write() as transaction:
            _check_may_move(transaction, model, alias, caller)
            return _move(transaction, model, alias, version, caller)

    def remove(self, model: str, alias: str, *, caller: Caller) -> None:
        """Forget the alias, but for its history; raises `NotFound`."""
        with self._database.write() as transaction:
            _check_may_move(transaction, model, alias, caller)
            if transaction.aliases.get(model, alias) is None:
                raise _no_alias(model, alias)
            _record(transaction, model, alias, None, caller)

    def history(
        self, model: str, alias: str, *, caller: Caller, before: str | None = None, limit: int
    ) -> tuple[AliasMove, ...]:
        """The alias's moves, newest first; raises `NotFound`."""
        with self._database.read() as transaction:
            find_version(transaction, model, LATEST, caller)
            moves = transaction.aliases.moves(model, alias, before=before, limit=limit)
        if not moves and before is None:
            raise _no_alias(model, alias)
        return moves

    def of_model(
        self, model: str, *, caller: Caller, limit: int, moves: int
    ) -> tuple[AliasHistory, ...]:
        """At most `limit` of its aliases, removed ones last, each with its newest moves."""
        with self._database.read() as transaction:
            find_version(transaction, model, LATEST, caller)
            return transaction.aliases.of_model(model, limit=limit, moves=moves)

    def roll_back(
        self, model: str, alias: str, *, caller: Caller, to: int | None = None
    ) -> ModelVersion:
        """Have the alias mean what it meant before, or `to`, which it meant at some time.

        Tombstoned versions are passed over. Raises `Conflict` when it never meant another one.
        """
        with self._database.write() as transaction:
            _check_may_move(transaction, model, alias, caller)
            target = to or _former(transaction, model, alias)
            meant = transaction.aliases.moves(model, alias, limit=_FAR_BACK)
            if target not in {move.version for move in meant}:
                raise InvalidRequest(
                    f"The alias {alias!r} never meant {model}@{target}.",
                    hint="Its history lists what it meant; to mean something new, move it.",
                )
            return _move(transaction, model, alias, target, caller)


def _check_may_move(transaction: Transaction, model: str, alias: str, caller: Caller) -> None:
    """Raise unless there is such a model, it is the caller's, and this can be an alias."""
    check_slug(alias, "alias")
    if alias == LATEST or alias.isdigit():
        raise InvalidName(
            f"{alias!r} can't be an alias.",
            hint=f"{LATEST!r} is always the newest version, and numbers are versions.",
        )
    find_version(transaction, model, LATEST, caller)
    check_model_owner(transaction.models.owner(model), model, caller)


def _former(transaction: Transaction, model: str, alias: str) -> int:
    """The last version that the alias meant before, and that is still given out."""
    current = transaction.aliases.get(model, alias)
    for move in transaction.aliases.moves(model, alias, limit=_FAR_BACK):
        if move.version in (None, current):
            continue
        version = transaction.models.get(model, move.version)
        if version is not None and version.tombstoned_at is None:
            return version.version
    raise Conflict(
        f"The alias {alias!r} of {model} never meant another version that is still there.",
        hint="Move it to the version that it shall mean.",
    )


def _move(
    transaction: Transaction, model: str, alias: str, version: int, caller: Caller
) -> ModelVersion:
    check_given_out(find_version(transaction, model, str(version), caller))
    if transaction.aliases.get(model, alias) != version:
        _record(transaction, model, alias, version, caller)
    return find_version(transaction, model, str(version), caller)


def _record(
    transaction: Transaction, model: str, alias: str, version: int | None, caller: Caller
) -> None:
    before = transaction.aliases.get(model, alias)
    now = datetime.now(UTC)
    transaction.aliases.move(AliasMove(new_id(), model, alias, version, now, caller.name))
    transaction.audit.record(
        AuditEvent(
            caller.name,
            "alias.moved" if version else "alias.removed",
            f"model/{model}@{alias}",
            None if before is None else {"version": before},
            None if version is None else {"version": version},
        )
    )


def _no_alias(model: str, alias: str) -> NotFound:
    return NotFound(f"{model} has no alias {alias!r}.", hint="The model's `aliases` lists them.")
