"""The connection that a session's calls share: REST, and gRPC once something is uploaded."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from mos_client.session.prior import fetch_prior
from mos_client.session.rest import RestClient
from mos_client.session.results import Base, CenterInfo
from mos_client.session.retry import Backoff
from mos_client.session.submissions import SubmissionsClient, grpc_target
from mos_client.session.tls import Tls


class Connection:
    """REST and gRPC to one center, what it is, and its base models."""

    def __init__(
        self,
        center: str,
        token: str | None = None,
        *,
        grpc_target: str | None = None,
        timeout: float = 30.0,
        backoff: Backoff | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._tls = tls or Tls()
        self._rest = RestClient(center, token, timeout, self._backoff, self._tls)
        self._token = token
        self._grpc_target = grpc_target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        token = "***" if self._token else None
        return f"{type(self).__name__}({self._rest.url!r}, token={token})"

    def close(self) -> None:
        """Close the connections; the session can't be used afterwards."""
        self._rest.close()
        if "_submissions" in self.__dict__:
            self._submissions.close()

    def center(self) -> CenterInfo:
        """The center's version and addresses."""
        return self._rest.get(CenterInfo, "/v1/center")

    def check_uploads(self) -> str:
        """Raise `Unavailable` unless packages can be uploaded from here; return where to."""
        self._submissions.check()
        return self._submissions.target

    def bases(self) -> list[Base]:
        """The base models that the center has registered."""
        return list(self._rest.pages(Base, "/v1/bases"))

    def base(self, name: str) -> Base:
        """One registered base model."""
        return self._rest.get(Base, f"/v1/bases/{quoted(name)}")

    def base_prior(self, name: str, out: Path) -> Path:
        """Fetch a base's prior moments to `out`/moments; files already there are kept.

        Raises `NotFound` when the base was registered without a prior.
        """
        return fetch_prior(self._rest, self.base(name), out)

    @cached_property
    def _submissions(self) -> SubmissionsClient:
        target = self._grpc_target or grpc_target(self.center().grpc, self._rest.url)
        return SubmissionsClient(
            target,
            self._token,
            # A center has TLS for both or for neither.
            tls=self._tls if self._rest.url.startswith("https:") else None,
            request_id=self._rest.request_id,
        )


def quoted(part: str) -> str:
    """One part of a path, whatever is in it."""
    return quote(part, safe="")
