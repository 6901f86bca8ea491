"""The same downloads when the store gives the bytes out itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hub_model import BIG, Tools
from mos_center.settings import Settings
from servers import S3Server


@pytest.fixture
def settings(settings: Settings, s3: S3Server) -> Settings:
    told = {
        "s3_endpoint": s3.endpoint,
        "s3_bucket": s3.new_bucket(),
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
    }
    return Settings(**{**settings.model_dump(exclude_unset=True), **told})


async def test_hf_fetches_from_the_store_and_keeps_its_token_to_itself(
    tools: Tools, demo: Any, s3: S3Server
) -> None:
    ran = await tools.hf("download", "mos/demo", "extra/big.bin", "--local-dir", "here")

    assert ran.status == 0, ran.said
    assert (tools.home / "here" / "extra" / "big.bin").read_bytes() == BIG
    answer = await demo.http.get(
        "/mos/demo/resolve/v2/extra/big.bin", headers={"Authorization": f"Bearer {tools.token}"}
    )
    assert answer.status_code == 307
    assert urlsplit(answer.headers["location"]).netloc == urlsplit(s3.endpoint).netloc
    assert answer.headers["x-linked-size"] == str(len(BIG))
    assert tools.token not in answer.headers["location"]
