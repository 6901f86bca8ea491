"""Certificates: whom a client trusts, and what it proves itself with."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
from mos_protocol.errors import InvalidRequest, MosError


@dataclass(frozen=True)
class Tls:
    """PEM data for https centers: a private CA, and a client's certificate for mutual TLS.

    Without a CA, the authorities that are known to everybody are trusted.
    """

    ca: str | None = None
    cert: Path | None = None
    key: Path | None = field(default=None, repr=False)

    @classmethod
    def of(cls, ca: Path | None, cert: Path | None, key: Path | None) -> Self:
        """From files, checked; raises `InvalidRequest` that names the one which can't be used."""
        found = cls(_text(ca, "--ca or MOS_CA") if ca else None, cert, key)
        found.context()
        return found

    def context(self) -> ssl.SSLContext:
        """What HTTP connections are made with."""
        context = ssl.create_default_context()
        if self.ca is not None:
            try:
                context = ssl.create_default_context(cadata=self.ca)
            except ssl.SSLError as error:
                raise InvalidRequest(
                    f"The center's CA is no certificate ({error.reason or error}).",
                    hint="Give a PEM file with --ca or MOS_CA.",
                ) from None
        if self.cert is not None:
            self._load_own(context, self.cert)
        return context

    def grpc_credentials(self) -> grpc.ChannelCredentials:
        """What gRPC connections are made with."""
        cert = self.cert.read_bytes() if self.cert else None
        key = (self.key or self.cert).read_bytes() if self.cert else None
        return grpc.ssl_channel_credentials(self.ca.encode() if self.ca else None, key, cert)

    def _load_own(self, context: ssl.SSLContext, cert: Path) -> None:
        _text(cert, "MOS_CLIENT_CERT")
        if self.key is not None:
            _text(self.key, "MOS_CLIENT_KEY")
        try:
            context.load_cert_chain(cert, self.key, password="")
        except ssl.SSLError as error:
            raise InvalidRequest(
                f"{cert} and {self.key or 'its key'} can't be used as a client's certificate "
                f"({error.reason or error}).",
                hint="Both must be PEM, belong together, and the key must have no password.",
            ) from None


def tls_problem(url: str, told: str) -> MosError | None:
    """What a failed connection says of certificates, as an error that says what to do; or None."""
    for pattern, message, hint in _PROBLEMS:
        if found := re.search(pattern, told, re.IGNORECASE):
            reason = found.group(1).strip() if found.groups() else ""
            return InvalidRequest(message.format(url=url, reason=reason), hint=hint)
    return None


_PROBLEMS = (
    (
        r"Hostname mismatch|IP address mismatch|doesn't match|is not valid for '",
        "The certificate of {url} is for another name.",
        "Use the name that is in the certificate, or have the center get one for this name.",
    ),
    (
        r"certificate has expired",
        "The certificate of {url} has expired.",
        "Ask the center's operator to renew it, and check this machine's clock.",
    ),
    (
        r"certificate verify failed: ([^(\]]+)",
        "The certificate of {url} can't be trusted: {reason}.",
        "If the center has a CA of its own, give its file with --ca or MOS_CA.",
    ),
    (
        r"CERTIFICATE_REQUIRED|certificate required",
        "The center at {url} lets in only clients that have a certificate.",
        "Set MOS_CLIENT_CERT and MOS_CLIENT_KEY to yours; its operator signs it.",
    ),
    (
        r"ALERT_UNKNOWN_CA|unknown ca|ALERT_BAD_CERTIFICATE|DECRYPT_ERROR",
        "The center at {url} does not accept this client's certificate.",
        "Check MOS_CLIENT_CERT and MOS_CLIENT_KEY: the center's operator must have signed it.",
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|packet length too long|record layer failure",
        "What answers at {url} speaks no TLS.",
        "Write the address with http:// if the center has no certificate.",
    ),
)


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidRequest(
            f"The certificate file {path} can't be read: {reason}.", hint=f"Correct {option}."
        ) from None
