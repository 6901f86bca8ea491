"""The dashboard is no second way in: a page needs what the calls need that tell or do the same."""

from __future__ import annotations

import pytest
from mos_center.api.rights import ROUTE_RIGHTS
from mos_center.dashboard.rights import PAGE_RIGHTS
from mos_center.domain.rights import Needs

CONCEPT = "/v1/concepts/{owner}/{name}"
VERSION = "/v1/concepts/{owner}/{name}/{version}"
MODEL = "/v1/models/{name}"
REVISION = "/v1/models/{name}/{revision}"
MEMBER = "/v1/members/{name}"
COMPOSITION = "/v1/compositions/{composition_id}"
FUSION = "/v1/fusions/{fusion_id}"
EVALUATION = "/v1/evaluations/{evaluation_id}"

# Parts of pages that need more are left out for those who may not read them.
SAME = {
    "POST /logout": "GET /v1/me",
    "GET /": "GET /v1/me",
    "GET /overview/events": "GET /v1/me",
    "GET /concepts": "GET /v1/concepts",
    "POST /concepts/review": "POST /v1/submissions/{submission_id}/approve",
    "GET /concepts/{owner}/{name}": f"GET {CONCEPT}",
    "GET /concepts/{owner}/{name}/{version}": f"GET {VERSION}",
    "GET /concepts/{owner}/{name}/{version}/models": f"GET {VERSION}/models",
    "GET /concepts/{owner}/{name}/{version}/previews/{file}": f"GET {VERSION}/files/{{path:path}}",
    "GET /concepts/{owner}/{name}/{version}/manifest.json": f"GET {VERSION}",
    "POST /concepts/{owner}/{name}/visibility": f"PATCH {CONCEPT}",
    "POST /concepts/{owner}/{name}/shares": f"PUT {CONCEPT}/shares/{{member}}",
    "GET /concepts/{owner}/{name}/{version}/withdraw": f"POST {VERSION}/withdraw",
    "POST /concepts/{owner}/{name}/{version}/withdraw": f"POST {VERSION}/withdraw",
    "POST /concepts/{owner}/{name}/{version}/audit": f"POST {VERSION}/audits",
    "GET /submissions/{submission_id}": "GET /v1/submissions/{submission_id}",
    "GET /fusions": "GET /v1/fusions",
    "GET /fusions/new": "POST /v1/fusions/check",
    "POST /fusions/new": "POST /v1/fusions/check",
    "POST /fusions": "POST /v1/fusions",
    "GET /fusions/{fusion_id}": f"GET {FUSION}",
    "GET /fusions/{fusion_id}/events": f"GET {FUSION}/events",
    "POST /fusions/{fusion_id}/cancel": f"POST {FUSION}/cancel",
    "POST /fusions/{fusion_id}/retry": f"POST {FUSION}/retry",
    "GET /models": "GET /v1/models",
    "GET /models/compare": "GET /v1/comparisons",
    "GET /models/{name}": f"GET {MODEL}",
    "GET /models/{name}/{revision}": f"GET {REVISION}",
    "GET /models/{name}/{revision}/card": f"GET {REVISION}/files/{{path:path}}",
    "GET /models/{name}/{revision}/layers": f"GET {REVISION}/report",
    "GET /models/{name}/{revision}/pictures/{path:path}": f"GET {REVISION}/files/{{path:path}}",
    "POST /models/{name}/aliases": f"PUT {MODEL}/aliases/{{alias}}",
    "POST /models/{name}/aliases/{alias}/rollback": f"POST {MODEL}/aliases/{{alias}}/rollback",
    "POST /models/{name}/aliases/{alias}/remove": f"DELETE {MODEL}/aliases/{{alias}}",
    "GET /models/{name}/{revision}/tombstone": f"POST {REVISION}/tombstone",
    "POST /models/{name}/{revision}/tombstone": f"POST {REVISION}/tombstone",
    "POST /models/{name}/{revision}/refusion": f"POST {REVISION}/refusion",
    "POST /models/{name}/{revision}/evaluations": f"POST {REVISION}/evaluations",
    "GET /models/{name}/{revision}/evaluations/events": f"GET {REVISION}/evaluations",
    "POST /evaluations/{evaluation_id}/cancel": f"POST {EVALUATION}/cancel",
    "GET /evaluations/{evaluation_id}/grids/{number}": f"GET {EVALUATION}/grids/{{number}}",
    "GET /compositions": "GET /v1/compositions",
    "GET /compositions/new": "POST /v1/compositions",
    "POST /compositions/new": "POST /v1/compositions",
    "POST /compositions": "POST /v1/compositions",
    "GET /compositions/{composition_id}": f"GET {COMPOSITION}",
    "GET /compositions/{composition_id}/events": f"GET {COMPOSITION}",
    "POST /compositions/{composition_id}/cancel": f"POST {COMPOSITION}/cancel",
    "GET /compositions/{composition_id}/pictures/{number}": (
        f"GET {COMPOSITION}/pictures/{{number}}"
    ),
    "GET /tokens": "GET /v1/tokens",
    "POST /tokens": "POST /v1/tokens",
    "POST /tokens/{token_id}/revoke": "DELETE /v1/tokens/{token_id}",
    "GET /members": "GET /v1/members",
    "POST /members/invitations": "POST /v1/invitations",
    "POST /members/invitations/{invitation_id}/revoke": "DELETE /v1/invitations/{invitation_id}",
    "GET /members/{name}": f"GET {MEMBER}",
    "POST /members/{name}": f"PATCH {MEMBER}",
    "GET /audit": "GET /v1/audit",
    "GET /audit/chain": "GET /v1/audit",
    "GET /system": "GET /v1/workers",
    "GET /system/health": "GET /v1/workers",
}


def test_every_guarded_page_names_the_call_that_it_stands_for() -> None:
    guarded = {
        f"{method} {page}"
        for (method, page), right in PAGE_RIGHTS.items()
        if isinstance(right, Needs)
    }
    assert guarded == SAME.keys()


@pytest.mark.parametrize("page", SAME)
def test_a_page_needs_the_same_right_as_its_call(page: str) -> None:
    method, _, path = page.partition(" ")
    call, _, route = SAME[page].partition(" ")

    assert PAGE_RIGHTS[method, path] == ROUTE_RIGHTS[call, route]
