"""Which right every page and every form needs: the same rights as the REST calls behind them.

What is not listed here, nobody may open.
"""

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

LOGIN = Public("whoever is not logged in yet must be able to")
LOOKS = Public("styles and scripts are the same for everyone")

PAGE_RIGHTS: dict[tuple[str, str], Right] = {
    ("GET", "/static/{name}"): LOOKS,
    # login
    ("GET", "/login"): LOGIN,
    ("POST", "/login"): LOGIN,
    ("POST", "/logout"): TOKEN,
    # overview
    ("GET", "/"): TOKEN,
    ("GET", "/overview/events"): TOKEN,
    # concepts
    ("GET", "/concepts"): READ_CONCEPTS,
    ("POST", "/concepts/review"): CURATE,
    ("GET", "/concepts/{owner}/{name}"): READ_CONCEPTS,
    ("GET", "/concepts/{owner}/{name}/{version}"): READ_CONCEPTS,
    ("GET", "/concepts/{owner}/{name}/{version}/models"): READ_MODELS,
    ("GET", "/concepts/{owner}/{name}/{version}/previews/{file}"): READ_CONCEPTS,
    ("GET", "/concepts/{owner}/{name}/{version}/manifest.json"): READ_CONCEPTS,
    ("POST", "/concepts/{owner}/{name}/visibility"): WRITE_CONCEPTS,
    ("POST", "/concepts/{owner}/{name}/shares"): WRITE_CONCEPTS,
    ("GET", "/concepts/{owner}/{name}/{version}/withdraw"): WRITE_CONCEPTS,
    ("POST", "/concepts/{owner}/{name}/{version}/withdraw"): WRITE_CONCEPTS,
    ("POST", "/concepts/{owner}/{name}/{version}/audit"): CURATE,
    ("GET", "/submissions/{submission_id}"): READ_CONCEPTS,
    # fusions
    ("GET", "/fusions"): READ_MODELS,
    ("GET", "/fusions/new"): REQUEST_FUSIONS,
    ("POST", "/fusions/new"): REQUEST_FUSIONS,
    ("POST", "/fusions"): REQUEST_FUSIONS,
    ("GET", "/fusions/{fusion_id}"): READ_MODELS,
    ("GET", "/fusions/{fusion_id}/events"): READ_MODELS,
    ("POST", "/fusions/{fusion_id}/cancel"): REQUEST_FUSIONS,
    ("POST", "/fusions/{fusion_id}/retry"): REQUEST_FUSIONS,
    # models
    ("GET", "/models"): READ_MODELS,
    ("GET", "/models/compare"): READ_MODELS,
    ("GET", "/models/{name}"): READ_MODELS,
    ("GET", "/models/{name}/{revision}"): READ_MODELS,
    ("GET", "/models/{name}/{revision}/card"): READ_MODELS,
    ("GET", "/models/{name}/{revision}/layers"): READ_MODELS,
    ("GET", "/models/{name}/{revision}/pictures/{path:path}"): READ_MODELS,
    ("POST", "/models/{name}/aliases"): REQUEST_FUSIONS,
    ("POST", "/models/{name}/aliases/{alias}/rollback"): REQUEST_FUSIONS,
    ("POST", "/models/{name}/aliases/{alias}/remove"): REQUEST_FUSIONS,
    ("GET", "/models/{name}/{revision}/tombstone"): REQUEST_FUSIONS,
    ("POST", "/models/{name}/{revision}/tombstone"): REQUEST_FUSIONS,
    ("POST", "/models/{name}/{revision}/refusion"): REQUEST_FUSIONS,
    ("POST", "/models/{name}/{revision}/evaluations"): REQUEST_FUSIONS,
    ("GET", "/models/{name}/{revision}/evaluations/events"): READ_MODELS,
    ("POST", "/evaluations/{evaluation_id}/cancel"): REQUEST_FUSIONS,
    ("GET", "/evaluations/{evaluation_id}/grids/{number}"): READ_MODELS,
    # compositions
    ("GET", "/compositions"): READ_MODELS,
    ("GET", "/compositions/new"): REQUEST_FUSIONS,
    ("POST", "/compositions/new"): REQUEST_FUSIONS,
    ("POST", "/compositions"): REQUEST_FUSIONS,
    ("GET", "/compositions/{composition_id}"): READ_MODELS,
    ("GET", "/compositions/{composition_id}/events"): READ_MODELS,
    ("POST", "/compositions/{composition_id}/cancel"): REQUEST_FUSIONS,
    ("GET", "/compositions/{composition_id}/pictures/{number}"): READ_MODELS,
    # tokens
    ("GET", "/tokens"): TOKEN,
    ("POST", "/tokens"): TOKEN,
    ("POST", "/tokens/{token_id}/revoke"): TOKEN,
    # members
    ("GET", "/members"): ADMINISTER,
    ("POST", "/members/invitations"): ADMINISTER,
    ("POST", "/members/invitations/{invitation_id}/revoke"): ADMINISTER,
    ("GET", "/members/{name}"): ADMINISTER,
    ("POST", "/members/{name}"): ADMINISTER,
    # for admins
    ("GET", "/audit"): ADMINISTER,
    ("GET", "/audit/chain"): ADMINISTER,
    ("GET", "/system"): ADMINISTER,
    ("GET", "/system/health"): ADMINISTER,
}
