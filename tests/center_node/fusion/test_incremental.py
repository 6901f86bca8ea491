"""Fusing with cached sums: the result of a fresh start, reading only what is new or gone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from fused_models import hashes, published_deltas, read_json, weighted, write_concept
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_protocol.errors import InvalidPackage

SOLVERS = ("closed-form", "lbfgs")


@pytest.fixture
def packages(tiny, tmp_path):
    """Copies of the three packages, whose moments a test may take away."""
    copies = [tmp_path / f"package{number}" for number in range(3)]
    for source, copy in zip(tiny.packages, copies, strict=True):
        shutil.copytree(source, copy)
    return copies


def forget_moments(package) -> None:
    shutil.rmtree(package / "moments")


def assert_same(tiny, model, fresh) -> None:
    found, expected = (published_deltas(folder, tiny.layers) for folder in (model, fresh))
    for name, delta in expected.items():
        assert np.linalg.norm(found[name] - delta) <= 1e-6 * np.linalg.norm(delta), name


@pytest.mark.parametrize("solver", SOLVERS)
def test_adding_a_concept_reads_only_that_one(tiny, packages, tmp_path, solver):
    settings, sums = FusionSettings(solver), tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages[:2]), settings, tmp_path / "two", sums=sums)
    fuse_local(tiny.base, weighted(packages), settings, tmp_path / "fresh")
    for package in packages[:2]:
        forget_moments(package)

    report = fuse_local(tiny.base, weighted(packages), settings, tmp_path / "out", sums=sums)

    assert report["reused"] == 2
    assert_same(tiny, tmp_path / "out", tmp_path / "fresh")


@pytest.mark.parametrize("solver", SOLVERS)
def test_withdrawing_a_concept_reads_only_that_one(tiny, packages, tmp_path, solver):
    settings, sums = FusionSettings(solver), tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages), settings, tmp_path / "three", sums=sums)
    fuse_local(tiny.base, weighted(packages[1:]), settings, tmp_path / "fresh")
    for package in packages[1:]:
        forget_moments(package)

    report = fuse_local(
        tiny.base,
        weighted(packages[1:]),
        settings,
        tmp_path / "out",
        sums=sums,
        withdrawn=packages[:1],
    )

    assert report["reused"] == 2
    assert_same(tiny, tmp_path / "out", tmp_path / "fresh")


def test_other_weights_and_another_solver_need_no_moments_at_all(tiny, packages, tmp_path):
    sums, weights = tmp_path / "sums", (0.3, 1.0, 0.7)
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "one", sums=sums)
    settings = FusionSettings("lbfgs", prior_weight=0.0)
    fuse_local(tiny.base, weighted(packages, weights), settings, tmp_path / "fresh")
    for package in packages:
        forget_moments(package)

    fuse_local(tiny.base, weighted(packages, weights), settings, tmp_path / "out", sums=sums)

    assert_same(tiny, tmp_path / "out", tmp_path / "fresh")


def test_the_cache_does_not_change_what_is_published(tiny, packages, tmp_path):
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "plain")
    sums = tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "first", sums=sums)

    assert hashes(tmp_path / "first") == hashes(tmp_path / "plain")


def test_the_report_of_an_incremental_fusion_estimates_the_others_within_a_few_percent(
    tiny, packages, tmp_path
):
    sums = tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages[:2]), FusionSettings(), tmp_path / "two", sums=sums)
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "fresh")
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "out", sums=sums)

    found, exact = (read_json(tmp_path / name / "report.json") for name in ("out", "fresh"))
    assert found["estimated"] == ["ada/c0", "ada/c1"]
    assert exact["estimated"] == []
    for ref, kept in exact["kept"].items():
        assert found["kept"][ref]["result"] == pytest.approx(kept["result"], abs=0.05)
    for one, other in zip(found["layers"], exact["layers"], strict=True):
        assert one["residual"]["result"] == pytest.approx(other["residual"]["result"], abs=1e-6)


def test_damaged_sums_are_made_again(tiny, packages, tmp_path):
    sums = tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "one", sums=sums)
    for path in sums.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])

    fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "out", sums=sums)

    assert_same(tiny, tmp_path / "out", tmp_path / "one")


def test_a_damaged_package_is_refused_when_it_is_the_one_to_be_read(tiny, packages, tmp_path):
    sums = tmp_path / "sums"
    fuse_local(tiny.base, weighted(packages[:2]), FusionSettings(), tmp_path / "two", sums=sums)
    path = packages[2] / "moments/unet.mid_block.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    with pytest.raises(InvalidPackage, match=r"unet\.mid_block"):
        fuse_local(tiny.base, weighted(packages), FusionSettings(), tmp_path / "out", sums=sums)

    assert not (tmp_path / "out").exists()


def test_two_concepts_are_exchanged_at_once_when_that_reads_less(tiny, packages, tmp_path):
    sums = tmp_path / "sums"
    more = [tmp_path / f"more{seed}" for seed in range(2)]
    for seed, package in enumerate(more, start=5):
        write_concept(package, tiny.layers, seed)
    first = [*packages, more[0]]
    second = [*packages, more[1]]
    fuse_local(tiny.base, weighted(first), FusionSettings(), tmp_path / "one", sums=sums)
    fuse_local(tiny.base, weighted(second), FusionSettings(), tmp_path / "fresh")

    report = fuse_local(
        tiny.base,
        weighted(second),
        FusionSettings(),
        tmp_path / "out",
        sums=sums,
        withdrawn=[more[0]],
    )

    assert report["reused"] == 3
    assert_same(tiny, tmp_path / "out", tmp_path / "fresh")
