"""The deployment files, parsed: what several tests look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
OVERRIDES = sorted(path for path in (DEPLOY / "compose").glob("*.yml") if path.name != "single.yml")
SINGLE = DEPLOY / "compose" / "single.yml"
COMPOSE_FILES = [COMPOSE, *OVERRIDES, SINGLE]
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
KUBERNETES = DEPLOY / "kubernetes"
OPERATIONS = ROOT / "docs" / "operations.md"

Document = dict[str, Any]


def load(path: Path) -> Document:
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text())


def name(path: Path) -> str:
    """A test id."""
    return path.relative_to(ROOT).as_posix()


def manifests() -> Iterator[tuple[Path, Document]]:
    """Every Kubernetes object of base and overlays, with its file."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


def pod_specs() -> dict[str, Document]:
    """Pod specifications of the base, by the name of what makes the pods."""
    found = {}
    for path, document in manifests():
        spec = document.get("spec", {})
        # A CronJob makes jobs, which make pods.
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if path.parent.name == "base" and "template" in spec:
            found[document["metadata"]["name"]] = spec["template"]["spec"]
    return found


def interpolated(text: str, environment: dict[str, str]) -> str:
    """What compose makes of `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in a value."""
    # Innermost first: a default may name another variable.
    pattern = re.compile(r"\$\{(\w+)(?::([-?])([^${}]*))?\}")
    while found := pattern.search(text):
        value = environment.get(found[1], "")
        if not value and found[2] == "?":
            raise KeyError(found[1])
        text = text.replace(found[0], value or (found[3] or "" if found[2] == "-" else ""))
    return text
