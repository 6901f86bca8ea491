"""Which right every RPC and every route needs. What is not listed here, nobody may call.

A right is a scope of the token and a role of its member. Whose concept, fusion or model it is,
and whether the caller may see it, is decided by the use cases.
"""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.access import Role, Scope


@dataclass(frozen=True)
class Needs:
    """A token with this scope (None: any token), of a member with this role."""

    scope: Scope | None = None
    role: Role = Role.MEMBER

    def __post_init__(self) -> None:
        if self.scope is None and self.role is not Role.MEMBER:
            raise ValueError("A role without a scope would let its weakest token in.")


@dataclass(frozen=True)
class Public:
    """No token at all; `why` is for readers of the table."""

    why: str


Right = Needs | Public

TOKEN = Needs()
WRITE_CONCEPTS = Needs(Scope.CONCEPT_WRITE)
READ_CONCEPTS = Needs(Scope.CONCEPT_READ)
REQUEST_FUSIONS = Needs(Scope.FUSION_REQUEST)
READ_MODELS = Needs(Scope.MODEL_READ)
CURATE = Needs(Scope.ADMIN, Role.CURATOR)
ADMINISTER = Needs(Scope.ADMIN, Role.ADMIN)
EXPLAINED = Public("what an error means is no secret")
HEALTH = Public("whether the process lives tells nobody anything")

RPC_RIGHTS: dict[str, Right] = {
    "/mos.v1.Submissions/Offer": WRITE_CONCEPTS,
    "/mos.v1.Submissions/PutBlob": WRITE_CONCEPTS,
    "/mos.v1.Submissions/Commit": WRITE_CONCEPTS,
    "/mos.v1.Submissions/Watch": WRITE_CONCEPTS,
    "/grpc.health.v1.Health/Check": HEALTH,
    "/grpc.health.v1.Health/Watch": HEALTH,
    "/grpc.health.v1.Health/List": HEALTH,
}

