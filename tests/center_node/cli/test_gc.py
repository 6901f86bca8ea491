"""`mos-center gc`, and what commands say of a store that can't be used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from mos_center.cli.app import app
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_protocol.names import Digest
from servers import S3Server, free_ports
from typer.testing import CliRunner

CONTENT = b"nobody's"
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def runner(s3: S3Server) -> CliRunner:
    """Commands on a bucket of this test's own."""
    return CliRunner(
        env={
            "COLUMNS": "200",
            "MOS_S3_ENDPOINT": s3.endpoint,
            "MOS_S3_BUCKET": s3.new_bucket(),
            "MOS_S3_ACCESS_KEY": s3.access_key,
            "MOS_S3_SECRET_KEY": s3.secret_key,
        }
    )


def test_old_files_that_nothing_refers_to_go_and_a_dry_run_only_counts_them(
    tmp_path: Path,
) -> None:
    settings = Settings(data=tmp_path / "data")
    (tmp_path / "file").write_bytes(CONTENT)
    with opened(settings) as data:
        data.blobs.put_file(tmp_path / "file", DIGEST)
    stored = settings.blobs / DIGEST[:2] / DIGEST[2:]
    os.utime(stored, (0, 0))
    command = ["gc", "--data", str(settings.data)]
    run = CliRunner(env={"COLUMNS": "200"}).invoke

    assert (
        "1 files (0.0 MB) and 0 unfinished transfers would be"
        in run(app, [*command, "--dry-run"]).stdout
    )
    assert stored.exists()
    assert "1 files (0.0 MB) and 0 unfinished transfers removed" in run(app, command).stdout
    assert not stored.exists()


def test_a_bucket_is_collected_too(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(app, ["gc", "--data", str(tmp_path)])

    assert done.exit_code == 0, done.output
    assert "0 files" in done.stdout


def test_wrong_keys_end_with_what_to_check_and_without_the_key(
    runner: CliRunner, tmp_path: Path
) -> None:
    wrong = {"MOS_S3_SECRET_KEY": "not-the-secret"}

    done = runner.invoke(app, ["gc", "--data", str(tmp_path)], env=wrong)

    assert done.exit_code == 2
    assert "does not let this center use the bucket" in done.stderr
    assert "MOS_S3_SECRET_KEY" in done.stderr
    assert "not-the-secret" not in done.output


def test_a_store_that_is_away_ends_with_the_code_for_trying_again(
    runner: CliRunner, tmp_path: Path
) -> None:
    away = {"MOS_S3_ENDPOINT": f"http://127.0.0.1:{free_ports(1)[0]}"}

    assert runner.invoke(app, ["gc", "--data", str(tmp_path)], env=away).exit_code == 7
