"""Compositions at a center: having a scene drawn, following it, fetching its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mos_protocol.errors import InvalidRequest
from mos_protocol.names import LATEST, SLUG_PATTERN, parse_model_ref
from pydantic import Field

from mos_client.session.connection import Connection, quoted
from mos_client.session.results import Answer, Failure, FusionProgress
from mos_client.session.watching import each_change


class CompositionState(StrEnum):
    """The states of a composition; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (CompositionState.QUEUED, CompositionState.RUNNING)


class Composition(Answer):
    """A scene that a center draws; `progress` counts denoising steps.

    `pictures` are the numbers of those that are drawn, 0 for the first of `seeds`; after
    `released_at` there are none any more.
    """

    id: str
    model: str = Field(pattern=rf"^{SLUG_PATTERN}$")
    version: int = Field(ge=1)
    scene: dict[str, Any]
    seeds: tuple[int, ...]
    state: CompositionState
    requested_by: str = ""
    progress: FusionProgress = FusionProgress()
    seconds_left: float | None = None
    error: Failure | None = None
    pictures: tuple[int, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    released_at: datetime | None = None

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


class CompositionCalls(Connection):
    """What a session can ask about compositions."""

    def request_composition(
        self, ref: str, scene: str | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Composition:
        """Have the center draw a scene with `demo@7`, or `demo` for the latest.

        scene: the text of a scene file, or the scene as JSON data; pictures in it are data URLs.
        A connection that breaks is tried again with the same idempotency key.
        """
        body: dict[str, object] = {"model": parse_model_ref(ref).name, "version": _number(ref)}
        body |= {"scene_yaml": scene} if isinstance(scene, str) else {"scene": dict(scene)}
        return self._rest.change(
            "POST", Composition, "/v1/compositions", body, idempotency_key or ""
        )

    def compositions(self) -> list[Composition]:
        """Your compositions, the newest first."""
        return list(self._rest.pages(Composition, "/v1/compositions"))

    def composition(self, composition_id: str) -> Composition:
        """One composition as it stands now."""
        return self._rest.get(Composition, _path(composition_id))

    def cancel_composition(self, composition_id: str) -> Composition:
        """Ask the center to stop drawing."""
        return self._rest.change("POST", Composition, f"{_path(composition_id)}/cancel")

    def composition_picture(self, composition_id: str, number: int) -> bytes:
        """One of its pictures as the bytes of a PNG; raises `NotFound`, and `Gone`."""
        with self._rest.stream(f"{_path(composition_id)}/pictures/{number}", {}) as response:
            return b"".join(response.iter_bytes())

    def pull_composition(self, composition: Composition, folder: Path) -> list[Path]:
        """Fetch its pictures into the folder, each named by its seed."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in composition.pictures:
            path = folder / f"{number:02}-seed-{composition.seeds[number]}.png"
            partial = path.with_suffix(".partial")
            partial.write_bytes(self.composition_picture(composition.id, number))
            partial.replace(path)
            paths.append(path)
        return paths

    def watch_composition(self, composition_id: str) -> Iterator[Composition]:
        """The composition each time it changes, until it is final.

        A center that is restarted is waited for.
        """
        return each_change(
            lambda: self.composition(composition_id), lambda found: found.state.final, self._backoff
        )


def _number(ref: str) -> int | None:
    """The version that a reference names; None for the latest."""
    revision = parse_model_ref(ref).revision
    if revision == LATEST:
        return None
    if not revision.isdigit():
        raise InvalidRequest(
            f"{ref} names no version by its number.",
            hint="Scenes are drawn with a version: MODEL@3, or MODEL for the latest.",
        )
    return int(revision)


def _path(composition_id: str) -> str:
    return f"/v1/compositions/{quoted(composition_id)}"