ROUTE_RIGHTS: dict[tuple[str, str], Right] = {
    ("GET", "/healthz"): HEALTH,
    ("GET", "/readyz"): HEALTH,
    ("GET", "/openapi.json"): TOKEN,
    ("GET", "/errors/{code}"): EXPLAINED,
    ("GET", "/v1/center"): TOKEN,
    # members
    ("POST", "/v1/join"): Public("the join token in its body is the proof"),
    ("GET", "/v1/me"): TOKEN,
    ("GET", "/v1/members"): ADMINISTER,
    ("POST", "/v1/members"): ADMINISTER,
    ("GET", "/v1/members/{name}"): ADMINISTER,
    ("PATCH", "/v1/members/{name}"): ADMINISTER,
    ("GET", "/v1/invitations"): ADMINISTER,
    ("POST", "/v1/invitations"): ADMINISTER,
    ("DELETE", "/v1/invitations/{invitation_id}"): ADMINISTER,
    # tokens
    ("GET", "/v1/tokens"): TOKEN,
    ("POST", "/v1/tokens"): TOKEN,
    ("DELETE", "/v1/tokens/{token_id}"): TOKEN,
    # bases
    ("GET", "/v1/bases"): TOKEN,
    ("GET", "/v1/bases/{name}"): TOKEN,
    ("GET", "/v1/bases/{name}/prior/{block}"): TOKEN,
    # concepts
    ("GET", "/v1/concepts"): READ_CONCEPTS,
    ("GET", "/v1/concepts/{owner}/{name}"): READ_CONCEPTS,
    ("PATCH", "/v1/concepts/{owner}/{name}"): WRITE_CONCEPTS,
    ("PUT", "/v1/concepts/{owner}/{name}/shares/{member}"): WRITE_CONCEPTS,
    ("DELETE", "/v1/concepts/{owner}/{name}/shares/{member}"): WRITE_CONCEPTS,
    ("GET", "/v1/concepts/{owner}/{name}/{version}"): READ_CONCEPTS,
    ("GET", "/v1/concepts/{owner}/{name}/{version}/files/{path:path}"): READ_CONCEPTS,
    ("GET", "/v1/concepts/{owner}/{name}/{version}/models"): READ_MODELS,
    ("POST", "/v1/concepts/{owner}/{name}/{version}/withdraw"): WRITE_CONCEPTS,
    ("GET", "/v1/concepts/{owner}/{name}/{version}/audits"): CURATE,
    ("POST", "/v1/concepts/{owner}/{name}/{version}/audits"): CURATE,
    # submissions
    ("GET", "/v1/submissions"): READ_CONCEPTS,
    ("GET", "/v1/submissions/{submission_id}"): READ_CONCEPTS,
    ("POST", "/v1/submissions/{submission_id}/approve"): CURATE,
    ("POST", "/v1/submissions/{submission_id}/reject"): CURATE,
    # fusions
    ("GET", "/v1/fusions"): READ_MODELS,
    ("POST", "/v1/fusions"): REQUEST_FUSIONS,
    ("GET", "/v1/fusions/{fusion_id}"): READ_MODELS,
    ("GET", "/v1/fusions/{fusion_id}/events"): READ_MODELS,
    ("POST", "/v1/fusions/{fusion_id}/cancel"): REQUEST_FUSIONS,
    ("POST", "/v1/fusions/{fusion_id}/retry"): REQUEST_FUSIONS,
    # models
    ("GET", "/v1/models"): READ_MODELS,
    ("GET", "/v1/models/{name}"): READ_MODELS,
    ("GET", "/v1/models/{name}/{revision}"): READ_MODELS,
    ("GET", "/v1/models/{name}/{revision}/files/{path:path}"): READ_MODELS,
    ("PUT", "/v1/models/{name}/aliases/{alias}"): REQUEST_FUSIONS,
    ("DELETE", "/v1/models/{name}/aliases/{alias}"): REQUEST_FUSIONS,
    ("GET", "/v1/models/{name}/aliases/{alias}/history"): READ_MODELS,
    ("POST", "/v1/models/{name}/aliases/{alias}/rollback"): REQUEST_FUSIONS,
    ("GET", "/v1/models/{name}/{revision}/lineage"): READ_MODELS,
    ("POST", "/v1/models/{name}/{revision}/tombstone"): REQUEST_FUSIONS,
    ("POST", "/v1/models/{name}/{revision}/refusion"): REQUEST_FUSIONS,
    # files by content
    ("GET", "/v1/files/{sha256}"): READ_MODELS,
    # the log of changes, and who is told of events
    ("GET", "/v1/audit"): ADMINISTER,
    ("GET", "/v1/webhooks"): ADMINISTER,
    ("POST", "/v1/webhooks"): ADMINISTER,
    ("DELETE", "/v1/webhooks/{webhook_id}"): ADMINISTER,
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): ADMINISTER,
    ("POST", "/v1/webhooks/{webhook_id}/test"): ADMINISTER,
    # the hub's words for the same
    ("GET", "/api/whoami-v2"): TOKEN,
    ("GET", "/api/models"): READ_MODELS,
    ("GET", "/api/models/{organisation}/{model}"): READ_MODELS,
    ("GET", "/api/models/{organisation}/{model}/refs"): READ_MODELS,
    ("GET", "/api/models/{organisation}/{model}/revision/{revision}"): READ_MODELS,
    ("GET", "/api/models/{organisation}/{model}/tree/{revision}"): READ_MODELS,
    ("GET", "/api/models/{organisation}/{model}/tree/{revision}/{path:path}"): READ_MODELS,
    ("GET", "/{organisation}/{model}/resolve/{revision}/{path:path}"): READ_MODELS,
    ("HEAD", "/{organisation}/{model}/resolve/{revision}/{path:path}"): READ_MODELS,
}
