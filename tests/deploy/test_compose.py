from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from deployment import (
    COMPOSE,
    COMPOSE_FILES,
    DEPLOY,
    OVERRIDES,
    ROOT,
    SINGLE,
    Document,
    interpolated,
    load,
    name,
)

SCHEMA = json.loads(
    files("check_jsonschema")
    .joinpath("builtin_schemas", "vendor", "compose-spec.json")
    .read_text(encoding="utf-8")
)
BASE = load(COMPOSE)
SERVICES: dict[str, Document] = BASE["services"]
VOLUME_GIVER = "s3-volume"
ONE_SHOT = {"s3-volume", "bucket", "migrate"}
PIN = re.compile(r"^[\w./-]+:(v?\d+\.\d+(\.\d+)?(-[\w.]+)?|RELEASE\.[\w-]+)$")
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=name)
def test_a_compose_file_keeps_to_the_compose_specification(path: Path) -> None:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)

    assert [error.message for error in validator.iter_errors(load(path))] == []


def test_the_specification_refuses_a_misspelt_key() -> None:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)

    assert not validator.is_valid({"services": {"api": {"image": "x:1", "privilege": True}}})


@pytest.mark.parametrize("path", OVERRIDES, ids=name)
def test_an_override_changes_only_services_that_there_are(path: Path) -> None:
    assert set(load(path)["services"]) <= set(SERVICES)


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=name)
def test_images_are_pinned_to_a_version(path: Path) -> None:
    images = [service["image"] for service in load(path)["services"].values() if "image" in service]

    assert [image for image in images if not PIN.match(interpolated(image, {}))] == []


@each_service
def test_a_service_runs_without_root_and_without_capabilities(service: str) -> None:
    options = SERVICES[service]

    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["read_only"] is True
    if service == VOLUME_GIVER:
        assert (options["cap_add"], options["network_mode"]) == (["CHOWN"], "none")
        return
    assert "cap_add" not in options
    # Our own images name their user themselves.
    assert "build" in options or options["user"].split(":")[0] not in {"0", "root"}


@each_service
def test_a_service_is_limited_restarted_and_watched(service: str) -> None:
    options = SERVICES[service]

    assert {"cpus", "memory", "pids"} <= set(options["deploy"]["resources"]["limits"])
    if service in ONE_SHOT:
        assert options["restart"] == "no"
        return
    assert options["restart"] == "unless-stopped"
    if "build" not in options:
        assert options["healthcheck"]["start_period"]


def test_only_proxy_and_dashboards_are_published() -> None:
    published = {
        service: options["ports"] for service, options in SERVICES.items() if "ports" in options
    }

    assert set(published) == {"proxy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])
    single = load(SINGLE)["services"]["center"]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in single)


def test_the_proxy_cannot_reach_the_database() -> None:
    assert not set(SERVICES["proxy"]["networks"]) & set(SERVICES["postgres"]["networks"])
    assert not set(SERVICES["grafana"]["networks"]) & set(SERVICES["postgres"]["networks"])
    inside = {"database", "objects", "metrics", "edge"}
    assert all(BASE["networks"][network]["internal"] for network in inside)
    for service in ("postgres", "s3", "prometheus"):
        assert set(SERVICES[service]["networks"]) <= inside


def test_two_replicas_serve_after_migration_and_none_runs_fusions() -> None:
    api = SERVICES["api"]

    assert api["deploy"]["replicas"] == 2
    assert api["command"] == ["serve", "--no-worker"]
    waits = {"condition": "service_completed_successfully"}
    assert api["depends_on"] == {"migrate": waits, "bucket": waits}
    assert SERVICES["worker"]["depends_on"] == api["depends_on"]


def test_the_gpu_override_reserves_one_gpu_and_uses_it() -> None:
    worker = load(DEPLOY / "compose" / "gpu.yml")["services"]["worker"]

    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert worker["command"] == ["worker", "--gpu", "0"]


def test_secrets_are_files_that_no_one_commits() -> None:
    named = {key for options in SERVICES.values() for key in options.get("secrets", [])}

    assert named == set(BASE["secrets"])
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for secret in BASE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=name)
def test_no_environment_holds_a_secret(path: Path) -> None:
    for service in load(path)["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|DATABASE_URL|JOBS_URL", key):
                assert key.endswith("_FILE") or key == "MOS_SECRETS_DIR", (key, value)


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=name)
def test_files_that_are_mounted_exist(path: Path) -> None:
    folder = path.parent if path == SINGLE else ROOT
    for service in load(path)["services"].values():
        for volume in service.get("volumes", []):
            source = interpolated(volume, {}).split(":")[0]
            if source.startswith(".") and not source.endswith("models"):
                assert (folder / source).exists(), source


def test_every_variable_of_the_compose_files_is_explained() -> None:
    example = (DEPLOY / "compose" / ".env.example").read_text()
    text = "".join(path.read_text() for path in COMPOSE_FILES)

    for variable in set(re.findall(r"\$\{(\w+)", text)):
        assert variable in example, variable
    # The center refuses settings that it doesn't know: compose's own names must not look like one.
    assert not re.search(r"^#?\s*MOS_", example, re.MULTILINE)


def test_defaults_give_addresses_that_clients_reach() -> None:
    environment = SERVICES["api"]["environment"]

    host = {"PUBLIC_HOST": "center.example"}
    assert interpolated(environment["MOS_GRPC_ADDRESS"], host) == "center.example:8443"
    store = environment["MOS_S3_PUBLIC_ENDPOINT"]
    assert interpolated(store, host) == "https://center.example:9443"
    assert interpolated(store, {"S3_PUBLIC_ENDPOINT": "https://s3.example"}) == "https://s3.example"
    elsewhere = load(DEPLOY / "compose" / "external-s3.yml")["services"]["api"]["environment"]
    with pytest.raises(KeyError, match="S3_ENDPOINT"):
        interpolated(elsewhere["MOS_S3_ENDPOINT"], {})
