"""The operations guide and the deployment files say only what the programs know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from deployment import (
    COMPOSE_FILES,
    DEPLOY,
    DOCKERFILES,
    OPERATIONS,
    ROOT,
    SINGLE,
    load,
    manifests,
    name,
    pod_specs,
)
from mos_center.cli.app import app as center
from mos_center.settings import CLIENT_KEYS, PREFIX, SECRETS_DIR, Settings
from mos_client.cli.app import app as client

GUIDE = OPERATIONS.read_text()
KNOWN = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
FILES = sorted(
    path
    for path in [ROOT / "docker-compose.yml", *DEPLOY.rglob("*"), OPERATIONS, ROOT / "README.md"]
    if path.is_file() and "secrets" not in path.relative_to(ROOT).parts
)
TABLE = dict(re.findall(r"^\| `(MOS_\w+)` \| (?:`([^`]*)`|–) \|", GUIDE, re.MULTILINE))
PROGRAMS = {
    "mos-center": typer.main.get_command(center),
    "mos-client": typer.main.get_command(client),
}


def command(program: str, words: list[str]) -> Any:
    """The command that these words lead to; an assertion when there is none."""
    found = PROGRAMS[program]
    for word in words:
        if not hasattr(found, "commands"):
            break
        assert word in found.commands, f"{program} {' '.join(words)}"
        found = found.commands[word]
    return found


def options(of: Any) -> set[str]:
    return {"--help"} | {
        option for parameter in of.params for option in (*parameter.opts, *parameter.secondary_opts)
    }


def deployed_commands() -> Iterator[tuple[str, list[str]]]:
    for path in COMPOSE_FILES:
        for service, content in load(path)["services"].items():
            if service in {"api", "worker", "migrate", "center"} and content.get("command"):
                yield f"{name(path)}: {service}", content["command"]
    specifications = [*pod_specs().items()]
    for path, document in manifests():
        if path.parent.name == "gpu" and "spec" in document:
            specifications.append(("gpu", document["spec"]["template"]["spec"]))
    for pod, specification in specifications:
        yield pod, specification["containers"][0]["args"]
    for path in DOCKERFILES:
        (words,) = re.findall(r"^CMD \[(.*)\]$", path.read_text(), re.MULTILINE)
        yield name(path), re.findall(r'"([^"]*)"', words)


DEPLOYED = list(deployed_commands())


def told_commands() -> list[tuple[str, str]]:
    """Calls of our programs in the guide's code, as (program, what follows)."""
    code = re.findall(r"^ {4,}\S.*$", GUIDE, re.MULTILINE) + re.findall(r"`([^`\n]+)`", GUIDE)
    calls = [
        found.groups()
        for line in code
        for found in re.finditer(
            r"(?<!generic )(mos-center|mos-client)((?: [^ #|;&]+)*)", line.split("  #")[0]
        )
    ]
    # Through compose, the image's entry point is left out.
    calls += [
        ("mos-center", found[1])
        for line in code
        for found in re.finditer(
            r"docker compose run --rm (?:.* )?(?:api|worker)((?: [^ #|;&]+)+)", line
        )
    ]
    return sorted({(program, rest.strip()) for program, rest in calls if rest.strip()})


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bMOS_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(errors="ignore")))

    assert named - KNOWN - CLIENT_KEYS - {SECRETS_DIR} == set()


@pytest.mark.parametrize("setting", sorted(KNOWN))
def test_every_setting_is_documented_with_its_default(setting: str) -> None:
    default = Settings.model_fields[setting.removeprefix(PREFIX).lower()].default
    plain = default.get_secret_value() if hasattr(default, "get_secret_value") else default
    shown = "" if plain is None else str(getattr(plain, "value", plain))

    assert setting in TABLE
    assert TABLE[setting] == (shown.lower() if isinstance(plain, bool) else shown)


def test_the_table_names_no_setting_that_there_is_not() -> None:
    assert set(TABLE) - KNOWN == {SECRETS_DIR}
    assert all(key in GUIDE for key in CLIENT_KEYS)


@pytest.mark.parametrize(("where", "words"), DEPLOYED, ids=[where for where, _ in DEPLOYED])
def test_a_deployed_command_exists(where: str, words: list[str]) -> None:
    found = command("mos-center", words[:1])

    assert {word for word in words if word.startswith("--")} <= options(found)


@pytest.mark.parametrize(("program", "rest"), told_commands())
def test_a_command_in_the_guide_exists_with_its_options(program: str, rest: str) -> None:
    words = rest.split()
    plain = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        plain.append(word)
    found = command(program, plain)

    assert not hasattr(found, "commands") or "--" in rest
    assert {word for word in words if word.startswith("--")} <= options(found)


def test_links_in_the_guide_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        if path:
            assert (OPERATIONS.parent / path).exists(), target
        else:
            assert anchor in headings, target


def test_every_override_file_and_overlay_is_explained() -> None:
    for path in COMPOSE_FILES[1:]:
        assert f"`{path.name}`" in GUIDE or path == SINGLE
    for overlay in (DEPLOY / "kubernetes" / "overlays").iterdir():
        assert f"overlays/{overlay.name}" in GUIDE


def test_every_suggested_alert_is_explained() -> None:
    alerts = load(DEPLOY / "prometheus" / "alerts.yml")

    for group in alerts["groups"]:
        assert all(rule["alert"] in GUIDE for rule in group["rules"])
