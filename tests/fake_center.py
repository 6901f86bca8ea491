"""A center in memory that speaks the contract over real sockets, and misbehaves when told to.

`FakeCenter` keeps its state in plain attributes that tests set and read; `restart()` drops every
connection and listens again at the same ports, as a killed center does.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
import time
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
from mos_protocol.errors import EDGES, InvalidPackage, MosError, Unauthenticated
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import parse_manifest
from mos_protocol.wire.v1 import submissions_pb2 as pb
from mos_protocol.wire.v1.submissions_pb2_grpc import (
    SubmissionsServicer,
    add_SubmissionsServicer_to_server,
)
from tiny_package import tiny_layer_map

WHEN = "2026-01-02T03:04:05Z"
TOKEN = "mos_secret_token"
ME = {
    "member": "ada",
    "role": "member",
    "scopes": ["concept:read", "concept:write"],
    "token_id": "t0",
    "usage": {"bytes": 1500, "concepts": 2, "jobs": 0},
    "limits": {"bytes": None, "concepts": 10, "jobs": None},
}
MEMBER = {"name": "ada", "role": "admin", "trusted": True, "created_at": WHEN}


def _composition(body: dict) -> dict:
    """What is answered to a request for a composition."""
    scene = body.get("scene") or {"prompt": "as its text says"}
    return {
        "id": "c1",
        "model": body["model"],
        "version": body["version"] or 1,
        "scene": scene,
        "seeds": [7, 8],
        "state": "queued",
        "pictures": [],
        "created_at": WHEN,
    }


@dataclass
class FakeCenter:
    """Contents, faults to come, and what was received."""

    layer_map: LayerMap = field(default_factory=tiny_layer_map)
    blobs: dict[str, bytes] = field(default_factory=dict)
    submissions: dict[str, pb.SubmissionStatus] = field(default_factory=dict)
    prior: dict[str, bytes] = field(default_factory=dict)
    concepts: list[dict] = field(default_factory=list)
    fusions: dict[str, dict] = field(default_factory=dict)
    models: dict[str, list[dict]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    fusion_steps: list[dict] = field(default_factory=list)
    marks: dict[str, dict] = field(default_factory=dict)
    compositions: dict[str, dict] = field(default_factory=dict)
    composition_steps: list[dict] = field(default_factory=list)
    composition_pictures: dict[int, bytes] = field(default_factory=dict)
    evaluations: dict[str, dict] = field(default_factory=dict)
    evaluation_steps: list[dict] = field(default_factory=list)
    me: dict = field(default_factory=lambda: dict(ME))
    tokens: list[dict] = field(default_factory=list)
    join_tokens: dict[str, str] = field(default_factory=dict)
    visibilities: dict[str, str] = field(default_factory=dict)
    shares: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, list[int]] = field(default_factory=dict)
    manifest: bytes = b""
    next_state: int = pb.SUBMISSION_STATE_APPROVED
    reason: str = ""
    # What a worker makes of a submission while it is watched: states and reasons.
    later: list[tuple[int, str]] = field(default_factory=list)

    # Faults, used up one by one.
    cut_puts: list[int] = field(default_factory=list)
    cut_downloads: list[int] = field(default_factory=list)
    cut_events: int = 0
    stall: bool = False
    no_events: bool = False
    ignore_range: bool = False
    absent: int = 0
    lost_answers: int = 0
    too_many: int = 0
    refuse_commit: MosError | None = None
    put_urls: bool = False
    grpc_told: str = ""

    # What was received.
    received: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict, bytes]] = field(default_factory=list)
    port: int = 0
    grpc_port: int = 0
    # PEM files of the certificate and its key, and the CA of clients.
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.cert else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        center = self

        class Handler(_Handler):
            fake = center

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True
        if self.cert:
            self._http.socket = self._tls().wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4))
        add_SubmissionsServicer_to_server(_Servicer(self), self._grpc)
        self.grpc_port = self._bind(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _bind(self, address: str) -> int:
        if not self.cert:
            return self._grpc.add_insecure_port(address)
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        ca = self.client_ca.read_bytes() if self.client_ca else None
        credentials = grpc.ssl_server_credentials([pair], ca, bool(ca))
        return self._grpc.add_secure_port(address, credentials)

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(0).wait()

    def restart(self, away: float = 0.0) -> None:
        self.stop()
        time.sleep(away)
        self.start()

    def advance(self, fusion: dict) -> dict:
        """Each look at a fusion takes the next of `fusion_steps`."""
        if self.fusion_steps:
            fusion.update(self.fusion_steps.pop(0))
        return fusion

    def add_model(self, name: str, files: dict[str, bytes]) -> dict:
        versions = self.models.setdefault(name, [])
        for content in files.values():
            self.files[hashlib.sha256(content).hexdigest()] = content
        version = {
            "model": name,
            "version": len(versions) + 1,
            "aliases": ["latest"],
            "base": "tiny",
            "base_digest": self.layer_map.digest,
            "concepts": [
                {"name": "ada/ball", "version": 1, "weight": 1.0, "words": ["<ball1>", "<ball2>"]}
            ],
            "solver": "closed-form",
            "fusion_id": "f1",
            "build": "0" * 64,
            "created_at": WHEN,
            "files": [
                {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for path, data in files.items()
            ],
        }
        versions.append(version)
        return version

    def add_concept(self, name: str, version: int = 1, state: str = "approved") -> None:
        self.concepts.append(
            {
                "name": name,
                "version": version,
                "words": ["<ball1>", "<ball2>"],
                "class_word": "ball",
                "base": "tiny",
                "state": state,
                "owner": name.split("/")[0],
                "submission_id": f"s{len(self.concepts)}",
                "created_at": WHEN,
                "rank": 2,
                "manifest_digest": "0" * 64,
                "previews": [],
            }
        )

    def put(self, sha256: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InvalidPackage(sha256[:12], "content does not match its sha256")
        self.received.append(sha256)
        self.blobs[sha256] = data


class _Servicer(SubmissionsServicer):
    def __init__(self, fake: FakeCenter) -> None:
        self._fake = fake
        self._manifests: dict[str, bytes] = {}

    def _enter(self, context) -> None:
        metadata = dict(context.invocation_metadata())
        if metadata.get("authorization") != f"Bearer {TOKEN}":
            _refuse(context, Unauthenticated("No valid token came.", hint="Ask for one."))

    def Offer(self, request, context):  # noqa: N802 - the name is generated
        self._enter(context)
        manifest = parse_manifest(request.manifest)
        if request.visibility:
            self._fake.visibilities[manifest.concept] = request.visibility
        known = manifest.digest()[:16]
        status = self._fake.submissions.setdefault(
            known,
            pb.SubmissionStatus(submission_id=known, state=1, concept=manifest.concept),
        )
        missing = {
            entry.sha256: entry for entry in manifest.files if entry.sha256 not in self._fake.blobs
        }
        url = f"{self._fake.url}/put/" if self._fake.put_urls else ""
        return pb.OfferReply(
            status=status,
            missing=[
                pb.Blob(path=e.path, sha256=e.sha256, size=e.size, put_url=url and url + e.sha256)
                for e in missing.values()
            ],
        )

    def PutBlob(self, request_iterator, context):  # noqa: N802
        self._enter(context)
        start = next(request_iterator).start
        cut = self._fake.cut_puts.pop(0) if self._fake.cut_puts else None
        data = bytearray()
        for request in request_iterator:
            data += request.data
            if cut is not None and len(data) >= cut:
                context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
        try:
            self._fake.put(start.sha256, bytes(data))
        except MosError as error:
            _refuse(context, error)
        return pb.PutBlobReply(size=len(data))

    def Commit(self, request, context):  # noqa: N802
        self._enter(context)
        if self._fake.refuse_commit:
            _refuse(context, self._fake.refuse_commit)
        status = self._fake.submissions[request.submission_id]
        status.state, status.version, status.reason = self._fake.next_state, 1, self._fake.reason
        return pb.CommitReply(status=status)

    def Watch(self, request, context):  # noqa: N802
        self._enter(context)
        status = self._fake.submissions[request.submission_id]
        yield status
        while self._fake.later:
            status.state, status.reason = self._fake.later.pop(0)
            yield status


def _submission(status: pb.SubmissionStatus | None) -> dict | None:
    return status and {
        "id": status.submission_id,
        "concept": status.concept,
        "version": status.version or None,
        "state": pb.SubmissionState.Name(status.state).removeprefix("SUBMISSION_STATE_").lower(),
        "reason": status.reason,
    }


def _refuse(context, error: MosError) -> None:
    told = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "fields": error.fields,
    }
    context.set_trailing_metadata((("mos-error-bin", json.dumps(told).encode()),))
    context.abort(grpc.StatusCode[EDGES[error.code].grpc], error.message)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeCenter
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        if not self.path.startswith("/put/"):
            self.do_POST()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert "Authorization" not in self.headers
        self.fake.requests.append(("PUT", self.path, dict(self.headers), b""))
        self.fake.put(self.path.rsplit("/", 1)[1], body)
        self._send(200, b"")

    def _answer(self, body: bytes) -> None:
        fake = self.fake
        split = urlsplit(self.path)
        path = unquote(split.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        fake.requests.append((self.command, self.path, dict(self.headers), body))
        if fake.absent:
            fake.absent -= 1
            self.close_connection = True
            self.connection.close()
            return
        if fake.too_many:
            fake.too_many -= 1
            self._problem(429, "rate_limited", "Too many calls.", "Wait.", {"Retry-After": "7"})
        elif path == "/v1/join":
            self._join(json.loads(body))
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._problem(401, "unauthenticated", "No valid token came.", "Ask for one.")
        elif match := re.fullmatch(r"/v1/models/([^/]+)/(\w+)/files/(.+)", path):
            self._file(*match.groups())
        elif match := re.fullmatch(r"/v1/compositions/c1/pictures/(\d)", path):
            self._send(200, fake.composition_pictures[int(match[1])], "image/png")
        elif match := re.fullmatch(r"/v1/fusions/([^/]+)/events", path):
            self._events(match[1])
        elif match := re.fullmatch(r"/v1/bases/tiny/prior/(.+)", path):
            self._send(200, fake.prior[match[1]])
        elif self.command != "GET" and self._change(path, json.loads(body or b"null")):
            pass
        elif self.command == "POST" and path == "/v1/fusions":
            self._json(202, self._new_fusion(json.loads(body)))
        else:
            found = self._look_up(path, query)
            if found is None:
                self._problem(404, "not_found", f"Nothing at {path}.", "Look again.")
            else:
                self._json(200, found)

    def _join(self, body: dict) -> None:
        """Each of `join_tokens` is good for the member that it names, once; "" for any name."""
        fake = self.fake
        if body["token"] not in fake.join_tokens:
            self._problem(401, "unauthenticated", "Somebody joined with this token already.", "")
            return
        member = fake.join_tokens.pop(body["token"]) or body["name"]
        if fake.lost_answers:
            fake.lost_answers -= 1
            self.close_connection = True
            self.connection.close()
            return
        welcome = {"member": member, "role": "member", "token": TOKEN, "token_id": "t0"}
        self._json(201, {**welcome, "scopes": ["concept:read", "concept:write"]})

    def _change(self, path: str, body: dict | None) -> bool:
        """Answer what changes concepts, models, tokens, members; whether it was one of those."""
        fake = self.fake
        if self.command == "POST" and path == "/v1/tokens":
            token = {"id": f"t{len(fake.tokens) + 1}", "member": "ada", "created_at": WHEN}
            fake.tokens.append({**token, "name": body["name"], "scopes": body.get("scopes", [])})
            self._json(201, {**fake.tokens[-1], "token": "mos_new"})
        elif match := re.fullmatch(r"/v1/tokens/(\w+)", path):
            fake.tokens = [token for token in fake.tokens if token["id"] != match[1]]
            self._send(204, b"")
        elif path == "/v1/invitations":
            invitation = {"id": "i1", "name": None, "expires_at": WHEN, "token": "mos_join_new"}
            self._json(201, {**invitation, **body})
        elif match := re.fullmatch(r"/v1/concepts/([^/]+/[^/]+)", path):
            fake.visibilities[match[1]] = body["visibility"]
            self._json(200, self._overview(match[1]))
        elif match := re.fullmatch(r"/v1/concepts/([^/]+/[^/]+)/shares/(.+)", path):
            shares = fake.shares.setdefault(match[1], [])
            (shares.append if self.command == "PUT" else shares.remove)(match[2])
            self._json(200, self._overview(match[1]))
        elif match := re.fullmatch(r"/v1/concepts/(.+)/(\d+)/withdraw", path):
            self._json(200, self._withdrawn(match[1], int(match[2]), body["reason"]))
        elif match := re.fullmatch(r"/v1/models/(.+)/aliases/(.+)/rollback", path):
            fake.aliases["@".join(match.groups())].pop()
            self._json(
                200, self._version(match[1], str(fake.aliases["@".join(match.groups())][-1]))
            )
        elif match := re.fullmatch(r"/v1/models/(.+)/aliases/(.+)", path):
            fake.aliases.setdefault("@".join(match.groups()), []).append(body["version"])
            self._json(200, self._version(match[1], str(body["version"])))
        elif match := re.fullmatch(r"/v1/models/(.+)/(.+)/refusion", path):
            again = {"model": match[1], "base": "tiny", "solver": "lbfgs", "concepts": []}
            self._json(202, self._new_fusion(again))
        elif path == "/v1/compositions":
            fake.compositions["c1"] = _composition(body)
            self._json(202, fake.compositions["c1"])
        elif match := re.fullmatch(r"/v1/compositions/(.+)/cancel", path):
            fake.compositions[match[1]]["state"] = "cancelled"
            self._json(200, fake.compositions[match[1]])
        elif match := re.fullmatch(r"/v1/models/(.+)/(.+)/evaluations", path):
            found = {"id": "e1", "model": match[1], "version": 1, "seeds": 2, "state": "queued"}
            fake.evaluations["e1"] = {**found, "created_at": WHEN, **(body or {})}
            self._json(202, fake.evaluations["e1"])
        elif match := re.fullmatch(r"/v1/evaluations/(.+)/cancel", path):
            fake.evaluations[match[1]]["state"] = "cancelled"
            self._json(200, fake.evaluations[match[1]])
        elif match := re.fullmatch(r"/v1/fusions/(.+)/retry", path):
            fake.fusions[match[1]]["state"] = "queued"
            self._json(202, fake.fusions[match[1]])
        elif match := re.fullmatch(r"/v1/submissions/(.+)/(approve|reject)", path):
            status = fake.submissions[match[1]]
            status.state = 4 if match[2] == "approve" else 5
            status.reason = (body or {}).get("reason", "")
            self._json(200, _submission(status))
        else:
            return False
        return True

    def _overview(self, name: str) -> dict:
        fake = self.fake
        versions = [item for item in fake.concepts if item["name"] == name]
        return {
            "name": name,
            "owner": name.split("/")[0],
            "visibility": fake.visibilities.get(name, "private"),
            "shares": fake.shares.get(name, []),
            "versions": versions,
        }

    def _withdrawn(self, name: str, version: int, reason: str) -> dict:
        (concept,) = [
            item
            for item in self.fake.concepts
            if (item["name"], item["version"]) == (name, version)
        ]
        concept.update(state="withdrawn", reason=reason)
        affected = [
            {"model": item["model"], "version": item["version"], "refusion": "/v1/…"}
            for versions in self.fake.models.values()
            for item in versions
        ]
        return {"concept": concept, "affected": affected, "ended_fusions": []}

    def _look_up(self, path: str, query: dict) -> object | None:
        fake = self.fake
        base = {
            "name": "tiny",
            "digest": fake.layer_map.digest,
            "layer_map": fake.layer_map.model_dump(mode="json"),
            "prior": {
                block: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
                for block, data in fake.prior.items()
            },
        }
        fixed = {
            "/v1/center": {
                "version": "0.1.0",
                "grpc": fake.grpc_told or f"127.0.0.1:{fake.grpc_port}",
                "worker": True,
            },
            "/v1/bases": {"items": [base], "next_cursor": None},
            "/v1/bases/tiny": base,
            "/v1/models": {
                "items": [versions[-1] for versions in fake.models.values()],
                "next_cursor": None,
            },
            "/v1/fusions": {"items": list(fake.fusions.values()), "next_cursor": None},
            "/v1/tokens": {"items": fake.tokens, "next_cursor": None},
            **{f"/v1/marks/{mark}": found for mark, found in fake.marks.items()},
            "/v1/members": {"items": [MEMBER], "next_cursor": None},
            "/v1/me": fake.me,
        }
        if path in fixed:
            return fixed[path]
        if path == "/v1/concepts":
            return self._concept_page(query)
        if match := re.fullmatch(r"/v1/fusions/([^/]+)", path):
            fusion = fake.fusions.get(match[1])
            return fusion and fake.advance(fusion)
        if match := re.fullmatch(r"/v1/fusions/([^/]+)/cancel", path):
            fake.fusions[match[1]]["state"] = "cancelled"
            return fake.fusions[match[1]]
        if match := re.fullmatch(r"/v1/compositions/([^/]+)", path):
            composition = fake.compositions.get(match[1])
            if composition and fake.composition_steps:
                composition.update(fake.composition_steps.pop(0))
            return composition
        if path == "/v1/compositions":
            return {"items": list(fake.compositions.values()), "next_cursor": None}
        if match := re.fullmatch(r"/v1/evaluations/([^/]+)", path):
            evaluation = fake.evaluations.get(match[1])
            if evaluation and fake.evaluation_steps:
                evaluation.update(fake.evaluation_steps.pop(0))
            return evaluation
        if re.fullmatch(r"/v1/models/(.+)/(.+)/evaluations", path):
            return {"items": list(fake.evaluations.values()), "next_cursor": None}
        if path == "/v1/submissions":
            found = [_submission(item) for item in fake.submissions.values()]
            items = [item for item in found if query.get("state", item["state"]) == item["state"]]
            return {"items": items, "next_cursor": None}
        if match := re.fullmatch(r"/v1/submissions/([^/]+)", path):
            return _submission(fake.submissions.get(match[1]))
        if match := re.fullmatch(r"/v1/concepts/(.+)/(\d+)/models", path):
            return {"items": [one for item in fake.models.values() for one in item]}
        if match := re.fullmatch(r"/v1/models/(.+)/(\w+)/lineage", path):
            version = self._version(*match.groups())
            ingredients = [{**item, "state": "withdrawn"} for item in version["concepts"]]
            return {**version, "concepts": ingredients}
        if match := re.fullmatch(r"/v1/concepts/([^/]+/[^/]+)", path):
            return self._overview(match[1])
        if match := re.fullmatch(r"/v1/concepts/(.+)/(\d+)", path):
            return self._concept(match[1], int(match[2]))
        if match := re.fullmatch(r"/v1/models/([^/]+)/(\w+)", path):
            return self._version(*match.groups())
        return None

    def _concept_page(self, query: dict) -> dict:
        found = [
            item
            for item in self.fake.concepts
            if query.get("owner", item["owner"]) == item["owner"]
            and query.get("base", item["base"]) == item["base"]
            and query.get("q", "") in item["name"]
        ]
        start = int(query.get("cursor", 0))
        end = start + min(2, int(query.get("limit", 2)))
        return {
            "items": found[start:end],
            "next_cursor": str(end) if end < len(found) else None,
        }

    def _resolved(self, wanted: dict) -> dict:
        versions = [
            item["version"] for item in self.fake.concepts if item["name"] == wanted["name"]
        ]
        return {**wanted, "version": wanted["version"] or max(versions, default=1)}

    def _concept(self, name: str, version: int) -> dict | None:
        for item in self.fake.concepts:
            if (item["name"], item["version"]) == (name, version) and self.fake.manifest:
                return {**item, "manifest": json.loads(self.fake.manifest)}
        return None

    def _version(self, name: str, revision: str) -> dict | None:
        versions = self.fake.models.get(name, [])
        number = len(versions) if revision == "latest" else int(revision)
        return versions[number - 1] if 0 < number <= len(versions) else None

    def _new_fusion(self, request: dict) -> dict:
        fake = self.fake
        key = self.headers["Idempotency-Key"]
        fusion = fake.fusions.get(key) or {
            "id": key,
            "model": request["model"],
            "base": request["base"],
            "concepts": [self._resolved(item) for item in request["concepts"]],
            "solver": request.get("solver", "closed-form"),
            "prior_weight": request.get("prior_weight", 0.0),
            "ridge": request.get("ridge"),
            "lbfgs_steps": request.get("lbfgs_steps"),
            "refine_rounds": request.get("refine_rounds", 0),
            "exports": request.get("exports", []),
            "previews": request.get("previews"),
            "priority": request.get("priority", "normal"),
            "requested_by": "ada",
            "queue_position": 3,
            "state": "queued",
            "progress": {"done": 0, "total": 2, "message": ""},
            "error": None,
            "model_version": None,
            "created_at": WHEN,
            "finished_at": None,
        }
        fake.fusions[key] = fusion
        return fusion

    def _events(self, fusion_id: str) -> None:
        fake = self.fake
        if fake.no_events:
            self._problem(404, "not_found", "No events here.", "")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        fusion = fake.fusions[fusion_id]
        self.wfile.write(b": hello\n\n")
        while fake.fusion_steps:
            fake.advance(fusion)
            self.wfile.write(f"event: fusion\ndata: {json.dumps(fusion)}\n\n".encode())
            if fake.cut_events:
                fake.cut_events -= 1
                self.wfile.write(b"data: {")
                return

    def _file(self, name: str, revision: str, path: str) -> None:
        fake = self.fake
        version = self._version(name, revision)
        found = [item for item in version["files"] if item["path"] == path] if version else []
        if not found:
            self._problem(404, "not_found", f"No file {path}.", "")
            return
        data = fake.files[found[0]["sha256"]]
        start = 0
        if (asked := self.headers.get("Range")) and not fake.ignore_range:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if fake.stall:
            self.wfile.write(data[start : start + len(data) // 2])
            self.wfile.flush()
            time.sleep(30)
        if fake.cut_downloads:
            self.wfile.write(data[start : start + fake.cut_downloads.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(data[start:])

    def _problem(
        self, status: int, code: str, detail: str, hint: str, headers: dict | None = None
    ) -> None:
        body = {
            "type": f"urn:mos:{code}",
            "title": code,
            "status": status,
            "detail": detail,
            "code": code,
            "hint": hint,
            "fields": {},
        }
        self._send(status, json.dumps(body).encode(), "application/problem+json", headers)

    def _json(self, status: int, body: object) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "application/octet-stream",
        headers: dict | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
