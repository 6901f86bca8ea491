"""The file of joined centers: only the user reads it, and it is never half written."""

from __future__ import annotations

import stat

import pytest
from mos_client.credentials import Credentials, SavedCenter
from mos_protocol.errors import InvalidRequest, MosError, NotFound


def saved(number: int) -> SavedCenter:
    return SavedCenter(url=f"https://c{number}", member="ada", token=f"mos_{number}", ca="PEM")


@pytest.fixture
def credentials(tmp_path) -> Credentials:
    return Credentials(tmp_path / "new/mos-client")


def test_without_a_file_there_is_no_center(credentials):
    assert credentials.all() == ()
    assert credentials.default() is None


def test_the_center_that_was_joined_last_is_the_default(credentials):
    credentials.save(saved(1))
    credentials.save(saved(2))
    assert credentials.all() == (saved(1), saved(2))
    assert credentials.default() == saved(2)
    assert credentials.use("https://c1") == credentials.default() == saved(1)


def test_joining_again_replaces_what_was_saved(credentials):
    credentials.save(saved(1))
    credentials.save(saved(1).model_copy(update={"token": "mos_new"}))
    assert [item.token for item in credentials.all()] == ["mos_new"]


def test_a_forgotten_default_gives_way_to_another(credentials):
    credentials.save(saved(1))
    credentials.save(saved(2))
    credentials.remove("https://c2")
    assert credentials.default() == saved(1)
    credentials.remove("https://c1")
    assert credentials.default() is None


def test_only_the_user_can_read_the_file_and_nothing_else_is_left_beside_it(credentials):
    credentials.save(saved(1))
    credentials.save(saved(2))
    assert [path.name for path in credentials.folder.iterdir()] == ["credentials.json"]
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials.folder.stat().st_mode) == 0o700


def test_tokens_show_in_no_repr(credentials):
    credentials.save(saved(1))
    assert "mos_1" not in repr(credentials.all())


def test_a_center_that_was_not_joined_can_not_be_the_default(credentials):
    with pytest.raises(NotFound, match="not joined"):
        credentials.use("https://c1")


def test_a_damaged_file_is_told_with_its_path(credentials):
    credentials.save(saved(1))
    credentials.path.write_text("{")
    with pytest.raises(InvalidRequest, match=r"credentials\.json is damaged"):
        credentials.all()


def test_a_place_where_nothing_can_be_saved_is_told_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MosError, match="Nothing can be saved"):
        Credentials(tmp_path / "file/mos-client").check_writable()
