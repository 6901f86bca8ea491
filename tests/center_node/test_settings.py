from __future__ import annotations

from pathlib import Path

import pytest
from mos_center.domain.policy import Previews, Review
from mos_center.settings import Settings, load_settings
from mos_protocol.errors import InvalidRequest


def test_options_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOS_PORT", "9000")
    monkeypatch.setenv("MOS_REVIEW", "manual")
    environment = {"MOS_PORT": "9000", "MOS_REVIEW": "manual"}

    settings = load_settings(environment, port=9001, host=None)

    assert (settings.port, settings.host) == (9001, "127.0.0.1")
    assert settings.review is Review.MANUAL


def test_an_unknown_setting_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"MOS_PROT is no setting.*MOS_PORT"):
        load_settings({"MOS_PROT": "9000"})


def test_the_clients_settings_may_share_the_environment() -> None:
    assert load_settings({"MOS_CENTER": "http://center", "MOS_TOKEN": "x"}).port == 8000


def test_a_bad_value_is_told_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="MOS_GRPC_PORT: Input should be less than"):
        load_settings({}, grpc_port=70000)


def test_models_are_sampled_where_that_is_quick_unless_told_otherwise() -> None:
    assert load_settings({}).previews is Previews.AUTO
    assert load_settings({}, previews="never").previews is Previews.NEVER
    with pytest.raises(InvalidRequest, match="MOS_PREVIEWS"):
        load_settings({}, previews="yes")


def test_the_cache_of_sums_has_a_limit_that_may_be_nothing() -> None:
    assert load_settings({}).sums_cache_bytes == 4 << 30
    assert load_settings({}, sums_cache_bytes=0).sums_cache_bytes == 0
    assert load_settings({}, data=Path("x")).sums == Path("x/sums")
    with pytest.raises(InvalidRequest, match="MOS_SUMS_CACHE_BYTES: Input should be greater"):
        load_settings({}, sums_cache_bytes=-1)
    with pytest.raises(InvalidRequest, match="MOS_SUMS_CACHE_BYTES"):
        load_settings({}, sums_cache_bytes="plenty")


def test_the_database_password_is_not_shown() -> None:
    settings = Settings(database_url="postgresql+psycopg://mos:hunter2@db/mos")

    assert "hunter2" not in repr(settings)
    assert settings.url == "postgresql+psycopg://mos:hunter2@db/mos"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("center.example", False),
    ],
)
def test_only_loopback_counts_as_closed_to_others(host: str, loopback: bool) -> None:
    assert Settings(host=host, data=Path("x")).is_loopback is loopback
