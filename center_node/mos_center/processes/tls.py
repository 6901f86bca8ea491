"""Certificates of the listeners: one for REST and gRPC, read again when its files change."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
from mos_protocol.errors import InvalidRequest

from mos_center.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the certificate chain, its key, and the CA of clients for mutual TLS."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> TlsFiles | None:
        """The settings' files, or None without TLS; raises `InvalidRequest`."""
        cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
        if cert is None and key is None and client_ca is None:
            return None
        if cert is None or key is None:
            raise InvalidRequest(
                "TLS needs a certificate and its key.", hint="Set MOS_TLS_CERT and MOS_TLS_KEY."
            )
        files = cls(cert, key, client_ca)
        files.check()
        return files

    def check(self) -> None:
        """Raise `InvalidRequest` unless they can be read and the key is the certificate's."""
        for path in (self.cert, self.key, *((self.client_ca,) if self.client_ca else ())):
            if not path.is_file():
                raise InvalidRequest(
                    f"{path} is not there.", hint="Correct MOS_TLS_CERT, _KEY or _CLIENT_CA."
                )
        try:
            self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except (ssl.SSLError, OSError) as error:
            raise InvalidRequest(
                f"{self.cert} and {self.key} can't be used for TLS: {error}.",
                hint="Both must be PEM files, and belong together.",
            ) from None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have new connections of `context` use the files as they are now."""
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever one of the files does."""
        paths = (self.cert, self.key, *((self.client_ca,) if self.client_ca else ()))
        found = [path.stat() for path in paths]
        return tuple((item.st_mtime_ns, item.st_ino) for item in found)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Credentials that take up a changed certificate with the next connection."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            _Renewal(self),  # type: ignore[arg-type] # may return None: nothing changed
            require_client_authentication=self.client_ca is not None,
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        ca = self.client_ca.read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)


class _Renewal:
    """Asked by gRPC at every new connection; None means that nothing changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = files.stamp()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            self._files.check()
            configuration = self._files._configuration()
        except (InvalidRequest, OSError) as error:
            # Half-written or wrong: the old one is still good.
            log.warning("tls.not_renewed reason=%s", error)
            return None
        self._stamp = stamp
        log.info("tls.renewed for=%s", "grpc")
        return configuration


class RestRenewal:
    """Takes up a changed certificate in the context that REST's connections begin with."""

    def __init__(self, files: TlsFiles, context: ssl.SSLContext) -> None:
        self._files = files
        self._context = context
        self._stamp = files.stamp()

    def look(self) -> None:
        """Load the files if they changed; what can't be used is told in the log."""
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return
            self._files.check()
            self._files.load_into(self._context)
        except (InvalidRequest, OSError) as error:
            log.warning("tls.not_renewed reason=%s", error)
            return
        self._stamp = stamp
        log.info("tls.renewed for=%s", "rest")
