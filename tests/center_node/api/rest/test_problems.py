"""Every error is a problem document."""

from __future__ import annotations

from typing import Any

import pytest
from mos_protocol.errors import EDGES


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/v1/bases", 405, "invalid_request"),
        ("GET", "/v1/bases/none", 404, "not_found"),
        ("GET", "/v1/bases/none/prior/text_encoder", 404, "not_found"),
        ("GET", "/v1/concepts?limit=0", 422, "invalid_request"),
        ("GET", "/v1/concepts?limit=1000", 422, "invalid_request"),
        ("GET", "/v1/concepts?q=%00", 422, "invalid_request"),
        ("GET", "/v1/concepts/ada/potter/x", 422, "invalid_request"),
        ("GET", "/v1/concepts/ada/potter/99999999999999999999", 422, "invalid_request"),
        ("GET", "/v1/concepts/ada/potter/1", 404, "not_found"),
        ("GET", "/v1/submissions/none", 404, "not_found"),
        ("POST", "/v1/submissions/none/approve", 404, "not_found"),
        ("POST", "/v1/submissions/none/reject", 422, "invalid_request"),
        ("GET", "/v1/fusions?state=sleeping", 422, "invalid_request"),
        ("GET", "/v1/fusions/none", 404, "not_found"),
        ("GET", "/v1/fusions/none/events", 404, "not_found"),
        ("POST", "/v1/fusions/none/cancel", 404, "not_found"),
        ("POST", "/v1/fusions", 422, "invalid_request"),
        ("GET", "/v1/models/none", 404, "not_found"),
        ("GET", "/v1/models/none/latest", 404, "not_found"),
        ("GET", "/v1/models/none/1/files/README.md", 404, "not_found"),
        ("PUT", "/v1/models/none/aliases/champion", 422, "invalid_request"),
    ],
)
async def test_an_error_tells_what_came_and_what_to_do(
    running: Any, method: str, path: str, status: int, code: str
) -> None:
    response = await running.http.request(method, path)

    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/errors/{code}"
    assert problem["detail"]
    assert problem["hint"]
    assert code in EDGES


@pytest.mark.parametrize(
    "body",
    [
        b"{no json",
        b"\xff\xfe\x00",
        b"[]",
        b'"text"',
        b'{"model": "demo"}',
        b'{"model": "\\ud800", "base": "small", "concepts": []}',
        b'{"model": "demo", "base": "small", "concepts": [{"name": "ada/x", "weight": NaN}]}',
        b'{"model": "demo", "base": "small", "concepts": [{"name": "ada/x", "weight": 1e999}]}',
        b'{"model": "demo", "base": "small", '
        b'"concepts": [{"name": "ada/x", "weight": {"spatial": NaN}}]}',
        b'{"model": "demo", "base": "small", "concepts": [{"name": "ada/x", "weight": null}]}',
        b'{"model": "demo", "base": "small", "concepts": [{"name": "ada/x", "version": 0}]}',
        b'{"model": "demo", "base": "small", "concepts": [{"name": "ada/x"}], "sudo": true}',
    ],
)
async def test_a_malformed_request_is_a_problem_and_no_crash(running: Any, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    response = await running.http.post("/v1/fusions", content=body, headers=headers)

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_request"


async def test_a_large_body_is_refused_before_it_is_read(running: Any) -> None:
    response = await running.http.post("/v1/fusions", content=b" " * ((1 << 20) + 1))

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_openapi_document_promises_problems_for_every_error(running: Any) -> None:
    document = (await running.http.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    errors = [
        (status, response)
        for operation in operations
        for status, response in operation["responses"].items()
        if int(status) >= 400
    ]

    assert len(errors) > 50
    for status, response in errors:
        kinds = set(response["content"])
        assert kinds == {"application/problem+json"}, (status, response)
    assert "HTTPValidationError" not in document["components"]["schemas"]
