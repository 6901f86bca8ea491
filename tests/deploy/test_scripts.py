from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

import pytest
from deployment import COMPOSE, DEPLOY, load
from mos_center.settings import load_settings

SCRIPTS = DEPLOY / "compose"
NAMED = set(load(COMPOSE)["secrets"])


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    run("secrets.sh", folder)
    return folder


def run(script: str, *arguments: object) -> str:
    return subprocess.run(
        ["sh", SCRIPTS / script, *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


def test_secrets_and_certificates_are_all_that_compose_names(secrets: Path) -> None:
    run("certificates.sh", "center.example", secrets)

    made = {path.name for path in secrets.iterdir()}
    assert made - {"ca.key", "ca.crt"} == NAMED


def test_only_the_folders_owner_gets_at_the_secrets(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    # Containers read single files, as users of their own.
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}


def test_a_second_run_keeps_what_there_is(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    (secrets / "grafana_password").unlink()

    output = run("secrets.sh", secrets)

    after = {path.name: path.read_text() for path in secrets.iterdir()}
    assert "made grafana_password" in output
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"grafana_password"}


def test_the_center_reads_the_secrets_and_the_servers_agree(secrets: Path) -> None:
    settings = load_settings({"MOS_SECRETS_DIR": str(secrets)})

    password = (secrets / "postgres_password").read_text()
    assert settings.url == f"postgresql+psycopg://mos:{password}@postgres:5432/mos"
    (identity,) = json.loads((secrets / "s3_identities").read_text())["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": settings.s3_access_key,
            "secretKey": settings.s3_secret_key.get_secret_value(),
        }
    ]
    # MinIO takes no longer ones.
    assert len(settings.s3_secret_key.get_secret_value()) == 40


def test_certificates_are_renewed_by_the_same_authority(tmp_path: Path) -> None:
    run("certificates.sh", "center.example", tmp_path)
    authority, first = (tmp_path / "ca.crt").read_text(), (tmp_path / "tls_cert").read_text()

    run("certificates.sh", "192.0.2.7", tmp_path)

    assert (tmp_path / "ca.crt").read_text() == authority
    assert (tmp_path / "tls_cert").read_text() != first
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        tmp_path / "tls_cert", tmp_path / "tls_key"
    )
    shown = subprocess.run(
        ["openssl", "verify", "-verify_ip", "192.0.2.7", "-CAfile", "ca.crt", "tls_cert"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "tls_cert: OK\n"
