"""What the doctor finds in centers that lack something."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from center_steps import store
from certificates import write_certificates
from mos_center.doctor.examination import examine
from mos_center.doctor.findings import Finding, Level, run
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import BaseRecord, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade


def findings(settings: Settings, **changes: object) -> dict[str, Finding]:
    """What the doctor finds, by the name of the check."""
    told = {"MOS_DATA": str(settings.data), **{key: str(item) for key, item in changes.items()}}
    return {found.check: found for found in examine({}, **_options(told))}


def _options(environment: dict[str, str]) -> dict[str, object]:
    return {key.removeprefix("MOS_").lower(): value for key, value in environment.items()}


def test_a_healthy_center_has_nothing_that_fails(
    center: Center, settings: Settings, base: BaseRecord
) -> None:
    (base.path / "model_index.json").write_text("{}")

    found = findings(settings)

    assert {name: item for name, item in found.items() if item.level is Level.FAIL} == {}
    assert found["database"].found.startswith("sqlite:///")
    assert "written, read back and removed" in found["store"].found
    assert found["base small"].level is Level.OK
    # Open to this machine: fine for one person, worth a word.
    assert found["access"].level is Level.WARN


def test_the_store_is_left_as_it_was(data: OpenedData, settings: Settings) -> None:
    kept = store(data, "a", b"something")
    before = sorted(settings.blobs.rglob("*"))

    findings(settings)

    assert [path for path in sorted(settings.blobs.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]
    assert data.blobs.exists(kept.sha256)


def test_an_old_schema_and_an_empty_folder_are_failures(tmp_path: Path) -> None:
    old = SqlDatabase(f"sqlite:///{tmp_path / 'center.db'}")
    upgrade(old.engine, "0001")
    old.close()
    (tmp_path / "empty").mkdir()

    aged = findings(Settings(data=tmp_path))["database"]
    absent = findings(Settings(data=tmp_path / "empty"))["database"]
    nowhere = findings(Settings(data=tmp_path / "nothing"))["data"]

    assert (aged.level, "schema 0001" in aged.found) == (Level.FAIL, True)
    assert "mos-center migrate" in aged.todo
    assert (absent.level, "no schema" in absent.found) == (Level.FAIL, True)
    assert nowhere.level is Level.FAIL


def test_a_database_that_is_away_is_told_without_its_password(settings: Settings) -> None:
    found = findings(settings, database_url="postgresql+psycopg://mos:hunter2@127.0.0.1:9/mos")

    assert found["database"].level is Level.FAIL
    assert "hunter2" not in " ".join(item.found + item.todo for item in found.values())
    # One failure does not hide the others.
    assert found["disk"].level is not Level.FAIL


def test_a_clip_that_is_not_there_is_a_failure(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/config.json").write_text("{}")
    levels = {
        clip: findings(settings, evaluation_clip=clip)["evaluation"].level
        for clip in ("", "openai/clip-vit-base-patch32", tmp_path / "clip", tmp_path / "gone")
    }
    prompts = findings(settings, evaluation_clip="a/clip", evaluation_prompts=tmp_path / "gone")

    assert list(levels.values()) == [Level.OK, Level.OK, Level.OK, Level.FAIL]
    assert prompts["evaluation prompts"].level is Level.FAIL


def test_a_base_that_is_gone_is_a_failure(settings: Settings, base: BaseRecord) -> None:
    assert findings(settings)["base small"].level is Level.FAIL


@pytest.mark.parametrize(
    ("begins", "days", "level"),
    [(-100, 300, Level.OK), (-100, 105, Level.WARN), (-100, 90, Level.FAIL), (5, 90, Level.FAIL)],
)
def test_a_certificate_is_judged_by_its_days(
    settings: Settings, tmp_path: Path, begins: int, days: int, level: Level
) -> None:
    certificates = write_certificates(tmp_path / "tls")
    start = datetime.now(UTC) + timedelta(days=begins)
    issued = trustme.CA().issue_cert(
        "127.0.0.1", not_before=start, not_after=start + timedelta(days=days)
    )
    certificates.cert.unlink()
    issued.cert_chain_pems[0].write_to_path(str(certificates.cert))
    issued.private_key_pem.write_to_path(str(certificates.key))

    found = findings(settings, tls_cert=certificates.cert, tls_key=certificates.key)["tls"]

    assert found.level is level


def test_plain_text_and_no_tokens_beyond_this_machine(settings: Settings, center: Center) -> None:
    found = findings(settings, host="0.0.0.0")

    assert found["tls"].level is Level.WARN
    assert found["access"].level is Level.FAIL
    center.members.add("ada", Role.ADMIN, caller=LOCAL)
    center.tokens.create("ada", "laptop", caller=LOCAL)
    assert findings(settings, host="0.0.0.0")["access"].level is Level.OK


def test_a_lost_file_is_found_when_asked_for(
    settings: Settings, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submission = submit()
    lost = submission.manifest.files[0].sha256
    whole = dict(_full(settings))["files"]
    data.blobs.delete(lost)

    found = dict(_full(settings))["files"]

    assert (whole.level, found.level) == (Level.OK, Level.FAIL)
    assert lost in found.found
    assert "files" not in findings(settings)


def _full(settings: Settings) -> list[tuple[str, Finding]]:
    return [(item.check, item) for item in examine({}, full=True, data=settings.data)]


def test_waiting_fusions_without_a_worker_are_warned_of(
    settings: Settings, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    center.fusions.request(
        FusionRequest("demo", "small", [WantedConcept("ada/potter")]), caller=LOCAL
    )

    idle = findings(settings)["workers"]
    with (settings.data / "worker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = findings(settings)["workers"]

    assert (idle.level, idle.found) == (Level.WARN, "0 alive, 1 fusions wait")
    assert (busy.level, busy.found) == (Level.OK, "1 alive, 1 fusions wait")


def test_an_unknown_setting_is_a_finding() -> None:
    [found] = examine({"MOS_COLOUR": "blue"})

    assert (found.check, found.level) == ("settings", Level.FAIL)
    assert "MOS_COLOUR" in found.found


def test_a_check_that_breaks_is_a_finding_of_its_own() -> None:
    def broken() -> list[Finding]:
        raise OSError("Bearer abcdef says no\nand more")

    [found] = run("disk", broken)

    assert found == Finding("disk", Level.FAIL, "OSError: Bearer … says no", "Mend what it names.")


def test_the_command_prints_lines_or_json_and_tells_by_its_exit_code(
    settings: Settings, base: BaseRecord
) -> None:
    sick = _doctor(settings)
    (base.path / "model_index.json").write_text("{}")
    well = _doctor(settings, "--json")

    assert sick.returncode == 1
    assert "fail base small" in sick.stdout
    assert "→ Put the base model back there" in sick.stdout
    assert well.returncode == 0
    assert {item["check"] for item in json.loads(well.stdout)} >= {"database", "store", "tls"}


def _doctor(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mos_center.main", "doctor", "--data", settings.data, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
