"""Centers with TLS: a private CA, mutual TLS, and what is told when certificates don't fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from fake_center import TOKEN, FakeCenter
from mos_client import Backoff, Session, SubmissionState, Tls
from mos_protocol.errors import InvalidRequest, MosError, Unavailable
from tiny_package import write_package

QUICK = Backoff(attempts=2, first=0.01)


def written(path: Path, *blobs: trustme.Blob) -> Path:
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return path


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(ca: trustme.CA, tmp_path: Path) -> Iterator[Callable[..., FakeCenter]]:
    """Start a center with a certificate for `name`."""
    running: list[FakeCenter] = []

    def serve(name: str = "127.0.0.1", **options: Path) -> FakeCenter:
        issued = ca.issue_cert(name)
        fake = FakeCenter(
            cert=written(tmp_path / "center.pem", *issued.cert_chain_pems),
            key=written(tmp_path / "center.key", issued.private_key_pem),
            **options,
        )
        fake.start()
        running.append(fake)
        return fake

    yield serve
    for fake in running:
        fake.stop()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    return written(tmp_path / "ca.pem", ca.cert_pem)


@pytest.fixture
def own(ca: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    """A client's certificate and key."""
    issued = ca.issue_cert("ada.example")
    cert = written(tmp_path / "ada.pem", *issued.cert_chain_pems)
    return cert, written(tmp_path / "ada.key", issued.private_key_pem)


def refused(center: FakeCenter, tls: Tls, url: str = "") -> MosError:
    session = Session(url or center.url, TOKEN, tls=tls, backoff=QUICK)
    with session, pytest.raises(InvalidRequest) as caught:
        session.center()
    return caught.value


def test_with_the_centers_ca_everything_goes_over_tls(serve, ca_file, tmp_path):
    center = serve()
    write_package(tmp_path / "package")
    with Session(center.url, TOKEN, tls=Tls.of(ca_file, None, None)) as session:
        assert center.url.startswith("https://")
        assert session.check_uploads() == f"127.0.0.1:{center.grpc_port}"
        assert session.submit(tmp_path / "package").state is SubmissionState.APPROVED


def test_a_certificate_of_an_unknown_ca_is_told_with_what_to_do(serve):
    error = refused(serve(), Tls())
    assert "can't be trusted" in error.message
    assert "--ca or MOS_CA" in error.hint


def test_a_certificate_for_another_name_is_told(serve, ca_file):
    error = refused(serve("center.example"), Tls.of(ca_file, None, None))
    assert "is for another name" in error.message


def test_a_center_without_tls_is_told_from_one_with_a_bad_certificate(ca_file):
    fake = FakeCenter()
    fake.start()
    error = refused(fake, Tls.of(ca_file, None, None), fake.url.replace("http:", "https:"))
    fake.stop()
    assert "speaks no TLS" in error.message
    assert "http://" in error.hint


def test_a_center_may_ask_for_a_certificate_of_the_client(serve, ca_file, own, tmp_path):
    center = serve(client_ca=ca_file)
    write_package(tmp_path / "package")
    error = refused(center, Tls.of(ca_file, None, None))
    assert "MOS_CLIENT_CERT" in error.hint
    with Session(center.url, TOKEN, tls=Tls.of(ca_file, *own)) as session:
        assert session.submit(tmp_path / "package").state is SubmissionState.APPROVED


def test_a_certificate_that_the_center_does_not_know_is_told(serve, ca_file, tmp_path):
    stranger = trustme.CA().issue_cert("eve.example")
    cert = written(tmp_path / "eve.pem", *stranger.cert_chain_pems)
    key = written(tmp_path / "eve.key", stranger.private_key_pem)
    error = refused(serve(client_ca=ca_file), Tls.of(ca_file, cert, key))
    assert "does not accept" in error.message


def test_an_upload_service_with_another_certificate_can_not_be_reached(serve, ca_file):
    center = serve()
    target = f"localhost:{center.grpc_port}"
    tls = Tls.of(ca_file, None, None)
    session = Session(center.url, TOKEN, grpc_target=target, tls=tls, backoff=QUICK)
    with session, pytest.raises(Unavailable, match="upload service at localhost") as caught:
        session._submissions.check(seconds=1)
    assert "certificate" in caught.value.hint


def test_a_file_that_is_no_certificate_is_named(tmp_path, own):
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(InvalidRequest, match="CA is no certificate"):
        Tls.of(tmp_path / "text", None, None)
    with pytest.raises(InvalidRequest, match=r"nothing\.pem can't be read"):
        Tls.of(tmp_path / "nothing.pem", None, None)
    with pytest.raises(InvalidRequest, match=r"ada\.pem and .*text can't be used"):
        Tls.of(None, own[0], tmp_path / "text")
    with pytest.raises(InvalidRequest, match=r"ada\.pem and its key can't be used"):
        Tls.of(None, own[0], None)
