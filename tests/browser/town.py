"""A running center with members and real concepts, to which tests add what each needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from mos_center.domain.access import LOCAL, Role
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_client.session import Session
from mos_protocol.manifest import MANIFEST_FILE, read_manifest
from programs import run, serving

BASE = "tiny"
CLIP = Path(__file__).resolve().parents[2] / "examples/tinyworld/clip"
ROLES = {"root": Role.ADMIN, "rita": Role.CURATOR, "ada": Role.MEMBER, "bob": Role.MEMBER}
_NUMBERS = count()


@dataclass(frozen=True)
class Town:
    """The center's address and folder, tokens by member, packages to make others of."""

    url: str
    data: Path
    tokens: Mapping[str, str]
    packages: list[Path]
    folder: Path

    def session(self, member: str) -> Session:
        """The center as a program of the member sees it."""
        return Session(self.url, self.tokens[member])

    def submit(self, concept: str, *, package: int = 0, approved: bool = True, **told: Any) -> str:
        """Submit a tuned package as `owner/name`, and have it approved; returns the submission.

        `told`: other fields of the manifest.
        """
        folder = self.packed(concept, package=package, **told)
        with self.session(concept.partition("/")[0]) as owner:
            submission = owner.submit(folder)
            owner.show_concept(concept, "public")
        if approved:
            with self.session("rita") as rita:
                rita.approve(submission.id)
        return submission.id

    def packed(self, concept: str, *, package: int = 0, **told: Any) -> Path:
        """A copy of a tuned package that calls itself `concept` and has words of its own."""
        number = next(_NUMBERS)
        folder = self.folder / f"package-{number}"
        shutil.copytree(self.packages[package], folder)
        stated = {"licence": "CC0-1.0", "consent": "nobody is shown", "concept": concept}
        told.setdefault("words", (f"<w{number}-1>", f"<w{number}-2>"))
        manifest = read_manifest(folder).model_copy(update=stated | told)
        (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        return folder

    def fuse(self, model: str, *concepts: str, member: str = "ada", **options: Any) -> int:
        """Have a model fused for real; returns its version."""
        with self.session(member) as session:
            fusion = session.request_fusion(model, BASE, list(concepts), **options)
            *_, last = session.watch_fusion(fusion.id)
        assert last.model_version is not None, last
        return last.model_version

    def blob(self, ref: str, path: str) -> Path:
        """Where a file of a concept lies at the center."""
        with self.session("root") as root:
            entry = root.concept(ref).manifest.file(path)
        assert entry is not None
        return self.data / "blobs" / entry.sha256[:2] / entry.sha256[2:]


@contextmanager
def running_town(base: Path, packages: list[Path], folder: Path) -> Iterator[Town]:
    """A new center that reviews by hand, in a process of its own."""
    data = folder / "center"
    run("mos-center", "base", "add", BASE, base, "--data", data, "--no-prior")
    with opened(Settings(data=data)) as opening:
        center, tokens = opening.center(), {}
        for name, role in ROLES.items():
            center.members.add(name, role, caller=LOCAL)
            tokens[name], _ = center.tokens.create(name, "browser", caller=LOCAL)
    settings = {
        "review": "manual",
        "require_statements": "false",
        "rate_limit": "0",
        "previews": "never",
        "evaluation_clip": str(CLIP),
    }
    with serving(data, **settings) as center:
        yield Town(center.url, data, tokens, packages, folder)
