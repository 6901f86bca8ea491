"""A session with one center: the whole of what a client can ask of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from mos_protocol.errors import InvalidPackage, NotFound, Unavailable
from mos_protocol.layer_map import Part
from mos_protocol.manifest import Manifest, read_manifest
from mos_protocol.names import parse_concept_ref, parse_model_ref
from mos_protocol.package import check_package

from mos_client.session.download import Download
from mos_client.session.model_files import ModelFiles
from mos_client.session.prior import fetch_prior
from mos_client.session.rest import RestClient
from mos_client.session.results import (
    Base,
    CenterInfo,
    Concept,
    ConceptDetail,
    Fusion,
    ModelVersion,
    Submission,
    WeightedConcept,
)
from mos_client.session.retry import Backoff, Patience, retrying
from mos_client.session.submissions import SubmissionsClient, grpc_target
from mos_client.session.upload import OnTransfer, Upload, ignore_transfer

EVENT_SECONDS = 60.0
POLL_SECONDS = 1.0
USABLE = ("approved",)


class Session:
    """REST and gRPC to the center at `center`; a context manager. Raises `MosError`s only.

    `token` goes with every call. `grpc_target` overrides the address that the center tells for
    uploads. `timeout` is seconds without an answer, `backoff` how long an absent center is waited
    for while something runs.
    """

    def __init__(
        self,
        center: str,
        token: str | None = None,
        *,
        grpc_target: str | None = None,
        timeout: float = 30.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._rest = RestClient(center, token, timeout)
        self._token = token
        self._grpc_target = grpc_target
        self._backoff = backoff or Backoff()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({self._rest.url!r}, token={'***' if self._token else None})"

    def close(self) -> None:
        """Close the connections; the session can't be used afterwards."""
        self._rest.close()
        if "_submissions" in self.__dict__:
            self._submissions.close()

    def center(self) -> CenterInfo:
        """The center's version and addresses."""
        return self._rest.get(CenterInfo, "/v1/center")

    def bases(self) -> list[Base]:
        """The base models that the center has registered."""
        return list(self._rest.pages(Base, "/v1/bases"))

    def base(self, name: str) -> Base:
        """One registered base model."""
        return self._rest.get(Base, f"/v1/bases/{quote(name, safe='')}")

    def base_prior(self, name: str, out: Path) -> Path:
        """Fetch a base's prior moments to `out`/moments; files already there are kept.

        Raises `NotFound` when the base was registered without a prior.
        """
        return fetch_prior(self._rest, self.base(name), out)

    def concepts(
        self, *, base: str | None = None, owner: str | None = None, q: str | None = None
    ) -> list[Concept]:
        """The concepts that fusions can use; all filters are optional."""
        filters = {"base": base, "owner": owner, "q": q}
        return list(self._rest.pages(Concept, "/v1/concepts", filters))

    def concept(self, ref: str) -> ConceptDetail:
        """One concept, `owner/name@3`, or `owner/name` for its latest version."""
        parsed = parse_concept_ref(ref)
        version = parsed.version or self._latest_version(str(parsed.concept))
        return self._rest.get(ConceptDetail, f"/v1/concepts/{parsed.concept}/{version}")

    def submit(self, package: Path, on_progress: OnTransfer = ignore_transfer) -> Submission:
        """Check a package, send what the center lacks of it, and have it validated.

        Running it again is the resume. Raises `InvalidPackage` before anything is sent when the
        package is damaged or for a base that the center does not have.
        """
        manifest = self.check(package)
        return Upload(package, manifest, self._submissions, on_progress, self._backoff).run()

    def check(self, package: Path) -> Manifest:
        """Check a package folder against the center's base model; raises `InvalidPackage`."""
        manifest = read_manifest(package)
        return check_package(package, self._base_for(manifest).layer_map)

    def submission(self, submission_id: str) -> Submission:
        """Where a submission stands now."""
        return self._rest.get(Submission, f"/v1/submissions/{quote(submission_id, safe='')}")

    def watch_submission(self, submission_id: str) -> Iterator[Submission]:
        """The submission's states as they change, until it is settled."""
        last: Submission | None = None
        patience = Patience(self._backoff)
        while True:
            try:
                for submission in self._submissions.watch(submission_id):
                    patience.restore()
                    if submission != last:
                        yield submission
                    last = submission
                    if submission.state.settled:
                        return
            except Unavailable as error:
                patience.lose(error)
            else:
                self._backoff.sleep(POLL_SECONDS)

    def request_fusion(
        self,
        model: str,
        base: str,
        concepts: Sequence[str | WeightedConcept],
        *,
        solver: str = "closed-form",
        prior_weight: float | None = None,
        ridge: Mapping[Part, float] | None = None,
        lbfgs_steps: Mapping[Part, int] | None = None,
        refine_rounds: int = 0,
        exports: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Fusion:
        """Ask for a model version made of `concepts`; returns the queued (or known) fusion.

        Concepts are `owner/name` (its newest approved version), `owner/name@3` or
        `WeightedConcept`s. What is None, and parts that `ridge` and `lbfgs_steps` leave out, are
        the center's choice. `exports` are formats of other tools to publish the version in too. A
        connection that breaks is tried again with the same idempotency key, so that one request
        stays one fusion.
        """
        body: dict[str, object] = {
            "model": model,
            "base": base,
            "concepts": [_requested(concept) for concept in concepts],
            "solver": solver,
        }
        chosen = {
            "prior_weight": prior_weight,
            "ridge": ridge and dict(ridge),
            "lbfgs_steps": lbfgs_steps and dict(lbfgs_steps),
            "refine_rounds": refine_rounds or None,
            "exports": list(exports) or None,
        }
        body |= {name: value for name, value in chosen.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        few = Backoff(attempts=3, first=self._backoff.first, sleep=self._backoff.sleep)
        return retrying(lambda: self._rest.post(Fusion, "/v1/fusions", body, headers), few)

    def fusions(self, *, state: str | None = None) -> list[Fusion]:
        """The fusions that were requested, the newest first."""
        return list(self._rest.pages(Fusion, "/v1/fusions", {"state": state}))

    def fusion(self, fusion_id: str) -> Fusion:
        """One fusion as it stands now."""
        return self._rest.get(Fusion, f"/v1/fusions/{quote(fusion_id, safe='')}")

    def cancel_fusion(self, fusion_id: str) -> Fusion:
        """Ask the center to stop a fusion."""
        path = f"/v1/fusions/{quote(fusion_id, safe='')}/cancel"
        return self._rest.post(Fusion, path, None, {})

    def watch_fusion(self, fusion_id: str) -> Iterator[Fusion]:
        """The fusion each time it changes, until it is final.

        Follows the center's events and polls between connections; a center that is restarted is
        waited for.
        """
        last: Fusion | None = None
        for fusion in self._fusion_reports(fusion_id):
            if fusion != last:
                yield fusion
            last = fusion
            if fusion.state.final:
                return

    def models(self) -> list[ModelVersion]:
        """The latest version of every model that the center has published."""
        return list(self._rest.pages(ModelVersion, "/v1/models"))

    def model(self, ref: str) -> ModelVersion:
        """One model version: `demo@7`, `demo@champion`, or `demo` for the latest."""
        parsed = parse_model_ref(ref)
        return self._rest.get(ModelVersion, f"/v1/models/{parsed.name}/{parsed.revision}")

    def pull(self, ref: str, out: Path, on_progress: OnTransfer = ignore_transfer) -> ModelVersion:
        """Fetch a model version into the folder `out`, which is complete or absent afterwards.

        An interrupted download goes on where it stopped; files that are there already are kept.
        Raises `Conflict` when `out` holds anything that no download put there.
        """
        version = self.model(ref)
        Download(version, out, ModelFiles(self._rest, version), on_progress, self._backoff).run()
        return version

    @cached_property
    def _submissions(self) -> SubmissionsClient:
        target = self._grpc_target or grpc_target(self.center().grpc, self._rest.url)
        return SubmissionsClient(target, self._token, tls=self._rest.url.startswith("https:"))

    def _fusion_reports(self, fusion_id: str) -> Iterator[Fusion]:
        patience = Patience(self._backoff)
        while True:
            try:
                yield self.fusion(fusion_id)
                patience.restore()
                yield from self._fusion_events(fusion_id)
            except Unavailable as error:
                patience.lose(error)
            else:
                self._backoff.sleep(POLL_SECONDS)

    def _fusion_events(self, fusion_id: str) -> Iterator[Fusion]:
        path = f"/v1/fusions/{quote(fusion_id, safe='')}/events"
        # Without events there is still the polling around this call.
        with suppress(NotFound):
            for text in self._rest.events(path, EVENT_SECONDS):
                yield self._rest.validated(Fusion, text)

    def _latest_version(self, concept: str) -> int:
        owner, _, name = concept.partition("/")
        found = self.concepts(owner=owner, q=name)
        versions = [item.version for item in found if item.name == concept and item.state in USABLE]
        if not versions:
            raise NotFound(
                f"The center has no approved concept {concept!r}.",
                hint="`mos-client concepts` lists what it has.",
            )
        return max(versions)

    def _base_for(self, manifest: Manifest) -> Base:
        bases = self.bases()
        for base in bases:
            if base.digest == manifest.base.digest:
                return base
        names = ", ".join(base.name for base in bases) or "none"
        raise InvalidPackage(
            "manifest.json",
            f"tuned on base {manifest.base.name!r} with digest {manifest.base.digest[:12]}…, "
            f"which the center has not registered; it has: {names}",
            hint="Tune on one of those, or have the base registered (`mos-center base add`).",
        )


def _requested(concept: str | WeightedConcept) -> dict[str, object]:
    if isinstance(concept, str):
        parsed = parse_concept_ref(concept)
        concept = WeightedConcept(str(parsed.concept), parsed.version)
    return {"name": concept.name, "version": concept.version, "weight": concept.weights.to_json()}
