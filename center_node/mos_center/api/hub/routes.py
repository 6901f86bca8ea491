"""The hub's read routes. Their files and rights are those of `/v1/models`."""

from __future__ import annotations

import mimetypes
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import NotFound

from mos_center.api.hub.answers import Account, Refs, Repository, TreeEntry, tree
from mos_center.api.hub.errors import entry_not_found, repository_not_found
from mos_center.api.hub.revisions import ORGANISATION, find_version
from mos_center.api.rest.context import (
    MAX_PAGE,
    Caller,
    CenterHere,
    Cursor,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.domain.models import ModelVersion, PublishedFile
from mos_center.domain.queries import ModelQuery

router = APIRouter(tags=["hub"], dependencies=[needs_token])

MAX_SEARCH = 200
_MISSING = problems(404, 410)


@router.get("/api/whoami-v2", responses=problems())
def whoami(caller: Caller) -> Account:
    """Whose token this is, for `hf auth login` and `hf auth whoami`."""
    token = {"displayName": caller.token_id or "", "role": "read"}
    return Account(
        name=caller.name,
        fullname=caller.name,
        auth={"type": "access_token", "accessToken": token},
    )


@router.get("/api/models", responses=problems())
def list_repositories(
    request: Request,
    response: Response,
    center: CenterHere,
    caller: Caller,
    author: str | None = None,
    search: Annotated[str | None, Query(max_length=MAX_SEARCH)] = None,
    limit: Annotated[int, Query(ge=1)] = MAX_PAGE,
    cursor: Cursor = None,
) -> list[Repository]:
    """The models that the caller may load, by name, at their newest version."""
    if author not in (None, ORGANISATION):
        return []
    limit = min(limit, MAX_PAGE)
    query = ModelQuery(text=search)
    found = center.models.find(query, caller=caller, after=cursor, limit=limit)
    if len(found) == limit:
        following = request.url.include_query_params(cursor=found[-1].model)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return [Repository.of(version) for version in found if version.tombstoned_at is None]


@router.get("/api/models/{organisation}/{model}", responses=_MISSING)
def get_repository(organisation: str, model: str, center: CenterHere, caller: Caller) -> Repository:
    """A model at its newest version."""
    return Repository.of(find_version(center, organisation, model, "main", caller))


@router.get("/api/models/{organisation}/{model}/revision/{revision}", responses=_MISSING)
def get_revision(
    organisation: str, model: str, revision: str, center: CenterHere, caller: Caller
) -> Repository:
    """A model at the version that `revision` means."""
    return Repository.of(find_version(center, organisation, model, revision, caller))


@router.get("/api/models/{organisation}/{model}/refs", responses=_MISSING)
def get_refs(organisation: str, model: str, center: CenterHere, caller: Caller) -> Refs:
    """What can be named as a revision."""
    if organisation != ORGANISATION:
        raise repository_not_found(f"{organisation}/{model}")
    try:
        return Refs.of(center.models.versions(model, caller=caller))
    except NotFound:
        raise repository_not_found(f"{organisation}/{model}") from None


@router.get("/api/models/{organisation}/{model}/tree/{revision}", responses=_MISSING)
def get_tree(
    organisation: str,
    model: str,
    revision: str,
    center: CenterHere,
    caller: Caller,
    recursive: bool = False,
) -> list[TreeEntry]:
    """The files and folders of a version."""
    version = find_version(center, organisation, model, revision, caller)
    return tree(version.files, "", recursive=recursive)


@router.get("/api/models/{organisation}/{model}/tree/{revision}/{path:path}", responses=_MISSING)
def get_folder(
    organisation: str,
    model: str,
    revision: str,
    path: str,
    center: CenterHere,
    caller: Caller,
    recursive: bool = False,
) -> list[TreeEntry]:
    """The files and folders below one folder of a version."""
    version = find_version(center, organisation, model, revision, caller)
    entries = tree(version.files, path, recursive=recursive)
    if not entries:
        raise entry_not_found(version, path)
    return entries


_FILE = "/{organisation}/{model}/resolve/{revision}/{path:path}"


@router.head(_FILE, responses=_MISSING | FILE_RESPONSES, response_class=Response)
def head_file(
    organisation: str,
    model: str,
    revision: str,
    path: str,
    response: Response,
    center: CenterHere,
    caller: Caller,
) -> Response:
    """What a file is, by content; nothing of it is read."""
    version = find_version(center, organisation, model, revision, caller)
    file = _file(version, path)
    headers = {
        "Content-Length": str(file.size),
        "ETag": f'"{file.sha256}"',
        "Accept-Ranges": "bytes",
    }
    return Response(headers=headers | _linked(version, file), media_type=_media_type(path))


@router.get(_FILE, responses=_MISSING | FILE_RESPONSES, response_class=Response)
def get_file(
    organisation: str,
    model: str,
    revision: str,
    path: str,
    request: Request,
    center: CenterHere,
    caller: Caller,
) -> Response:
    """A file, whole or in ranges."""
    version = find_version(center, organisation, model, revision, caller)
    file = _file(version, path)
    fixed = revision == version.commit
    answer = blob_response(request, center.blobs, file.sha256, _media_type(path), fixed=fixed)
    answer.headers.update(_linked(version, file))
    return answer


def _file(version: ModelVersion, path: str) -> PublishedFile:
    file = version.file(path)
    if file is None:
        raise entry_not_found(version, path)
    return file


def _linked(version: ModelVersion, file: PublishedFile) -> dict[str, str]:
    """What the client keeps a file under: the version's commit and the file's content."""
    return {
        "X-Repo-Commit": version.commit,
        "X-Linked-Size": str(file.size),
        "X-Linked-ETag": f'"{file.sha256}"',
    }


def _media_type(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
