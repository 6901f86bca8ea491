"""Certificates made for one test: a center's, a client's, and the authorities of both."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files below a folder."""

    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "center.pem"

    @property
    def key(self) -> Path:
        return self.folder / "center-key.pem"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def client_ca(self) -> Path:
        return self.folder / "client-ca.pem"

    @property
    def client(self) -> Path:
        """Key and chain of a client, in one file."""
        return self.folder / "client.pem"

    def context(self, *, with_client: bool = False) -> ssl.SSLContext:
        """What an HTTP client trusts, and shows if it has a certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if with_client:
            context.load_cert_chain(self.client)
        return context

    def credentials(self, *, with_client: bool = False) -> grpc.ChannelCredentials:
        """The same for a gRPC channel."""
        pem = self.client.read_bytes() if with_client else None
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), pem, pem)


def write_certificates(folder: Path) -> Certificates:
    """Make them for 127.0.0.1; called again, everything is new."""
    folder.mkdir(exist_ok=True)
    made = Certificates(folder)
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(made.ca))
    clients.cert_pem.write_to_path(str(made.client_ca))
    clients.issue_cert("ada@example.org").private_key_and_cert_chain_pem.write_to_path(
        str(made.client)
    )
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_pem.write_to_path(str(made.key))
    made.cert.unlink(missing_ok=True)
    for part in server.cert_chain_pems:
        part.write_to_path(str(made.cert), append=True)
    return made
