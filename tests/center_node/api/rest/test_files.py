"""Files of a center on an S3 server: from there, or through the center if clients can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from center_steps import publish
from mos_center.domain.models import Submission
from mos_center.settings import Settings
from pydantic import SecretStr
from servers import S3Server

CONTENT = bytes(range(256)) * 100
PATH = "/v1/models/demo/1/files/unet/weights.bin"


@pytest.fixture(params=[True, False], ids=["signed", "through the center"])
def settings(settings: Settings, s3: S3Server, request: pytest.FixtureRequest) -> Settings:
    access = {
        "s3_endpoint": s3.endpoint,
        "s3_bucket": s3.new_bucket(),
        "s3_access_key": s3.access_key,
        "s3_secret_key": SecretStr(s3.secret_key),
        "s3_presign": request.param,
    }
    return settings.model_copy(update=access)


@pytest.fixture
def published(running: Any, submit: Callable[..., Submission]) -> httpx.AsyncClient:
    """A client of a center with one model."""
    submit()
    publish(running.center, running.data, "demo", 1, {"unet/weights.bin": CONTENT})
    return running.http


async def test_a_file_arrives_whole_and_in_ranges(published: httpx.AsyncClient) -> None:
    whole = await published.get(PATH, follow_redirects=True)
    part = await published.get(PATH, headers={"Range": "bytes=300-309"}, follow_redirects=True)
    beyond = await published.get(PATH, headers={"Range": "bytes=99999-"}, follow_redirects=True)

    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[300:310])
    assert beyond.status_code == 416


async def test_only_a_store_that_clients_reach_is_named(
    published: httpx.AsyncClient, settings: Settings
) -> None:
    answer = await published.get(PATH)

    if settings.s3_presign:
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "no-store"
        assert "weights.bin" in answer.headers["location"]
    else:
        assert answer.status_code == 200
        assert answer.headers["accept-ranges"] == "bytes"
    known = await published.get(PATH, headers={"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304
