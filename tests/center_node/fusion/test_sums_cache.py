"""Sums on disk: what is found again, what is not, and what goes when space is short."""

from __future__ import annotations

import os

import pytest
import torch
from layer_problems import random_case
from mos_center.fusion.sums_cache import SumsCache
from mos_protocol.layer_map import Part

BASE = "b" * 64
ALL = ["ada/c0", "ada/c1", "ada/c2"]


def anything(digest: str) -> bool:
    return True


@pytest.fixture
def case():
    return random_case(1, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=60)


def stored(cache: SumsCache, case, concepts=ALL) -> SumsCache:
    cache.store(BASE, concepts, "block.in", case.sums(sketch=True))
    cache.finish(BASE, concepts)
    return cache


def test_sums_come_back_with_the_same_bits(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    before = case.sums(sketch=True)

    after = cache.load(cache.nearest(BASE, ALL, anything), "block.in")

    assert torch.equal(after.gram, before.gram)
    assert after.concepts.keys() == before.concepts.keys()
    for key, seen in before.concepts.items():
        found = after.concepts[key]
        assert found.recorded
        assert torch.equal(found.sketch.factor, seen.sketch.factor)
        assert found.rows.keys() == seen.rows.keys()
        assert all(torch.equal(found.rows[name], rows) for name, rows in seen.rows.items())


def test_the_set_that_needs_the_fewest_reads_is_found(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)

    more = cache.nearest(BASE, [*ALL, "bob/new"], anything)
    less = cache.nearest(BASE, ALL[:2], anything)

    assert (more.added, more.withdrawn) == (("bob/new",), ())
    assert (less.added, less.withdrawn) == ((), ("ada/c2",))


def test_a_set_is_no_use_when_a_fresh_start_reads_no_more(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    assert cache.nearest(BASE, ["ada/c0"], anything) is None
    assert cache.nearest(BASE, ["bob/x", "bob/y"], anything) is None


def test_a_concept_that_can_t_be_read_any_more_can_t_be_taken_out(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    assert cache.nearest(BASE, ALL[:2], lambda digest: False) is None


def test_another_base_has_its_own_sums(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    assert cache.nearest("c" * 64, ALL, anything) is None


def test_a_set_that_was_not_finished_is_not_used(case, tmp_path):
    cache = SumsCache(tmp_path)
    cache.store(BASE, ALL, "block.in", case.sums())
    assert cache.nearest(BASE, ALL, anything) is None


def test_damaged_or_missing_sums_are_made_again(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    reuse = cache.nearest(BASE, ALL, anything)
    (reuse.folder / "block.in.safetensors").write_bytes(b"no tensors")

    assert cache.load(reuse, "block.in") is None
    assert cache.load(reuse, "block.out") is None


def test_a_damaged_index_hides_its_set(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    (cache.nearest(BASE, ALL, anything).folder / "set.json").write_text("{")
    assert cache.nearest(BASE, ALL, anything) is None


def test_the_set_unused_for_longest_goes_first_when_space_is_short(case, tmp_path):
    cache = stored(SumsCache(tmp_path), case)
    old = cache.nearest(BASE, ALL, anything).folder
    os.utime(old / "set.json", (1, 1))
    size = sum(path.stat().st_size for path in old.iterdir())
    small = SumsCache(tmp_path, limit=int(1.5 * size))

    others = ["bob/c0", "ada/c1", "ada/c2"]
    sums = case.sums(sketch=True)
    sums.concepts["bob/c0"] = sums.concepts.pop("ada/c0")
    small.store(BASE, others, "block.in", sums)
    small.finish(BASE, others)

    assert not old.exists()
    assert small.nearest(BASE, others, anything).reads == 0
