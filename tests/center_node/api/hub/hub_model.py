"""A listening center with a published model, its member's token, and stock tools as programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from center_steps import publish
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from tiny_base import write_tiny_base

HF = str(Path(sys.executable).parent / "hf")
BIG = os.urandom(1 << 20) * 24


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def files(tiny_folder: Path) -> dict[str, bytes]:
    """What version 1 of the model demo consists of."""
    found = {
        path.relative_to(tiny_folder).as_posix(): path.read_bytes()
        for path in sorted(tiny_folder.rglob("*"))
        if path.is_file()
    }
    return {"README.md": b"# demo", **found}


@pytest.fixture
def demo(running: Any, center: Center, submit: Callable[..., Submission], files: dict) -> Any:
    """The running center with mos/demo, versions 1 and 2; version 2 holds a big file too."""
    submit()
    publish(center, running.data, "demo", 1, files)
    submit()
    publish(center, running.data, "demo", 2, {**files, "extra/big.bin": BIG})
    return running


@pytest.fixture
def token(demo: Any, center: Center) -> str:
    """A token of ada, whose concept is in the model; from here on the center needs one."""
    return member_token(center, "ada")


async def point(running: Any, center: Center, alias: str, version: int) -> None:
    """Have an alias of demo mean a version, as an admin does."""
    headers = {"Authorization": f"Bearer {member_token(center, 'boss', Role.ADMIN)}"}
    moved = await running.http.put(
        f"/v1/models/demo/aliases/{alias}", json={"version": version}, headers=headers
    )
    assert moved.status_code == 200, moved.text


def member_token(center: Center, name: str, role: Role = Role.MEMBER) -> str:
    center.members.add(name, role, caller=LOCAL)
    secret, _ = center.tokens.create(name, "laptop", caller=LOCAL)
    return secret


@dataclass(frozen=True)
class Ran:
    """What a program said, standard error included, and its exit status."""

    status: int
    said: str


@dataclass(frozen=True)
class Tools:
    """Runs stock programs against one address, with a home of their own."""

    home: Path
    endpoint: str
    token: str | None

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment(),
            cwd=self.home,
        )

    async def run(self, *command: str) -> Ran:
        process = await self.start(*command)
        said, _ = await process.communicate()
        return Ran(process.returncode, said.decode())

    async def hf(self, *arguments: str) -> Ran:
        return await self.run(HF, *arguments)

    async def python(self, program: str) -> Ran:
        return await self.run(sys.executable, "-c", program)

    def _environment(self) -> dict[str, str]:
        ours = ("MOS_", "HF_", "TRANSFORMERS_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        told = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        return {**kept, **told, **({"HF_TOKEN": self.token} if self.token else {})}


@pytest.fixture
def tools(demo: Any, token: str, tmp_path: Path) -> Tools:
    """The programs as ada uses them."""
    home = tmp_path / "home"
    home.mkdir()
    return Tools(home, demo.addresses.rest, token)
