"""Which right every RPC and every route needs. What is not listed here, nobody may call."""

from __future__ import annotations

from mos_center.domain.rights import (
    ADMINISTER,
    CURATE,
    READ_CONCEPTS,
    READ_MODELS,
    REQUEST_FUSIONS,
    TOKEN,
    WRITE_CONCEPTS,
    Public,
    Right,
)

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
    ("POST", "/v1/fusions/check"): REQUEST_FUSIONS,
    ("GET", "/v1/fusions/{fusion_id}"): READ_MODELS,
    ("GET", "/v1/fusions/{fusion_id}/events"): READ_MODELS,
    ("GET", "/v1/fusions/{fusion_id}/log"): READ_MODELS,
    ("POST", "/v1/fusions/{fusion_id}/cancel"): REQUEST_FUSIONS,
    ("POST", "/v1/fusions/{fusion_id}/retry"): REQUEST_FUSIONS,
    # models
    ("GET", "/v1/models"): READ_MODELS,
    ("GET", "/v1/models/{name}"): READ_MODELS,
    ("GET", "/v1/models/{name}/{revision}"): READ_MODELS,
    ("GET", "/v1/models/{name}/{revision}/files/{path:path}"): READ_MODELS,
    ("GET", "/v1/models/{name}/{revision}/report"): READ_MODELS,
    ("GET", "/v1/comparisons"): READ_MODELS,
    ("PUT", "/v1/models/{name}/aliases/{alias}"): REQUEST_FUSIONS,
    ("DELETE", "/v1/models/{name}/aliases/{alias}"): REQUEST_FUSIONS,
    ("GET", "/v1/models/{name}/aliases/{alias}/history"): READ_MODELS,
    ("POST", "/v1/models/{name}/aliases/{alias}/rollback"): REQUEST_FUSIONS,
    ("GET", "/v1/models/{name}/{revision}/lineage"): READ_MODELS,
    ("POST", "/v1/models/{name}/{revision}/tombstone"): REQUEST_FUSIONS,
    ("POST", "/v1/models/{name}/{revision}/refusion"): REQUEST_FUSIONS,
    # evaluations
    ("POST", "/v1/models/{name}/{revision}/evaluations"): REQUEST_FUSIONS,
    ("GET", "/v1/models/{name}/{revision}/evaluations"): READ_MODELS,
    ("GET", "/v1/evaluations/{evaluation_id}"): READ_MODELS,
    ("POST", "/v1/evaluations/{evaluation_id}/cancel"): REQUEST_FUSIONS,
    ("GET", "/v1/evaluations/{evaluation_id}/grids/{number}"): READ_MODELS,
    # compositions
    ("GET", "/v1/compositions"): READ_MODELS,
    ("POST", "/v1/compositions"): REQUEST_FUSIONS,
    ("GET", "/v1/compositions/{composition_id}"): READ_MODELS,
    ("POST", "/v1/compositions/{composition_id}/cancel"): REQUEST_FUSIONS,
    ("GET", "/v1/compositions/{composition_id}/pictures/{number}"): READ_MODELS,
    # what made a picture
    ("GET", "/v1/marks/{mark}"): READ_MODELS,
    # files by content
    ("GET", "/v1/files/{sha256}"): READ_MODELS,
    # the log of changes, and who is told of events
    ("GET", "/v1/audit"): ADMINISTER,
    ("GET", "/v1/workers"): ADMINISTER,
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
