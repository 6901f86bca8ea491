"""What each caller gets at every route, about things that are ada's: statuses in one table.

Columns: ada (owner) · sam (shared with) · bob (anybody else) · rita (curator) · root (admin).
404 is told where even the existence of a thing is a secret, 403 where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from rights_world import HOOK, PEOPLE, SCENE

ALL = "200 200 200 200 200"
OWNER = "200 404 404 200 200"
SHARED = "200 200 404 200 200"
ADMINS_OWN = "200 404 404 404 200"
ADMINS = "403 403 403 403 200"
CURATORS = "403 403 403 200 200"


@dataclass(frozen=True)
class Case:
    """A call; `{…}` in its path are ids of the world."""

    path: str
    statuses: str
    body: object = None

    def status(self, caller: str) -> int:
        """What this caller gets."""
        return int(self.statuses.split()[PEOPLE.index(caller)])


def by_visibility(
    path: str, hidden: str, shared: str, public: str, body: object = None
) -> list[Case]:
    """The same call about a private, a shared and a public thing, at `*` of the path."""
    names = {"zhidden": hidden, "zshared": shared, "zopen": public}
    return [Case(path.replace("*", name), statuses, body) for name, statuses in names.items()]


def readable(path: str) -> list[Case]:
    """What whoever sees the concept may read."""
    return by_visibility(path, OWNER, SHARED, ALL)


def changed(path: str, body: object = None, **statuses: str) -> list[Case]:
    """What only the owner may change, and curators or admins as told."""
    names = {"zhidden": "hidden", "zshared": "shared", "zopen": "public"}
    return [Case(path.replace("*", name), statuses[kind], body) for name, kind in names.items()]


HUB = "/api/models/mos/m-*"
FUSION = {"base": "small", "concepts": [{"name": "ada/zopen"}], "solver": "average"}
REASON = {"reason": "no consent"}
OWNED = {
    "hidden": "200 404 404 403 200",
    "shared": "200 403 404 403 200",
    "public": "200 403 403 403 200",
}
WITHDRAWN = {"hidden": OWNER, "shared": "200 403 404 200 200", "public": "200 403 403 200 200"}

EXPECTED: dict[tuple[str, str], list[Case]] = {
    ("GET", "/openapi.json"): [Case("/openapi.json", ALL)],
    ("GET", "/v1/center"): [Case("/v1/center", ALL)],
    # members and tokens
    ("GET", "/v1/me"): [Case("/v1/me", ALL)],
    ("GET", "/v1/members"): [Case("/v1/members", ADMINS)],
    ("POST", "/v1/members"): [
        Case("/v1/members", "403 403 403 403 201", {"name": "new"}),
        Case("/v1/members", "403 403 403 403 201", {"name": "new", "role": "admin"}),
    ],
    ("GET", "/v1/members/{name}"): [Case("/v1/members/ada", ADMINS)],
    ("PATCH", "/v1/members/{name}"): [
        Case("/v1/members/ada", ADMINS, {"role": "admin"}),
        Case("/v1/members/bob", ADMINS, {"disabled": True}),
        Case("/v1/members/root", "403 403 403 403 409", {"role": "member"}),
    ],
    ("GET", "/v1/invitations"): [Case("/v1/invitations", ADMINS)],
    ("POST", "/v1/invitations"): [Case("/v1/invitations", "403 403 403 403 201", {})],
    ("DELETE", "/v1/invitations/{invitation_id}"): [
        Case("/v1/invitations/{invitation}", "403 403 403 403 204")
    ],
    ("GET", "/v1/tokens"): [
        Case("/v1/tokens", ALL),
        Case("/v1/tokens?member=ada", "200 403 403 403 200"),
    ],
    ("POST", "/v1/tokens"): [
        Case("/v1/tokens", "201 201 201 201 201", {"name": "new"}),
        Case("/v1/tokens", "201 403 403 403 201", {"name": "new", "member": "ada"}),
        Case("/v1/tokens", "422 422 422 201 201", {"name": "new", "scopes": ["admin"]}),
    ],
    ("DELETE", "/v1/tokens/{token_id}"): [Case("/v1/tokens/{ada_token}", "204 404 404 404 204")],
    # bases
    ("GET", "/v1/bases"): [Case("/v1/bases", ALL)],
    ("GET", "/v1/bases/{name}"): [Case("/v1/bases/small", ALL)],
    # This one has no prior.
    ("GET", "/v1/bases/{name}/prior/{block}"): [
        Case("/v1/bases/small/prior/unet.mid_block", "404 404 404 404 404")
    ],
    # concepts
    ("GET", "/v1/concepts"): [Case("/v1/concepts", ALL)],
    ("GET", "/v1/concepts/{owner}/{name}"): [
        *readable("/v1/concepts/ada/*"),
        Case("/v1/concepts/ada/zpending", OWNER),
        Case("/v1/concepts/ada/zrejected", OWNER),
        Case("/v1/concepts/ada/zgone", ALL),
    ],
    ("PATCH", "/v1/concepts/{owner}/{name}"): changed(
        "/v1/concepts/ada/*", {"visibility": "public"}, **OWNED
    ),
    ("PUT", "/v1/concepts/{owner}/{name}/shares/{member}"): changed(
        "/v1/concepts/ada/*/shares/bob", **OWNED
    ),
    ("DELETE", "/v1/concepts/{owner}/{name}/shares/{member}"): changed(
        "/v1/concepts/ada/*/shares/sam", **OWNED
    ),
    ("GET", "/v1/concepts/{owner}/{name}/{version}"): [
        *readable("/v1/concepts/ada/*/1"),
        Case("/v1/concepts/ada/zpending/1", OWNER),
        Case("/v1/concepts/ada/zgone/1", ALL),
    ],
    ("GET", "/v1/concepts/{owner}/{name}/{version}/files/{path:path}"): [
        *readable("/v1/concepts/ada/*/1/files/previews/0.7.png"),
        # Nobody gets tensors.
        Case("/v1/concepts/ada/zopen/1/files/concept.safetensors", "404 404 404 404 404"),
        Case("/v1/concepts/ada/zpending/1/files/previews/0.7.png", OWNER),
        Case("/v1/concepts/ada/zgone/1/files/previews/0.7.png", "410 410 410 410 410"),
    ],
    ("GET", "/v1/concepts/{owner}/{name}/{version}/models"): readable(
        "/v1/concepts/ada/*/1/models"
    ),
    ("POST", "/v1/concepts/{owner}/{name}/{version}/withdraw"): changed(
        "/v1/concepts/ada/*/1/withdraw", REASON, **WITHDRAWN
    ),
    ("GET", "/v1/concepts/{owner}/{name}/{version}/audits"): by_visibility(
        "/v1/concepts/ada/*/1/audits", CURATORS, CURATORS, CURATORS
    ),
    ("POST", "/v1/concepts/{owner}/{name}/{version}/audits"): by_visibility(
        "/v1/concepts/ada/*/1/audits", *["403 403 403 202 202"] * 3
    ),
    # submissions: only their owner's, whatever became of them
    ("GET", "/v1/submissions"): [Case("/v1/submissions", ALL)],
    ("GET", "/v1/submissions/{submission_id}"): [
        Case(f"/v1/submissions/{{{name}}}", OWNER)
        for name in ("zhidden", "zopen", "zpending", "zuploading", "zrejected", "zgone")
    ],
    ("POST", "/v1/submissions/{submission_id}/approve"): [
        Case("/v1/submissions/{zpending}/approve", CURATORS)
    ],
    ("POST", "/v1/submissions/{submission_id}/reject"): [
        Case("/v1/submissions/{zpending}/reject", CURATORS, REASON)
    ],
    # fusions
    ("GET", "/v1/fusions"): [Case("/v1/fusions", ALL)],
    ("POST", "/v1/fusions"): [
        Case("/v1/fusions", "202 202 202 202 202", {**FUSION, "model": "new"}),
        # A model's name is its owner's.
        Case("/v1/fusions", "202 403 403 202 202", {**FUSION, "model": "m-zhidden"}),
        Case("/v1/fusions", "403 403 403 202 202", {**FUSION, "model": "new", "priority": "high"}),
        *(
            Case(
                "/v1/fusions",
                statuses,
                {**FUSION, "model": "new", "concepts": [{"name": name, "version": 1}]},
            )
            for name, statuses in (
                ("ada/zhidden", "202 404 404 202 202"),
                ("ada/zshared", "202 202 404 202 202"),
                ("ada/zpending", "422 404 404 422 422"),
                ("ada/zgone", "422 422 422 422 422"),
            )
        ),
    ],
    # What would be refused is said, not refused.
    ("POST", "/v1/fusions/check"): [Case("/v1/fusions/check", ALL, {**FUSION, "model": "new"})],
    ("GET", "/v1/fusions/{fusion_id}"): readable("/v1/fusions/{f_*}"),
    ("GET", "/v1/fusions/{fusion_id}/events"): readable("/v1/fusions/{f_*}/events"),
    ("GET", "/v1/fusions/{fusion_id}/log"): readable("/v1/fusions/{f_*}/log"),
    ("POST", "/v1/fusions/{fusion_id}/cancel"): [
        Case("/v1/fusions/{f_queued}/cancel", "200 403 404 200 200"),
        Case("/v1/fusions/{f_zhidden}/cancel", "409 404 404 409 409"),
    ],
    ("POST", "/v1/fusions/{fusion_id}/retry"): [
        Case("/v1/fusions/{f_failed}/retry", "202 403 404 202 202")
    ],
    # models
    ("GET", "/v1/models"): [Case("/v1/models", ALL)],
    ("GET", "/v1/models/{name}"): readable("/v1/models/m-*"),
    ("GET", "/v1/models/{name}/{revision}"): [
        *readable("/v1/models/m-*/1"),
        *readable("/v1/models/m-*/latest"),
        *readable("/v1/models/m-*/champion"),
        *readable("/v1/models/m-*/{commit_*}"),
        Case("/v1/models/m-mixed/1", ALL),
    ],
    ("GET", "/v1/models/{name}/{revision}/files/{path:path}"): [
        *readable("/v1/models/m-*/1/files/weights.bin"),
        Case("/v1/models/m-mixed/1/files/weights.bin", "410 410 410 410 410"),
    ],
    ("GET", "/v1/models/{name}/{revision}/report"): [
        *readable("/v1/models/m-*/1/report"),
        # Numbers stay when the files are not given out any more.
        Case("/v1/models/m-mixed/1/report", ALL),
    ],
    ("GET", "/v1/comparisons"): [
        *readable("/v1/comparisons?left=m-zopen@1&right=m-*@champion"),
        *readable("/v1/comparisons?left=m-*@1&right=m-zopen@1"),
        Case("/v1/comparisons?left=m-zopen@1&right=m-zopen@one%20two", "422 422 422 422 422"),
    ],
    ("PUT", "/v1/models/{name}/aliases/{alias}"): changed(
        "/v1/models/m-*/aliases/best", {"version": 1}, **WITHDRAWN
    ),
    ("DELETE", "/v1/models/{name}/aliases/{alias}"): changed(
        "/v1/models/m-*/aliases/champion",
        hidden="204 404 404 204 204",
        shared="204 403 404 204 204",
        public="204 403 403 204 204",
    ),
    ("GET", "/v1/models/{name}/aliases/{alias}/history"): readable(
        "/v1/models/m-*/aliases/champion/history"
    ),
    # It never meant anything else.
    ("POST", "/v1/models/{name}/aliases/{alias}/rollback"): changed(
        "/v1/models/m-*/aliases/champion/rollback",
        hidden="409 404 404 409 409",
        shared="409 403 404 409 409",
        public="409 403 403 409 409",
    ),
    ("GET", "/v1/models/{name}/{revision}/lineage"): readable("/v1/models/m-*/1/lineage"),
    ("POST", "/v1/models/{name}/{revision}/tombstone"): changed(
        "/v1/models/m-*/1/tombstone", REASON, **WITHDRAWN
    ),
    ("POST", "/v1/models/{name}/{revision}/refusion"): [
        Case("/v1/models/m-mixed/1/refusion", "202 403 403 202 202"),
        Case("/v1/models/m-zhidden/1/refusion", "409 404 404 409 409"),
    ],
    # evaluations: a picture shows each concept's own model too
    ("POST", "/v1/models/{name}/{revision}/evaluations"): [
        *by_visibility(
            "/v1/models/m-*/1/evaluations",
            "202 404 404 202 202",
            "202 202 404 202 202",
            "202 202 202 202 202",
            {"seeds": 3},
        ),
        Case("/v1/models/m-mixed/1/evaluations", "410 410 410 410 410", {}),
    ],
    ("GET", "/v1/models/{name}/{revision}/evaluations"): readable("/v1/models/m-*/1/evaluations"),
    ("GET", "/v1/evaluations/{evaluation_id}"): readable("/v1/evaluations/{e_*}"),
    ("POST", "/v1/evaluations/{evaluation_id}/cancel"): [
        Case("/v1/evaluations/{e_queued}/cancel", "200 403 404 200 200"),
        Case("/v1/evaluations/{e_zopen}/cancel", "409 403 403 409 409"),
    ],
    ("GET", "/v1/evaluations/{evaluation_id}/grids/{number}"): [
        *readable("/v1/evaluations/{e_*}/grids/0"),
        Case("/v1/evaluations/{e_zopen}/grids/1", "404 404 404 404 404"),
    ],
    # compositions: nobody's but the asker's and admins'
    ("GET", "/v1/compositions"): [Case("/v1/compositions", ALL)],
    ("POST", "/v1/compositions"): [
        Case("/v1/compositions", "202 202 202 202 202", {"model": "m-zopen", "scene": SCENE}),
        Case("/v1/compositions", "422 404 404 422 422", {"model": "m-zhidden", "scene": SCENE}),
        Case(
            "/v1/compositions",
            "410 410 410 410 410",
            {"model": "m-mixed", "version": 1, "scene": SCENE},
        ),
    ],
    ("GET", "/v1/compositions/{composition_id}"): [Case("/v1/compositions/{c_drawn}", ADMINS_OWN)],
    ("POST", "/v1/compositions/{composition_id}/cancel"): [
        Case("/v1/compositions/{c_queued}/cancel", ADMINS_OWN),
        Case("/v1/compositions/{c_drawn}/cancel", "409 404 404 404 409"),
    ],
    ("GET", "/v1/compositions/{composition_id}/pictures/{number}"): [
        Case("/v1/compositions/{c_drawn}/pictures/0", ADMINS_OWN),
        Case("/v1/compositions/{c_drawn}/pictures/1", "404 404 404 404 404"),
    ],
    ("GET", "/v1/marks/{mark}"): [
        *readable("/v1/marks/{mark_*}"),
        *readable("/v1/marks/{*_mark}"),
        Case("/v1/marks/{zpending_mark}", OWNER),
        Case("/v1/marks/{zrejected_mark}", "404 404 404 404 404"),
    ],
    ("GET", "/v1/files/{sha256}"): readable("/v1/files/{*_digest}"),
    # the log of changes, and who is told of events
    ("GET", "/v1/audit"): [Case("/v1/audit", ADMINS)],
    ("GET", "/v1/workers"): [Case("/v1/workers", ADMINS)],
    ("GET", "/v1/webhooks"): [Case("/v1/webhooks", ADMINS)],
    ("POST", "/v1/webhooks"): [
        Case("/v1/webhooks", "403 403 403 403 201", {"url": HOOK, "events": ["model.published"]})
    ],
    ("DELETE", "/v1/webhooks/{webhook_id}"): [
        Case("/v1/webhooks/{webhook}", "403 403 403 403 204")
    ],
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): [
        Case("/v1/webhooks/{webhook}/deliveries", ADMINS)
    ],
    ("POST", "/v1/webhooks/{webhook_id}/test"): [
        Case("/v1/webhooks/{webhook}/test", "403 403 403 403 202")
    ],
    # the hub's words for the same
    ("GET", "/api/whoami-v2"): [Case("/api/whoami-v2", ALL)],
    ("GET", "/api/models"): [Case("/api/models", ALL)],
    ("GET", "/api/models/{organisation}/{model}"): readable(HUB),
    ("GET", "/api/models/{organisation}/{model}/refs"): readable(f"{HUB}/refs"),
    ("GET", "/api/models/{organisation}/{model}/revision/{revision}"): [
        *readable(f"{HUB}/revision/main"),
        *readable(f"{HUB}/revision/{{commit_*}}"),
    ],
    ("GET", "/api/models/{organisation}/{model}/tree/{revision}"): readable(f"{HUB}/tree/main"),
    # Its files are in no folder.
    ("GET", "/api/models/{organisation}/{model}/tree/{revision}/{path:path}"): by_visibility(
        f"{HUB}/tree/main/unet", *["404 404 404 404 404"] * 3
    ),
    ("GET", "/{organisation}/{model}/resolve/{revision}/{path:path}"): [
        *readable("/mos/m-*/resolve/main/weights.bin"),
        *readable("/mos/m-*/resolve/{commit_*}/weights.bin"),
    ],
    ("HEAD", "/{organisation}/{model}/resolve/{revision}/{path:path}"): readable(
        "/mos/m-*/resolve/main/weights.bin"
    ),
}

LISTS = (
    "/v1/concepts",
    "/v1/submissions",
    "/v1/fusions",
    "/v1/models",
    "/v1/tokens",
    "/v1/concepts/ada/zopen/1/models",
    "/v1/files/{zopen_digest}",
    "/api/models",
)
"""What lists things; nothing that a caller may not read shows in any of them."""

HIDDEN = {
    "ada": (),
    "sam": ("zhidden", "zpending", "zuploading", "zrejected"),
    "bob": ("zhidden", "zshared", "zpending", "zuploading", "zrejected", "m-queued", "m-failed"),
    "rita": (),
    "root": (),
}
SHOWN = {
    "/v1/concepts": ("zopen", "zgone"),
    "/v1/fusions": ("zopen",),
    "/v1/models": ("zopen", "m-mixed"),
    "/api/models": ("m-zopen",),
}
"""What everybody sees there, so that an empty list does not pass for a safe one."""

RPC_EXPECTED: dict[str, str] = {
    # ada's namespace, and ada's upload. Everything that ada may do ends well or for other reasons.
    "/mos.v1.Submissions/Offer": "OK PERMISSION_DENIED PERMISSION_DENIED PERMISSION_DENIED OK",
    "/mos.v1.Submissions/PutBlob": "OK NOT_FOUND NOT_FOUND OK OK",
    "/mos.v1.Submissions/Commit": "OK NOT_FOUND NOT_FOUND OK OK",
    "/mos.v1.Submissions/Watch": "OK NOT_FOUND NOT_FOUND OK OK",
}
