"""Members of the crowd, what they log in with, invitations and workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from mos_center.domain.access import Role, scopes_of
from mos_center.service.tokens import sha256_of_secret

from crowd.rows import Chance, Row

ADMIN, CURATOR, MEMBER = "anna", "carl", "mona"
ROLES = {ADMIN: Role.ADMIN, CURATOR: Role.CURATOR}
_FIRST = ("alex", "bela", "chris", "dana", "eli", "fay", "gil", "hana", "ivo", "jun")


def token_of(member: str) -> str:
    """What the member logs in with."""
    return f"mos_{member}-{'0123456789' * 4}"


def names(count: int) -> list[str]:
    """The members, those with names in capitals above first."""
    rest = [f"{_FIRST[n % len(_FIRST)]}-{n:03d}" for n in range(count - 3)]
    return [ADMIN, CURATOR, MEMBER, *rest]


def member_rows(chance: Chance, people: list[str]) -> Iterator[Row]:
    """Members, a few of them trusted, disabled or with limits of their own."""
    for name, moment in zip(people, chance.moments(len(people)), strict=True):
        known = name in (ADMIN, CURATOR, MEMBER)
        special = not known and chance.random.random() < 0.1
        yield {
            "name": name,
            "role": ROLES.get(name, Role.MEMBER),
            "trusted": chance.random.random() < 0.2,
            "created_at": moment,
            "disabled_at": chance.now if special else None,
            "quota_bytes": 50_000_000_000 if special else None,
            "quota_concepts": None,
            "quota_jobs": None,
        }


def token_rows(chance: Chance, people: list[str]) -> Iterator[Row]:
    """Two tokens each, one of them used lately; the first is `token_of`."""
    for name in people:
        for number in range(2):
            secret = token_of(name) if number == 0 else chance.sha256()
            used = chance.now - timedelta(hours=chance.random.randrange(2, 900))
            yield {
                "id": chance.id_at(used),
                "member": name,
                "name": f"laptop-{number}",
                "sha256": sha256_of_secret(secret),
                "scopes": sorted(scopes_of(ROLES.get(name, Role.MEMBER))),
                "created_at": used - timedelta(days=1),
                "expires_at": None,
                "revoked_at": used if number and chance.random.random() < 0.3 else None,
                "last_used_at": used,
            }


def invitation_rows(chance: Chance, people: list[str]) -> Iterator[Row]:
    """Open ones, and those that expired or were used."""
    for number in range(120):
        at = chance.now - timedelta(hours=number)
        used = number % 3 == 2
        yield {
            "id": chance.id_at(at),
            "sha256": chance.sha256(),
            "name": None,
            "role": Role.MEMBER,
            "trusted": False,
            "invited_by": ADMIN,
            "created_at": at,
            "expires_at": at + timedelta(hours=72),
            "used_at": at if used else None,
            "used_by": chance.random.choice(people) if used else None,
        }


def worker_rows(chance: Chance, job: str) -> Iterator[Row]:
    """Four that are alive, one of which runs the job, and two that are gone."""
    for number in range(6):
        gone = number >= 4
        yield {
            "executor": f"worker-{number}",
            "host": f"gpu-{number}.example",
            "pid": 100 + number,
            "device": "NVIDIA H100",
            "version": "0.1.0",
            "job": job if number == 0 else "",
            "started_at": chance.now - timedelta(days=3),
            # A crowd is looked at for a while after it was made.
            "seen_at": chance.now + timedelta(days=-1 if gone else 1),
            "stopped_at": None,
        }
