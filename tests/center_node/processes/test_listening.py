"""The listeners with TLS, and how they say goodbye."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from certificates import Certificates, write_certificates
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mos_center.processes.listening import listening, warn_of_plain_text
from mos_center.processes.serving import Addresses
from mos_center.processes.tls import RestRenewal, TlsFiles
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_protocol.errors import InvalidRequest, Unavailable


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return write_certificates(tmp_path / "tls")


@pytest.fixture
def secured(settings: Settings, certificates: Certificates) -> Settings:
    return settings.model_copy(update={"tls_cert": certificates.cert, "tls_key": certificates.key})


@asynccontextmanager
async def answering(center: Center, settings: Settings) -> AsyncIterator[Addresses]:
    async with listening(center, settings, asyncio.Event()) as addresses:
        yield addresses


async def health(channel: grpc.aio.Channel) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status


async def test_a_certificate_secures_both_listeners(
    center: Center, secured: Settings, certificates: Certificates
) -> None:
    async with answering(center, secured) as addresses:
        assert addresses.rest.startswith("https://")
        async with httpx.AsyncClient(verify=certificates.context()) as http:
            assert (await http.get(f"{addresses.rest}/readyz")).json() == {"status": "ready"}
        async with grpc.aio.secure_channel(addresses.grpc, certificates.credentials()) as channel:
            assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(addresses.rest)
        async with grpc.aio.insecure_channel(addresses.grpc) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await health(channel)


async def test_with_a_client_authority_nobody_else_gets_in(
    center: Center, secured: Settings, certificates: Certificates
) -> None:
    mutual = secured.model_copy(update={"tls_client_ca": certificates.client_ca})
    async with answering(center, mutual) as addresses:
        for known in (True, False):
            context = certificates.context(with_client=known)
            credentials = certificates.credentials(with_client=known)
            async with (
                httpx.AsyncClient(verify=context) as http,
                grpc.aio.secure_channel(addresses.grpc, credentials) as channel,
            ):
                if known:
                    assert (await http.get(f"{addresses.rest}/healthz")).status_code == 200
                    assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
                    continue
                with pytest.raises(httpx.HTTPError):
                    await http.get(f"{addresses.rest}/healthz")
                with pytest.raises(grpc.aio.AioRpcError):
                    await health(channel)


async def test_a_renewed_certificate_is_used_without_a_restart(
    center: Center, secured: Settings, certificates: Certificates
) -> None:
    async with answering(center, secured) as addresses:
        write_certificates(certificates.folder)
        async with grpc.aio.secure_channel(addresses.grpc, certificates.credentials()) as channel:
            assert await health(channel) == health_pb2.HealthCheckResponse.SERVING


def test_rest_takes_up_a_renewed_certificate_and_keeps_a_good_one(
    certificates: Certificates,
) -> None:
    files = TlsFiles(certificates.cert, certificates.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.load_into(context)
    renewal = RestRenewal(files, context)

    certificates.key.write_text("half a file")
    renewal.look()
    assert handshakes(context, certificates)

    write_certificates(certificates.folder)
    assert not handshakes(context, certificates)
    renewal.look()
    assert handshakes(context, certificates)


@pytest.mark.parametrize("lacking", ["tls_cert", "tls_key"])
def test_half_of_a_pair_is_refused(secured: Settings, lacking: str) -> None:
    with pytest.raises(InvalidRequest, match="a certificate and its key"):
        TlsFiles.of(secured.model_copy(update={lacking: None}))


def test_a_key_of_another_certificate_is_refused(
    secured: Settings, certificates: Certificates, tmp_path: Path
) -> None:
    other = write_certificates(tmp_path / "other")

    with pytest.raises(InvalidRequest, match="can't be used for TLS"):
        TlsFiles.of(secured.model_copy(update={"tls_key": other.key}))
    with pytest.raises(InvalidRequest, match="is not there"):
        TlsFiles.of(secured.model_copy(update={"tls_key": tmp_path / "nothing.pem"}))


@pytest.mark.parametrize(
    ("host", "proxy", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", "center.example.org:443", False), ("::1", "", False)],
)
def test_plain_text_beyond_this_machine_is_warned_of(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    host: str,
    proxy: str,
    warned: bool,
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_plain_text(settings.model_copy(update={"host": host, "grpc_address": proxy}), None)

    assert ("tls.off" in caplog.text) is warned


async def test_health_says_that_the_center_stops_before_it_does(
    center: Center, settings: Settings
) -> None:
    stopping = asyncio.Event()
    async with (
        listening(center, settings, stopping) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
        httpx.AsyncClient(base_url=addresses.rest) as http,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping.set()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        watch.cancel()


class ShakyHealth:
    """A database that comes and goes."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None

    def check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


@pytest.mark.parametrize("trouble", [Unavailable("The database is away."), RuntimeError("odd")])
async def test_health_follows_what_the_center_depends_on(
    center: Center, settings: Settings, trouble: Exception
) -> None:
    shaky = ShakyHealth()
    replaced = dataclasses.replace(center, health=shaky)
    async with (
        answering(replaced, settings) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
        httpx.AsyncClient(base_url=addresses.rest) as http,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        shaky.trouble = trouble
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await http.get("/readyz")).status_code in (500, 503)
        shaky.trouble = None
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def handshakes(server: ssl.SSLContext, certificates: Certificates) -> bool:
    """Whether a client that trusts the current authority accepts what the context shows."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = certificates.context().wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return True
