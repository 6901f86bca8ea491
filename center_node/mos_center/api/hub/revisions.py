"""A repository and revision of the hub, as one of our model versions."""

from __future__ import annotations

import re

from mos_protocol.errors import Gone, MosError, NotFound
from mos_protocol.names import LATEST

from mos_center.api.hub.errors import repository_not_found, revision_gone, revision_not_found
from mos_center.domain.access import Caller
from mos_center.domain.models import ModelVersion
from mos_center.service.center import Center
from mos_center.service.models import check_given_out

ORGANISATION = "mos"
_MAIN = "main"
_NUMBERED = re.compile(r"v(\d{1,9})", re.ASCII)


def find_version(
    center: Center, organisation: str, model: str, revision: str, caller: Caller
) -> ModelVersion:
    """The version that `v3`, `3`, `latest`, `main`, an alias or a commit means.

    Raises `NotFound`, or `Gone` when the version was tombstoned.
    """
    repository = f"{organisation}/{model}"
    if organisation != ORGANISATION:
        raise repository_not_found(repository)
    try:
        version = center.models.get(model, _own_words(revision), caller=caller)
        check_given_out(version)
    except (NotFound, Gone) as error:
        raise _told(center, repository, revision, caller, error) from None
    return version


def _own_words(revision: str) -> str:
    if revision == _MAIN:
        return LATEST
    numbered = _NUMBERED.fullmatch(revision)
    return str(int(numbered[1])) if numbered else revision


def _told(
    center: Center, repository: str, revision: str, caller: Caller, error: MosError
) -> MosError:
    if isinstance(error, Gone):
        return revision_gone(repository, error)
    try:
        center.models.versions(repository.partition("/")[2], caller=caller)
    except NotFound:
        return repository_not_found(repository)
    return revision_not_found(repository, revision)
