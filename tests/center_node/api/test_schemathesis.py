"""Every route against its own description: made-up requests, and the same to things that exist.

Whatever is sent, the center never fails with a 5xx, and answers with a status, a content type and
a document that its OpenAPI document promises.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from center_steps import publish, submit_folder
from concept_packages import small_layer_map, write_package
from hypothesis import HealthCheck, Phase, given, settings
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.app import create_app
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.evaluations import EvaluationRequest
from mos_center.domain.events import EventKind
from mos_center.opening import opened
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class World:
    """The application on a little data, an admin's token, and the names of what is there."""

    app: Any
    headers: dict[str, str]
    known: dict[str, dict[str, Any]]

    def known_path(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters with things that exist, as far as there are such things."""
        if path.endswith(("/withdraw", "/tombstone")):
            # Not what the other routes are still to find.
            return parameters | {"name": "cat" if "owner" in parameters else "gone"}
        kind = next((kind for kind in self.known if path.startswith(f"/v1/{kind}")), "")
        return {name: self.known.get(kind, {}).get(name, old) for name, old in parameters.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, empty_data: Path) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(empty_data, folder / "data")
    with opened(Settings(data=folder / "data", evaluation_clip="a/clip")) as data:
        center = data.center()
        base = center.bases.add("small", folder, small_layer_map(), {})
        submission = submit_folder(center, write_package(folder / "package", base.layer_map))
        submit_folder(center, write_package(folder / "cat", base.layer_map, concept="ada/cat"))
        fusion = publish(center, data, "demo", 1, {"README.md": b"# demo"})
        publish(center, data, "gone", 1, {"README.md": b"# gone"})
        request = FusionRequest("other", "small", [WantedConcept("ada/potter")])
        waiting, _ = center.fusions.request(request, caller=LOCAL)
        evaluation, _ = center.evaluations.request("demo", "1", EvaluationRequest(), caller=LOCAL)
        center.aliases.point("demo", "champion", 1, LOCAL)
        for name in ("root", "bob"):
            center.members.add(name, Role.ADMIN, caller=LOCAL)
        secret, _ = center.tokens.create("root", "default", caller=LOCAL)
        _, spare = center.tokens.create("bob", "spare", caller=LOCAL)
        webhook = center.webhooks.add("https://hub.example/", [EventKind.PING], caller=LOCAL)
        scene = {"prompt": "a man", "size": [64, 64]}
        composition = center.compositions.request("demo", "1", scene, caller=LOCAL)
        info = CenterInfo(version="", grpc="", worker=False)
        known = {
            "concepts": {"owner": "ada", "name": "potter", "version": 1, "member": "bob"},
            "models": {
                "name": "demo",
                "revision": "1",
                "version": 1,
                "alias": "champion",
                "path": "README.md",
            },
            "bases": {"name": "small", "block": "text_encoder"},
            "members": {"name": "bob"},
            "submissions": {"submission_id": submission.id},
            "fusions": {"fusion_id": fusion.id},
            "evaluations": {"evaluation_id": evaluation.id, "number": 0},
            "compositions": {"composition_id": composition.id, "number": 0},
            "tokens": {"token_id": spare.id},
            "webhooks": {"webhook_id": webhook.id},
            "marks": {"mark": fusion.build[:12]},
            "files": {"sha256": submission.manifest.files[0].sha256},
        }
        assert waiting.id != fusion.id
        app = create_app(center, info, asyncio.Event())
        yield World(app, {"Authorization": f"Bearer {secret}"}, known)


@pytest.fixture(scope="module")
def operations(world: World) -> list[APIOperation]:
    """Every route that the document of this application describes."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", world.app, headers=world.headers)
    return [found.ok() for found in schema.get_all_operations()]


def test_the_center_answers_as_it_says(operations: list[APIOperation], world: World) -> None:
    failures = {}
    for operation in operations:
        try:
            call_in_many_ways(operation, world)
        except (AssertionError, FailureGroup) as error:
            failures[operation.label] = str(error)

    assert len(operations) > 50
    assert not failures, "\n\n".join(failures.values())


def call_in_many_ways(operation: APIOperation, world: World) -> None:
    """Call with what fits the description and what does not, and with names of this world."""
    fitting = operation.as_strategy()
    strange = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @given(case=fitting | strange)
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: Case) -> None:
        case.call_and_validate(headers=world.headers, checks=CHECKS)
        if case.path_parameters:
            case.path_parameters = world.known_path(case.path, dict(case.path_parameters))
            case.call_and_validate(headers=world.headers, checks=CHECKS)

    call()
