from __future__ import annotations

from collections.abc import Callable

import pytest
from center_steps import publish
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import InvalidName, NotFound


@pytest.fixture
def two_versions(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    """Versions 1 and 2 of the model demo."""
    submit(), submit()
    for version in (1, 2):
        publish(center, data, "demo", version, {"README.md": b"card %d" % version})


def test_a_version_is_found_by_number_by_alias_and_as_the_latest(
    center: Center, two_versions: None
) -> None:
    pointed = center.models.point("demo", "champion", 1, "ada")

    assert pointed.aliases == ("champion",)
    assert center.models.get("demo", "champion").version == 1
    assert center.models.get("demo", "1").version == 1
    assert center.models.get("demo", "latest").version == 2
    assert center.models.get("demo", "2").aliases == ("latest",)
    assert [version.version for version in center.models.versions("demo")] == [2, 1]


def test_an_alias_moves_and_leaves_its_old_version(center: Center, two_versions: None) -> None:
    center.models.point("demo", "champion", 1, "ada")
    center.models.point("demo", "champion", 2, "ada")

    assert center.models.get("demo", "champion").version == 2
    assert center.models.get("demo", "1").aliases == ()


@pytest.mark.parametrize("alias", ["latest", "3", "No Alias"])
def test_numbers_and_latest_are_no_aliases(center: Center, two_versions: None, alias: str) -> None:
    with pytest.raises(InvalidName):
        center.models.point("demo", alias, 1, "ada")


@pytest.mark.parametrize("revision", ["3", "0", "challenger", "99999999999999999999"])
def test_a_revision_that_is_not_there_is_not_found(
    center: Center, two_versions: None, revision: str
) -> None:
    with pytest.raises(NotFound, match=f"no model demo@{revision}"):
        center.models.get("demo", revision)


def test_a_file_is_found_by_its_path_alone(center: Center, two_versions: None) -> None:
    assert center.models.file("demo", "1", "README.md").size == 6
    with pytest.raises(NotFound, match=r"has no file '\.\./README\.md'"):
        center.models.file("demo", "1", "../README.md")
