from __future__ import annotations

import copy

import numpy as np
import pytest
from mos_diffusion.edlora import attach_concept
from mos_diffusion.evaluation.pictures import (
    PictureCache,
    SamplingSettings,
    Shard,
    sample_subject,
)
from mos_diffusion.evaluation.subjects import model_subject
from mos_diffusion.sampling import sample
from mos_protocol.errors import InvalidRequest
from PIL import Image

TEXTS = ["a cat", "a dog on the beach", "a red chair"]
# Random models amplify rounding: pictures of other batches differ by so many levels of 255.
TOLERANCE = 2


@pytest.fixture
def settings():
    def settings(**changes):
        return SamplingSettings(
            **{"seeds": (1, 2), "steps": 2, "guidance": 4.0, "negative_prompt": "", **changes}
        )

    return settings


@pytest.fixture
def cache(tmp_path):
    return PictureCache(tmp_path / "pictures")


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def made(cache) -> int:
    return len(list(cache.folder.rglob("*.png")))


class StopError(Exception):
    pass


def test_pictures_are_what_the_stock_sampling_makes(base, cache, settings):
    table = sample_subject(model_subject(base), TEXTS, settings(batch_size=4), cache)
    for text, row in zip(TEXTS, table, strict=True):
        expected = sample(
            base, text, seeds=(1, 2), negative_prompt="", steps=2, guidance=4.0, batch_size=1
        )
        for path, picture in zip(row, expected, strict=True):
            assert abs(pixels(path) - np.asarray(picture).astype(int)).max() <= TOLERANCE


def test_layerwise_words_are_understood_and_the_model_is_left_alone(
    base, random_concept, cache, settings
):
    processors = dict(base.unet.attn_processors)
    with attach_concept(base, random_concept()):
        (first,) = sample_subject(model_subject(base), ["a <potter1> <potter2>"], settings(), cache)
        expected = sample(
            base, "a <potter1> <potter2>", seeds=(1,), negative_prompt="", steps=2, guidance=4.0
        )
    assert abs(pixels(first[0]) - np.asarray(expected[0]).astype(int)).max() <= TOLERANCE
    assert {name: type(item) for name, item in base.unet.attn_processors.items()} == {
        name: type(item) for name, item in processors.items()
    }


def test_a_seed_gives_the_same_picture_whatever_the_batch(base, tmp_path, settings):
    subject, tables = model_subject(base), []
    for size in (1, 5):
        cache = PictureCache(tmp_path / str(size))
        tables.append(sample_subject(subject, TEXTS, settings(batch_size=size), cache))
    for one, other in zip(*tables, strict=True):
        for a, b in zip(one, other, strict=True):
            assert abs(pixels(a) - pixels(b)).max() <= TOLERANCE


def test_a_second_run_makes_nothing(base, cache, settings):
    subject, calls = model_subject(base), []
    sample_subject(subject, TEXTS, settings(), cache)
    handle = base.unet.register_forward_hook(lambda *_: calls.append(1))
    table = sample_subject(subject, TEXTS, settings(batch_size=3), cache)
    handle.remove()
    assert (calls, made(cache)) == ([], 6)
    assert len({path for row in table for path in row}) == 6


def test_an_interrupted_run_goes_on_where_it_stopped(base, cache, settings):
    subject, told = model_subject(base), []

    def stop_after_two(done, total):
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        sample_subject(subject, TEXTS, settings(batch_size=2), cache, on_picture=stop_after_two)
    assert made(cache) == 2
    sample_subject(
        subject, TEXTS, settings(batch_size=2), cache, on_picture=lambda *at: told.append(at)
    )
    assert (told, made(cache)) == ([(2, 6), (4, 6), (6, 6)], 6)


def test_half_written_files_never_count(base, cache, settings):
    subject = model_subject(base)
    path = cache.path(subject, settings(), "a cat", 1)
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.1.partial").write_bytes(b"\x89PNG")
    told = []
    sample_subject(subject, ["a cat"], settings(), cache, on_picture=lambda *at: told.append(at))
    assert told[0] == (0, 2)
    assert pixels(path).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 3},
        {"guidance": 5.0},
        {"negative_prompt": "a dog"},
        {"side": 64},
    ],
)
def test_whatever_decides_a_picture_is_part_of_its_key(base, cache, settings, change):
    subject = model_subject(base)
    before = cache.path(subject, settings(), "a cat", 1)
    assert cache.path(subject, settings(**change), "a cat", 1) != before
    assert cache.path(subject, settings(), "a dog", 1) != before
    assert cache.path(subject, settings(), "a cat", 2) != before
    assert cache.path(subject, settings(seeds=(1,), batch_size=3, side=32), "a cat", 1) == before


def test_another_model_has_other_pictures(base, random_concept, cache, settings):
    before = cache.path(model_subject(base), settings(), "a cat", 1)
    with attach_concept(base, random_concept()):
        assert cache.path(model_subject(base), settings(), "a cat", 1) != before
    assert cache.path(model_subject(copy.deepcopy(base)), settings(), "a cat", 1) == before


def test_shards_share_the_pictures_and_overlap_nowhere(base, cache, settings):
    subject, seen = model_subject(base), set()
    for number in range(2):
        sample_subject(subject, TEXTS, settings(batch_size=2), cache, shard=Shard(number, 2))
        now = set(cache.folder.rglob("*.png"))
        assert len(now - seen) in (2, 4)
        seen = now
    assert len(seen) == 6


def test_a_shards_part_does_not_depend_on_what_is_made():
    wanted = [("a cat", seed) for seed in range(7)]
    parts = [Shard(number, 3).part(wanted, 2) for number in range(3)]
    assert [[seed for _, seed in part] for part in parts] == [[0, 1, 6], [2, 3], [4, 5]]


def test_sizes_that_the_model_cannot_make_are_refused(base, settings):
    with pytest.raises(InvalidRequest, match="Pictures of 36 pixels"):
        settings(side=36).side_for(model_subject(base))
    assert settings(side=64).side_for(model_subject(base)) == 64


@pytest.mark.parametrize(
    "wrong", [{"seeds": ()}, {"seeds": (1, 1)}, {"seeds": (-1,)}, {"steps": 0}, {"batch_size": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings, wrong):
    with pytest.raises(InvalidRequest):
        settings(**wrong)
