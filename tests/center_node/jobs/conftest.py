"""Fusions of two packages for the tiny base, described by a ledger that is a file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "fusion"), str(HERE.parent)]

from center_folder import CenterFolder
from fused_models import write_concept
from mos_center.jobs.durable import DurableJobs
from mos_diffusion.base_model import layer_map, load_base
from tiny_base import write_tiny_base


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """base: the folder; layers: its layer map; packages: two folders."""
    folder = tmp_path_factory.mktemp("tiny")
    base = write_tiny_base(folder / "base")
    layers = layer_map(load_base(base))
    packages = [folder / f"package{seed}" for seed in range(2)]
    for seed, package in enumerate(packages):
        write_concept(package, layers, seed)
    return SimpleNamespace(base=base, layers=layers, packages=packages)


@pytest.fixture(scope="session")
def used_jobs(tmp_path_factory) -> Path:
    """The job store of a worker that ran before: only the very first start takes a second more."""
    database = tmp_path_factory.mktemp("jobs") / "jobs.db"
    jobs = DurableJobs(f"sqlite:///{database}", lambda job_id, step: None)
    jobs.start()
    jobs.stop()
    return database


@pytest.fixture
def new_center(tiny, tmp_path) -> CenterFolder:
    """A folder with everything that a worker needs, and one requested fusion, `first`."""
    folder = CenterFolder(tmp_path / "center")
    folder.describe(tiny.base, tiny.layers, tiny.packages)
    folder.request("first")
    return folder


@pytest.fixture
def center(new_center, used_jobs) -> CenterFolder:
    """The same after a worker was there once."""
    shutil.copyfile(used_jobs, new_center.folder / "jobs.db")
    return new_center


@pytest.fixture(scope="session")
def undisturbed(tiny, used_jobs, tmp_path_factory) -> dict[str, str]:
    """Path → sha256 of what a fusion that nothing disturbed publishes."""
    folder = CenterFolder(tmp_path_factory.mktemp("undisturbed") / "center")
    folder.describe(tiny.base, tiny.layers, tiny.packages)
    folder.request("first")
    shutil.copyfile(used_jobs, folder.folder / "jobs.db")
    return {file["path"]: file["sha256"] for file in folder.run("first")["files"]}
