from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from center_steps import contents
from concept_packages import PNG, small_layer_map, write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_protocol.layer_map import LayerMap
from mos_protocol.moments import moments_path


async def test_a_base_is_shown_with_its_layer_map_and_prior(
    running: Any, center: Center, tmp_path: Path
) -> None:
    folder = write_package(tmp_path / "prior")
    files = {block.name: folder / moments_path(block.name) for block in small_layer_map().blocks}
    center.bases.add("small", tmp_path, small_layer_map(), files)

    shown = (await running.http.get("/v1/bases/small")).json()
    listed = (await running.http.get("/v1/bases")).json()
    prior = await running.http.get("/v1/bases/small/prior/text_encoder")

    assert listed == {"items": [shown], "next_cursor": None}
    assert LayerMap.model_validate(shown["layer_map"]) == small_layer_map()
    assert prior.content == files["text_encoder"].read_bytes()
    assert shown["prior"]["text_encoder"] == {
        "sha256": prior.headers["etag"].strip('"'),
        "size": len(prior.content),
    }


async def test_concepts_are_listed_in_pages_and_found_by_filters(
    running: Any, submit: Callable[..., Submission]
) -> None:
    for number in range(5):
        submit(concept=f"ada/c{number}", words=(f"<c{number}>",))
    submit(concept="bob/cat", words=("<cat1>",))
    pages, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await running.http.get("/v1/concepts", params=params)).json()
        pages.append([item["name"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    names = [name for page in pages for name in page]
    assert sorted(names) == ["ada/c0", "ada/c1", "ada/c2", "ada/c3", "ada/c4", "bob/cat"]
    for params, count in (
        ({"owner": "bob"}, 1),
        ({"q": "CAT1"}, 1),
        ({"q": "%"}, 0),
        ({"base": "small"}, 6),
        ({"base": "other"}, 0),
    ):
        page = (await running.http.get("/v1/concepts", params=params)).json()
        assert len(page["items"]) == count, params


async def test_a_concept_shows_its_manifest_and_gives_out_previews_only(
    running: Any, submit: Callable[..., Submission]
) -> None:
    submission = submit()

    shown = (await running.http.get("/v1/concepts/ada/potter/1")).json()
    preview = await running.http.get("/v1/concepts/ada/potter/1/files/previews/0.7.png")
    tensors = await running.http.get("/v1/concepts/ada/potter/1/files/concept.safetensors")

    assert shown["previews"] == ["previews/0.7.png"]
    assert shown["manifest"] == submission.manifest.model_dump(mode="json")
    assert (shown["state"], shown["rank"]) == ("approved", 2)
    assert preview.headers["content-type"] == "image/png"
    assert preview.content.startswith(PNG)
    assert tensors.status_code == 404


async def test_a_reviewer_sees_and_rejects_a_submission(
    running: Any, center: Center, package: Path
) -> None:
    offer = center.submissions.offer((package / "manifest.json").read_bytes(), caller=LOCAL)

    listed = (await running.http.get("/v1/submissions?state=uploading")).json()
    rejected = await running.http.post(
        f"/v1/submissions/{offer.submission.id}/reject", json={"reason": "no consent"}
    )
    shown = (await running.http.get(f"/v1/submissions/{offer.submission.id}")).json()

    assert [item["id"] for item in listed["items"]] == [offer.submission.id]
    assert rejected.json() == shown
    assert (shown["state"], shown["reason"], shown["version"]) == ("rejected", "no consent", None)
    approved = await running.http.post(f"/v1/submissions/{offer.submission.id}/approve")
    assert approved.status_code == 409
    assert contents(package)
