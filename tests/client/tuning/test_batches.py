"""Batches are functions of the seed and the step."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from mos_client.tuning.batches import Batches
from mos_client.tuning.dataset import read_dataset
from mos_diffusion.noise import encode_pictures
from PIL import Image


@pytest.fixture
def make_batches(tiny_base, make_settings):
    def make(folder, **changes):
        settings = make_settings(**changes)
        return Batches(tiny_base, read_dataset(folder, settings.words), settings, 32)

    return make


def assert_equal(one, other):
    assert one.captions == other.captions
    assert torch.equal(one.latents, other.latents)
    assert torch.equal(one.mask, other.mask)


def test_a_batch_is_the_same_whatever_was_drawn_before(make_batches, wide_photos):
    changes = {"flip": True, "shuffle_captions": True, "extra_phrases": True}
    used, fresh = (make_batches(wide_photos, **changes) for _ in range(2))
    for step in range(5):
        used.batch(step)

    assert_equal(used.batch(5), fresh.batch(5))


def test_another_seed_gives_another_batch(make_batches, photos):
    first, second = (make_batches(photos, seed=seed).batch(0) for seed in (1, 2))

    assert not torch.equal(first.latents, second.latents)


def test_every_picture_comes_once_per_epoch_and_repeats_count(make_batches, photos):
    (photos / "3_often").mkdir()
    (photos / "0.png").rename(photos / "3_often" / "0.png")
    (photos / "0.txt").rename(photos / "3_often" / "0.txt")
    batches = make_batches(photos, batch_size=4, sample_latents=False)

    epochs = [Counter() for _ in range(2)]
    for step in range(3):
        for place, latents in enumerate(batches.batch(step).latents):
            epochs[(step * 4 + place) // 6][latents.numpy().tobytes()] += 1

    assert [sorted(epoch.values()) for epoch in epochs] == [[1, 1, 1, 3]] * 2


def test_the_mean_of_the_posterior_is_what_the_engine_encodes(make_batches, photos, tiny_base):
    with Image.open(photos / "0.png") as picture:
        pixels = torch.tensor(list(picture.get_flattened_data())).reshape(32, 32, 3)
    for number in (1, 2, 3):
        (photos / f"{number}.png").unlink()
    batches = make_batches(photos, batch_size=1, sample_latents=False)

    expected = encode_pictures(tiny_base, (pixels.permute(2, 0, 1)[None] / 127.5 - 1))

    assert torch.allclose(batches.batch(0).latents, expected, atol=1e-6)


def test_sampled_latents_differ_from_step_to_step(make_batches, photos):
    for number in (1, 2, 3):
        (photos / f"{number}.png").unlink()
    batches = make_batches(photos, batch_size=1)

    first, second = batches.batch(0), batches.batch(1)

    assert first.captions == second.captions
    assert not torch.equal(first.latents, second.latents)


def test_masks_are_averaged_to_the_size_of_the_latents(make_batches, photos):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 6, 32))
    for number in range(4):
        mask.save(photos / f"{number}-masklabel.png")

    batch = make_batches(photos).batch(0)

    assert batch.mask.shape == (2, 1, 8, 8)
    assert batch.mask[0, 0, 3].tolist() == [1, 0.5, 0, 0, 0, 0, 0, 0]


def test_processes_share_the_pictures_of_a_step(make_batches, photos):
    batches = make_batches(photos, batch_size=4, sample_latents=False)

    whole = batches.batch(0)
    first, second = (batches.batch(0, part, 2) for part in range(2))

    shared = [*zip(first.captions, second.captions, strict=True)]
    assert [caption for pair in shared for caption in pair] == whole.captions
    assert torch.equal(torch.stack([first.latents, second.latents], 1).flatten(0, 1), whole.latents)


def test_captions_have_the_words_in_place_of_the_placeholder(make_batches, photos):
    captions = make_batches(photos, batch_size=4).batch(0).captions

    assert sorted(captions) == [
        "<dot1> <dot2> on the beach",
        "a <dot1> <dot2> in the grass",
        "a photo of <dot1> <dot2>",
        "photo of <dot1> <dot2>",
    ]
