"""The command line as a whole: it starts fast, tells errors well, and stops politely."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from fake_center import TOKEN
from mos_protocol.errors import EDGES

MOS_CLIENT = Path(sys.executable).with_name("mos-client")
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "peft"}
UNUSED_BY_HELP = {"grpc", "httpx", "pydantic", "numpy", "fastapi", "sqlalchemy"}
COMMANDS = [
    "join",
    "whoami",
    "logout",
    "centers",
    "token",
    "concept",
    "fusion",
    "model",
    "review",
    "member",
    "invite",
    "tune",
    "import",
    "package",
    "submit",
    "concepts",
    "bases",
    "fuse",
    "fusions",
    "models",
    "pull",
    "evaluation",
    "export",
    "sample",
]


def test_help_names_every_command(run):
    outcome = run("--help")
    assert outcome.code == 0
    assert all(re.search(rf"\b{command}\b", outcome.out) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert f"mos-client {command}" in outcome.out


def test_help_starts_in_under_half_a_second_of_work():
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([MOS_CLIENT, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_help_imports_nothing_that_it_does_not_need():
    modules = imported_by("from mos_client.cli import main\nmain(['--help'])")
    assert "typer" in modules
    assert not modules & (HEAVY | UNUSED_BY_HELP)


def test_a_session_imports_no_torch_and_no_server():
    modules = imported_by("from mos_client import Session\nSession('http://127.0.0.1:1')")
    assert {"httpx", "grpc"} <= modules
    assert not modules & (HEAVY | {"fastapi", "uvicorn", "sqlalchemy", "dbos", "mos_center"})


def test_the_version_is_the_distributions(run):
    assert run("--version").out.strip() == f"mos-client {version('mos-federation')}"


def test_a_command_without_a_center_says_how_to_name_one(run):
    outcome = run("concepts")
    assert outcome.code == EDGES["invalid_request"].exit_code
    assert outcome.err.startswith("error: No center is named.\n")
    assert "MOS_CENTER" in outcome.err


def test_the_center_may_be_named_before_or_after_the_command(run, center):
    before = run("--center", center.url, "--token", TOKEN, "bases")
    after = run("bases", "--center", center.url, "--token", TOKEN)
    assert before == after
    assert before.code == 0


def test_the_center_and_the_token_may_come_from_the_environment(center):
    environment = {**os.environ, "MOS_CENTER": center.url, "MOS_TOKEN": TOKEN}
    done = subprocess.run([MOS_CLIENT, "bases"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tiny" in done.stdout


def test_an_absent_center_is_one_error_with_a_hint_and_its_exit_code(run):
    outcome = run("--center", "http://127.0.0.1:9", "bases")
    assert outcome.code == EDGES["unavailable"].exit_code
    assert outcome.err.startswith("error: No center answers at http://127.0.0.1:9")
    assert "Traceback" not in outcome.err


def test_a_wrong_token_has_its_own_exit_code(run, center):
    outcome = run("--center", center.url, "--token", "wrong", "bases")
    assert outcome.code == EDGES["unauthenticated"].exit_code
    assert "Ask for one." in outcome.err


def test_with_json_an_error_is_json_too(run):
    outcome = run("--center", "127.0.0.1:9", "bases", "--json")
    assert '"code": "unavailable"' in outcome.err
    assert outcome.out == ""


def test_a_missing_file_is_an_error_and_no_trace(run, tmp_path):
    outcome = run("package", "show", tmp_path / "nothing")
    assert outcome.code == EDGES["invalid_package"].exit_code
    assert "manifest.json: not found" in outcome.err


def test_an_unknown_option_is_a_usage_error(run):
    assert run("models", "--no-such-option").code == 2


def test_an_interrupted_download_exits_130_and_goes_on_later(center, tmp_path):
    center.add_model("demo", {"a.bin": b"x" * 400_000})
    center.stall = True
    command = [MOS_CLIENT, "--center", center.url, "--token", TOKEN, "pull", "demo"]
    process = subprocess.Popen(
        [*command, "--out", tmp_path / "demo"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in its background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    partial = tmp_path / "demo.partial" / ".parts"
    deadline = time.monotonic() + 20
    while not (partial.is_dir() and any(path.stat().st_size for path in partial.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        if process.poll() is not None:
            pytest.fail(process.stderr.read())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on where this one stopped" in err
    assert "Traceback" not in err
    center.stall = False
    subprocess.run([*command, "--out", tmp_path / "demo"], check=True, capture_output=True)
    assert (tmp_path / "demo/a.bin").read_bytes() == b"x" * 400_000
