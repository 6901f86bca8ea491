"""What the hub's routes answer, header by header."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hub_model import BIG, member_token, point
from mos_center.domain.access import LOCAL, Scope
from mos_center.service.center import Center

FILE = "/mos/demo/resolve/v1/README.md"


@pytest.fixture
def http(demo: Any, token: str) -> Any:
    demo.http.headers["Authorization"] = f"Bearer {token}"
    return demo.http


async def test_a_repository_tells_its_commit_and_all_files(
    http: Any, center: Center, files: dict[str, bytes]
) -> None:
    version = center.models.get("demo", "1", caller=LOCAL)

    info = (await http.get("/api/models/mos/demo/revision/v1")).json()

    assert (info["id"], info["sha"]) == ("mos/demo", version.build[:40])
    assert {item["rfilename"]: item["size"] for item in info["siblings"]} == {
        path: len(content) for path, content in files.items()
    }
    for revision in ("1", info["sha"]):
        assert (await http.get(f"/api/models/mos/demo/revision/{revision}")).json() == info
    newest = (await http.get("/api/models/mos/demo")).json()
    assert newest["sha"] != info["sha"]
    assert (await http.get("/api/models")).json() == [newest]


async def test_a_folder_is_listed_alone_and_with_all_below(http: Any) -> None:
    top = (await http.get("/api/models/mos/demo/tree/v2")).json()
    everything = (await http.get("/api/models/mos/demo/tree/v2?recursive=true")).json()
    folder = (await http.get("/api/models/mos/demo/tree/v2/extra")).json()

    assert {"type": "directory", "path": "unet"}.items() <= top[-2].items()
    assert all("/" not in item["path"] for item in top)
    [big] = [item for item in everything if item["path"] == "extra/big.bin"]
    assert folder == [big]
    assert big["lfs"]["oid"] == hashlib.sha256(BIG).hexdigest()


async def test_versions_are_tags_and_aliases_are_branches(
    http: Any, demo: Any, center: Center
) -> None:
    await point(demo, center, "champion", 1)

    refs = (await http.get("/api/models/mos/demo/refs")).json()

    assert [item["name"] for item in refs["tags"]] == ["v2", "v1"]
    assert {item["name"] for item in refs["branches"]} == {"main", "latest", "champion"}


async def test_a_head_request_says_what_a_file_is(http: Any, center: Center) -> None:
    head = await http.head(FILE)

    digest = hashlib.sha256(b"# demo").hexdigest()
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == head.headers["x-linked-size"] == "6"
    assert head.headers["etag"] == head.headers["x-linked-etag"] == f'"{digest}"'
    assert head.headers["x-repo-commit"] == center.models.get("demo", "1", caller=LOCAL).commit


async def test_a_file_comes_whole_in_ranges_or_not_at_all(http: Any) -> None:
    whole = await http.get(FILE)
    part = await http.get(FILE, headers={"Range": "bytes=2-"})
    again = await http.get(FILE, headers={"If-None-Match": whole.headers["etag"]})

    assert (whole.content, whole.headers["content-length"]) == (b"# demo", "6")
    assert (part.status_code, part.content) == (206, b"demo")
    assert again.status_code == 304
    assert whole.headers["x-repo-commit"] == part.headers["x-repo-commit"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/models/mos/nothing", "RepoNotFound"),
        ("/api/models/ada/demo", "RepoNotFound"),
        ("/api/models/mos/demo/revision/v7", "RevisionNotFound"),
        ("/api/models/mos/demo/tree/v1/nothing", "EntryNotFound"),
        ("/mos/demo/resolve/v1/nothing.json", "EntryNotFound"),
    ],
)
async def test_what_is_missing_is_told_in_the_hubs_words(http: Any, path: str, kind: str) -> None:
    answer = await http.get(path)

    problem = answer.json()
    assert (answer.status_code, answer.headers["x-error-code"]) == (404, kind)
    assert answer.headers["x-error-message"].startswith(problem["detail"][:20])
    assert problem["error"] == f"{problem['detail']} {problem['hint']}"
    assert ("x-repo-commit" in answer.headers) == (kind == "EntryNotFound")


async def test_a_token_for_other_things_is_refused_with_a_reason(http: Any, center: Center) -> None:
    secret, _ = center.tokens.create("ada", "writer", scopes=[Scope.CONCEPT_WRITE], caller=LOCAL)

    answer = await http.get(FILE, headers={"Authorization": f"Bearer {secret}"})

    assert (answer.status_code, answer.headers["x-error-code"]) == (403, "GatedRepo")
    assert "model:read" in answer.headers["x-error-message"]


async def test_without_a_token_nothing_tells_whether_a_model_exists(http: Any) -> None:
    del http.headers["Authorization"]

    known = await http.get("/api/models/mos/demo")
    unknown = await http.get("/api/models/mos/nothing")

    assert known.status_code == unknown.status_code == 401
    assert known.headers["x-error-message"] == "Invalid credentials in Authorization header"
    told = [{**answer.json(), "request_id": ""} for answer in (known, unknown)]
    assert told[0] == told[1]


async def test_models_are_listed_in_pages_and_searched(http: Any) -> None:
    first = await http.get("/api/models", params={"limit": 1})

    assert [item["id"] for item in first.json()] == ["mos/demo"]
    following = await http.get(first.links["next"]["url"])
    assert (following.json(), following.links) == ([], {})
    for search, count in (("dem", 1), ("other", 0)):
        assert len((await http.get("/api/models", params={"search": search})).json()) == count
    assert (await http.get("/api/models", params={"author": "ada"})).json() == []


async def test_a_withdrawn_version_is_gone_with_its_reason(http: Any, center: Center) -> None:
    center.models.tombstone("demo", "2", "Ada wants her face back.", caller=LOCAL)

    for path in ("/api/models/mos/demo/revision/v2", "/mos/demo/resolve/v2/README.md"):
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["x-error-code"]) == (410, "RevisionNotFound")
        assert "Ada wants her face back." in answer.headers["x-error-message"]
    refs = (await http.get("/api/models/mos/demo/refs")).json()
    assert [item["name"] for item in refs["tags"]] == ["v1"]


async def test_members_find_only_what_they_may_load(http: Any, center: Center) -> None:
    stranger = {"Authorization": f"Bearer {member_token(center, 'bob')}"}

    assert (await http.get("/api/models", headers=stranger)).json() == []
    hidden = await http.get("/api/models/mos/demo", headers=stranger)
    missing = await http.get("/api/models/mos/nothing", headers=stranger)
    assert hidden.status_code == missing.status_code == 404
    assert hidden.headers["x-error-code"] == missing.headers["x-error-code"] == "RepoNotFound"
