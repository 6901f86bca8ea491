"""The registry over HTTP: visibility, withdrawal, lineage, aliases, search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from callers import ADA
from center_steps import fuse, send_files
from concept_packages import write_package
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import BaseRecord, Submission
from mos_center.service.center import Center


@pytest.fixture(autouse=True)
def demo(running: Any, center: Center, submit: Callable[..., Submission]) -> None:
    """ada's public potter and bob's private cat, and the model demo of both."""
    submit(concept="ada/potter", words=("<potter>",), licence="CC-BY-4.0")
    submit(concept="bob/cat", words=("<cat>",))
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    fuse(center, running.data, "demo", ["ada/potter@1", "bob/cat@1"])


async def answer(running: Any, method: str, path: str, status: int = 200, **more: Any) -> Any:
    response = await running.http.request(method, path, **more)
    assert response.status_code == status, response.text
    return response.json() if response.content else None


async def test_a_concept_is_shown_and_shared(running: Any, center: Center) -> None:
    center.members.add("eve", caller=LOCAL)
    path = "/v1/concepts/bob/cat"

    shown = await answer(running, "PATCH", path, json={"visibility": "shared"})
    shared = await answer(running, "PUT", f"{path}/shares/eve")
    overview = await answer(running, "GET", path)
    unshared = await answer(running, "DELETE", f"{path}/shares/eve")

    assert (shown["visibility"], shown["shares"]) == ("shared", [])
    assert shared == overview
    assert overview["shares"] == ["eve"]
    assert [item["version"] for item in overview["versions"]] == [1]
    assert unshared["shares"] == []
    await answer(running, "PUT", f"{path}/shares/nobody", 404)
    await answer(running, "PATCH", path, 422, json={"visibility": "secret"})
    await answer(running, "GET", "/v1/concepts/bob/dog", 404)


async def test_others_read_a_concept_without_its_shares(running: Any, center: Center) -> None:
    center.members.add("admin", Role.ADMIN, caller=LOCAL)
    center.members.add("eve", caller=LOCAL)
    secret, _ = center.tokens.create("eve", "laptop", caller=LOCAL)
    headers = {"Authorization": f"Bearer {secret}"}

    potter = await answer(running, "GET", "/v1/concepts/ada/potter", headers=headers)

    assert (potter["visibility"], potter["shares"]) == ("public", None)
    await answer(running, "GET", "/v1/concepts/bob/cat", 404, headers=headers)
    await answer(
        running, "PATCH", "/v1/concepts/ada/potter", 403, headers=headers,
        json={"visibility": "private"},
    )  # fmt: skip


async def test_a_withdrawal_names_what_it_touches_and_where_to_go_on(running: Any) -> None:
    await answer(running, "PUT", "/v1/models/demo/aliases/champion", json={"version": 1})

    withdrawn = await answer(
        running, "POST", "/v1/concepts/ada/potter/1/withdraw", json={"reason": "asked to"}
    )

    (affected,) = withdrawn["affected"]
    assert (affected["model"], affected["version"]) == ("demo", 1)
    assert affected["aliases"] == ["champion"]
    assert affected["tombstone_reason"] == "ada/potter@1 was withdrawn: asked to"
    concept = withdrawn["concept"]
    assert (concept["state"], concept["reason"]) == ("withdrawn", "asked to")
    assert concept["previews"] == []
    fusion = await answer(running, "POST", affected["refusion"], 202)
    assert [item["name"] for item in fusion["concepts"]] == ["bob/cat"]
    assert await answer(running, "POST", affected["refusion"], 200) == fusion
    await answer(running, "POST", "/v1/concepts/ada/potter/1/withdraw", 422, json={"reason": ""})


async def test_files_of_a_tombstoned_version_are_gone_on_every_route(running: Any) -> None:
    buried = await answer(
        running, "POST", "/v1/models/demo/1/tombstone", json={"reason": "wrong weights"}
    )

    assert buried["tombstone_reason"] == "wrong weights"
    problem = await answer(running, "GET", "/v1/models/demo/1/files/weights.bin", 410)
    assert problem["code"] == "gone"
    assert "wrong weights" in problem["detail"]
    for path in ("/mos/demo/resolve/v1/weights.bin", "/api/models/mos/demo/revision/v1"):
        await answer(running, "GET", path, 410)
    listed = await answer(running, "GET", "/v1/models/demo")
    assert [item["tombstone_reason"] for item in listed["versions"]] == ["wrong weights"]


async def test_a_preview_of_a_withdrawn_concept_is_gone(running: Any) -> None:
    path = "/v1/concepts/ada/potter/1"
    await answer(running, "GET", path)
    await answer(running, "POST", f"{path}/withdraw", json={"reason": "asked to"})

    await answer(running, "GET", f"{path}/files/previews/0.7.png", 410)


async def test_lineage_goes_both_ways(running: Any) -> None:
    lineage = await answer(running, "GET", "/v1/models/demo/latest/lineage")
    versions = await answer(running, "GET", "/v1/concepts/ada/potter/1/models")

    assert [
        (item["name"], item["owner"], item["state"], item["visibility"], item["licence"])
        for item in lineage["concepts"]
    ] == [
        ("ada/potter", "ada", "approved", "public", "CC-BY-4.0"),
        ("bob/cat", "bob", "approved", "private", ""),
    ]
    assert lineage["settings"]["solver"] == "closed-form"
    related = ("predecessor", "successor", "refusion_of", "refusions")
    assert [lineage[relation] for relation in related] == [None, None, None, []]
    assert [(item["model"], item["version"]) for item in versions["items"]] == [("demo", 1)]
    await answer(running, "GET", "/v1/models/demo/2/lineage", 404)


async def test_a_file_is_looked_up_by_its_hash(running: Any) -> None:
    version = await answer(running, "GET", "/v1/models/demo/1")
    concept = await answer(running, "GET", "/v1/concepts/ada/potter/1")

    weights = await answer(running, "GET", f"/v1/files/{version['files'][0]['sha256']}")
    manifest = await answer(running, "GET", f"/v1/files/{concept['manifest_digest']}")

    assert weights["models"] == [{"model": "demo", "version": 1, "path": "weights.bin"}]
    assert manifest["concepts"] == [
        {"concept": "ada/potter", "version": 1, "state": "approved", "path": "manifest.json"}
    ]
    await answer(running, "GET", f"/v1/files/{'0' * 64}", 404)
    await answer(running, "GET", "/v1/files/abc", 422)


async def test_an_alias_is_moved_rolled_back_and_removed(
    running: Any, center: Center, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter", words=("<potter>",))
    fuse(center, running.data, "demo", ["ada/potter@2"])
    path = "/v1/models/demo/aliases/champion"
    for version in (1, 2):
        await answer(running, "PUT", path, json={"version": version})

    assert (await answer(running, "POST", f"{path}/rollback"))["version"] == 1
    assert (await answer(running, "POST", f"{path}/rollback", json={"to": 2}))["version"] == 2
    await answer(running, "DELETE", path, 204)
    history = await answer(running, "GET", f"{path}/history", params={"limit": 3})
    rest = await answer(
        running, "GET", f"{path}/history", params={"cursor": history["next_cursor"]}
    )

    moves = [*history["items"], *rest["items"]]
    assert [(move["version"], move["by"]) for move in moves] == [
        (version, "local") for version in (None, 2, 1, 2, 1)
    ]
    await answer(running, "DELETE", path, 404)
    await answer(running, "POST", f"{path}/rollback", 422, json={"to": 9})


async def test_concepts_and_models_are_searched(running: Any) -> None:
    for path, params, names in (
        ("/v1/concepts", {"word": "<cat>"}, ["bob/cat"]),
        ("/v1/concepts", {"visibility": "public"}, ["ada/potter"]),
        ("/v1/concepts", {"state": "withdrawn"}, []),
        ("/v1/concepts", {"sort": "name"}, ["ada/potter", "bob/cat"]),
        ("/v1/models", {"concept": "bob/cat"}, ["demo"]),
        ("/v1/models", {"owner": "ada"}, []),
        ("/v1/models", {"q": "POTTER", "base": "small"}, ["demo"]),
    ):
        page = await answer(running, "GET", path, params=params)
        found = [item.get("name") or item["model"] for item in page["items"]]
        assert found == names, (path, params)


async def test_a_reviewer_reads_what_a_submission_states(
    running: Any, center: Center, base: BaseRecord, tmp_path: Path
) -> None:
    folder = write_package(
        tmp_path / "package", base.layer_map, concept="ada/hat", seed=9, licence="CC0", consent=""
    )
    submission = send_files(center, folder, ADA)

    offered = await answer(running, "GET", f"/v1/submissions/{submission.id}")
    center.validation.commit(submission.id, caller=ADA)
    checked = await answer(running, "GET", f"/v1/submissions/{submission.id}")

    assert (offered["licence"], offered["consent"], offered["submitted_by"]) == ("CC0", "", "ada")
    assert offered["warnings"] == [
        "no consent of whoever is shown is stated",
        "there is no description",
    ]
    assert offered["previews"] == []
    assert checked["previews"] == ["/v1/concepts/ada/hat/1/files/previews/0.7.png"]
    assert (await running.http.get(checked["previews"][0])).status_code == 200
