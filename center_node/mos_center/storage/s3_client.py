"""One bucket of an S3 server, with its failures as `MosError`s."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from mos_protocol.errors import InvalidRequest, MosError, Unavailable
from urllib3.exceptions import HTTPError

log = logging.getLogger(__name__)

PIECE = 1 << 20
PART = 16 << 20
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
_ABSENT = frozenset({"NoSuchKey", "NoSuchObject", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed"})
_OURS = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_REFUSED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
)


@dataclass(frozen=True)
class S3Access:
    """Where a bucket is and what opens it; endpoint: `http[s]://host[:port]`."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True)
class S3Object:
    """What the server tells of an object."""

    key: str
    size: int
    etag: str
    changed: datetime


class S3Bucket:
    """Reads and writes objects. Thread-safe.

    Calls that may be repeated are, a few times; then a server that is away is `Unavailable`.
    """

    def __init__(self, access: S3Access) -> None:
        self.name = access.bucket
        self._endpoint = access.endpoint
        self._client = _client(access)

    def __repr__(self) -> str:
        return f"S3Bucket({self._endpoint}/{self.name})"

    def check(self) -> None:
        """Make the bucket unless it is there; raises `InvalidRequest` when that is not allowed."""
        try:
            with self._told():
                if not self._client.bucket_exists(bucket_name=self.name):
                    self._make()
        except _RefusedError as error:
            raise InvalidRequest(
                f"The S3 server at {self._endpoint} does not let this center use the bucket "
                f"{self.name!r} ({error.reason}).",
                hint="Check MOS_S3_BUCKET, MOS_S3_ACCESS_KEY, MOS_S3_SECRET_KEY and MOS_S3_REGION, "
                "and that the keys may list, read, write and delete in this bucket.",
            ) from None
        except ValueError as error:
            raise InvalidRequest(
                f"{self.name!r} can't be a bucket: {error}.", hint="Correct MOS_S3_BUCKET."
            ) from None

    def stat(self, key: str) -> S3Object | None:
        """What is at the key; None when nothing is."""
        with self._told():
            try:
                found = self._client.stat_object(bucket_name=self.name, object_name=key)
            except S3Error as error:
                if error.code in _ABSENT:
                    return None
                raise
        return _object(found)

    @contextmanager
    def read(self, key: str, offset: int = 0, etag: str = "") -> Iterator[S3Stream | None]:
        """The object from `offset`; None when it is not there, or not with this ETag any more."""
        stream = self.open(key, offset, etag)
        try:
            yield stream
        finally:
            if stream is not None:
                stream.close()

    def open(self, key: str, offset: int = 0, etag: str = "") -> S3Stream | None:
        """As `read`; the caller closes."""
        headers = {"If-Match": f'"{etag}"'} if etag else None
        with self._told():
            try:
                response = self._client.get_object(
                    bucket_name=self.name, object_name=key, offset=offset, request_headers=headers
                )
            except S3Error as error:
                if error.code in _ABSENT | _CHANGED:
                    return None
                raise
        return S3Stream(response, self._endpoint)

    def put(self, key: str, path: Path, size: int) -> None:
        """Write a file, in parts when it is large; readers see all of it or nothing."""
        with self._told(), path.open("rb") as source:
            self._client.put_object(
                bucket_name=self.name,
                object_name=key,
                data=source,
                length=size,
                # No more than 10,000 parts are allowed; one is in memory at a time.
                part_size=max(PART, -(-size // 9000)),
                num_parallel_uploads=1,
            )

    def copy(self, source: str, target: str, etag: str) -> str | None:
        """Copy within the server if `source` still has this ETag; returns the copy's ETag."""
        origin = CopySource(bucket_name=self.name, object_name=source, match_etag=etag)
        with self._told():
            try:
                done = self._client.copy_object(
                    bucket_name=self.name, object_name=target, source=origin
                )
            except S3Error as error:
                if error.code in _ABSENT | _CHANGED:
                    return None
                raise
        return _bare(done.etag)

    def remove(self, key: str) -> None:
        """Remove the object if it is there."""
        with self._told():
            self._client.remove_object(bucket_name=self.name, object_name=key)

    def objects(self, prefix: str) -> Iterator[S3Object]:
        """Everything whose key begins with `prefix`."""
        with self._told():
            for found in self._client.list_objects(
                bucket_name=self.name, prefix=prefix, recursive=True
            ):
                if not found.is_dir:
                    yield _object(found)

    def signed(
        self, method: str, key: str, lifetime: timedelta, answer: Mapping[str, str] | None = None
    ) -> str:
        """A URL that may be called without keys; `answer`: headers that a GET shall return."""
        fields: dict[str, Any] = {f"response-{name}": text for name, text in (answer or {}).items()}
        url: str = self._client.get_presigned_url(
            method=method,
            bucket_name=self.name,
            object_name=key,
            expires=lifetime,
            response_headers=fields or None,
        )
        return url

    def _make(self) -> None:
        try:
            self._client.make_bucket(bucket_name=self.name)
        except S3Error as error:
            # Another process of this center was quicker.
            if error.code not in _OURS:
                raise
        log.info("store.bucket_made bucket=%s", self.name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told_as_mos_errors(self._endpoint):
            yield


class S3Stream(io.RawIOBase):
    """An object's bytes as they arrive; `close` gives the connection back."""

    def __init__(self, response: urllib3.BaseHTTPResponse, endpoint: str) -> None:
        self._response = response
        self._endpoint = endpoint

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with told_as_mos_errors(self._endpoint):
            data = self._response.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def pieces(self) -> Iterator[bytes]:
        """All that is left, in pieces of bounded size."""
        while data := self.read(PIECE):
            yield data

    def close(self) -> None:
        if not self.closed:
            # Closed rather than drained: what was not read can be gigabytes.
            self._response.close()
            self._response.release_conn()
        super().close()


class _RefusedError(MosError):
    """The server knows the keys or not, but lets them do nothing."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(
            f"The center's file store at {endpoint} refused a call ({reason}).",
            hint="Ask the center's operator to check the store's keys and bucket.",
        )
        self.reason = reason


@contextmanager
def told_as_mos_errors(endpoint: str) -> Iterator[None]:
    """Translate what the client raises; `endpoint` is for the message."""
    try:
        yield
    except S3Error as error:
        if error.code in _REFUSED:
            log.error("store.refused endpoint=%s code=%s", endpoint, error.code)
            raise _RefusedError(endpoint, str(error.code)) from None
        raise _away(endpoint, str(error.code)) from None
    except (ServerError, InvalidResponseError) as error:
        raise _away(endpoint, type(error).__name__) from None
    except (HTTPError, MinioException, ConnectionError, TimeoutError) as error:
        raise _away(endpoint, _cause(error)) from None


def _away(endpoint: str, reason: str) -> Unavailable:
    log.warning("store.unavailable endpoint=%s reason=%s", endpoint, reason)
    return Unavailable(
        f"The center's file store at {endpoint} can't be reached or is busy ({reason}).",
        hint="Try again.",
    )


def _cause(error: BaseException) -> str:
    """The kind of the failure alone: its text may hold a signed address."""
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, BaseException) else error).__name__


def _client(access: S3Access) -> Minio:
    parts = urlsplit(access.endpoint)
    try:
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/")
        if wrong:
            raise ValueError("not of that form")
        return Minio(
            endpoint=parts.netloc,
            access_key=access.access_key,
            secret_key=access.secret_key,
            secure=parts.scheme == "https",
            region=access.region,
            http_client=_Connections(),
        )
    except ValueError as error:
        raise InvalidRequest(
            f"{access.endpoint!r} is no address of an S3 server: {error}.",
            hint="Write it as http://host:port or https://host:port.",
        ) from None


class _Connections(urllib3.PoolManager):
    """Connections that try again, and have the server check what it is sent.

    Not every server compares the signed sha256 of a body; MD5 is what all of them know.
    """

    def __init__(self) -> None:
        super().__init__(
            maxsize=16,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(
                total=4, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)
            ),
        )

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        body, headers = options.get("body"), options.get("headers") or {}
        if method == "PUT" and isinstance(body, bytes) and "Content-MD5" not in headers:
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            headers["Content-MD5"] = base64.b64encode(digest).decode()
        return super().urlopen(method, url, redirect, **options)


def _object(found: Any) -> S3Object:
    return S3Object(found.object_name, found.size, _bare(found.etag), found.last_modified)


def _bare(etag: str | None) -> str:
    return (etag or "").strip('"')
