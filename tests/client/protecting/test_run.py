"""A whole protection: within its budget, repeatable, resumable, and it does what it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mos_client.protecting import ProtectionSettings, protect
from mos_client.tuning import LearningRates, Phase
from mos_diffusion.base_model import base_digest, load_base
from mos_diffusion.evaluation.identity import held_out_loss
from mos_diffusion.noise import encode_pictures
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import Conflict, InvalidRequest
from mos_protocol.manifest import sha256_of
from PIL import Image
from tinyworld import write_concept

TINYWORLD = Path(__file__).parents[3] / "examples" / "tinyworld" / "model"


class StoppedError(Exception):
    """Raised by a progress callback to stop a protection after a round."""


def stop_at(round_number):
    def on_progress(progress):
        if progress.phase is Phase.TUNING and progress.step == round_number:
            raise StoppedError

    return on_progress


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def contents(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_every_file_stays_within_the_budget_and_the_originals_as_they_are(
    tiny_base, make_settings, photos, tmp_path
):
    before = contents(photos)
    found = protect(
        make_settings(budget=3), photos, tmp_path / "out", tmp_path / "work", base=tiny_base
    )
    assert contents(photos) == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "square.png",
        "wide.png",
        "small.png",
    }
    for name in ("square.png", "small.png"):
        change = pixels(tmp_path / "out" / name) - pixels(photos / name)
        assert np.abs(change).max() == 3
    assert Image.open(tmp_path / "out" / "wide.png").size == (64, 43)
    assert [photo.largest for photo in found.photos] == [3, 3, 3]
    assert min(photo.psnr for photo in found.photos) > 20 * np.log10(255 / 3)
    assert len(found.losses) == 2
    assert not (tmp_path / "work").exists()


def test_the_seed_decides_the_result(tiny_base, make_settings, photos, tmp_path):
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        settings = make_settings(seed=seed)
        protect(settings, photos, tmp_path / name, tmp_path / "work", base=tiny_base)
    assert contents(tmp_path / "one") == contents(tmp_path / "same")
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


def test_saving_memory_gives_the_same_files(tiny_base, make_settings, photos, tmp_path):
    for name, saving in (("plain", False), ("saving", True)):
        settings = make_settings(rounds=1, gradient_checkpointing=saving)
        protect(settings, photos, tmp_path / name, tmp_path / "work", base=tiny_base)
    assert contents(tmp_path / "plain") == contents(tmp_path / "saving")
    assert not tiny_base.unet.is_gradient_checkpointing
    assert not tiny_base.vae.is_gradient_checkpointing


@pytest.mark.parametrize("surrogate", ["ed-lora", "unet"])
def test_a_run_that_was_stopped_ends_with_the_same_files(
    tiny_base, make_settings, photos, tmp_path, surrogate
):
    settings = make_settings(rounds=3, surrogate=surrogate)
    before = base_digest(tiny_base)
    whole = protect(settings, photos, tmp_path / "whole", tmp_path / "work", base=tiny_base)
    with pytest.raises(StoppedError):
        protect(settings, photos, tmp_path / "cut", tmp_path / "work", stop_at(2), base=tiny_base)
    assert not (tmp_path / "cut").exists()
    messages = []
    resumed = protect(
        settings, photos, tmp_path / "cut", tmp_path / "work", messages.append, base=tiny_base
    )
    assert messages[1].message == "going on after round 2"
    assert resumed.losses == whole.losses
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert base_digest(tiny_base) == before
    assert not any(parameter.requires_grad for parameter in tiny_base.unet.parameters())


def test_a_folder_with_something_in_it_is_left_alone(tiny_base, make_settings, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.png").touch()
    with pytest.raises(Conflict, match="no empty folder"):
        protect(make_settings(), photos, tmp_path / "out", tmp_path / "work", base=tiny_base)
    with pytest.raises(Conflict, match="no empty folder"):
        protect(make_settings(), photos, photos, tmp_path / "work", base=tiny_base)
    with pytest.raises(InvalidRequest, match="holds the originals"):
        protect(make_settings(), photos, tmp_path / "new", photos, base=tiny_base)


def test_a_folder_without_photos_is_refused(tiny_base, make_settings, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, told in (("empty", "No pictures found"), ("nothing", "is no folder")):
        with pytest.raises(InvalidRequest, match=told):
            protect(
                make_settings(), tmp_path / name, tmp_path / "o", tmp_path / "w", base=tiny_base
            )


def test_the_state_of_another_run_is_not_gone_on_with(tiny_base, make_settings, photos, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    with pytest.raises(StoppedError):
        protect(make_settings(), photos, out, work, stop_at(1), base=tiny_base)
    other = make_settings(budget=2)
    with pytest.raises(InvalidRequest, match="--restart"):
        protect(other, photos, out, work, base=tiny_base)
    found = protect(other, photos, out, work, base=tiny_base, restart=True)
    assert max(photo.largest for photo in found.photos) == 2


def test_a_model_denoises_perturbed_pictures_worse_than_noisy_ones(tmp_path):
    """On the small pretrained base, with random noise of the same size as the control."""
    write_concept("zigmug", tmp_path, 1)
    tuning = tmp_path / "zigmug" / "tune"
    for path in sorted(tuning.glob("*.*"))[4:]:
        path.unlink()
    base = load_base(TINYWORLD)
    settings = ProtectionSettings(
        base=str(TINYWORLD),
        class_word="mug",
        rounds=1,
        learn_steps=2,
        perturb_steps=8,
        learning_rates=LearningRates(1e-2, 2e-4, 1e-3),
        device="cpu",
    )
    protect(settings, tuning, tmp_path / "out", tmp_path / "work", base=base)

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    clean = np.stack([pixels(tuning / name) for name in names])
    perturbed = np.stack([pixels(tmp_path / "out" / name) for name in names])
    signs = np.random.default_rng(0).choice([-1, 1], clean.shape)
    noisy = (clean + settings.budget * signs).clip(0, 255)

    def loss(shown):
        inputs = torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 127.5 - 1
        prompts = layerwise(base)
        captions = ["a photo of a mug"] * len(shown)
        try:
            latents = encode_pictures(base, inputs)
            return held_out_loss(base, prompts, latents, captions, seed=0, draws=8)
        finally:
            prompts.remove()

    assert np.abs(perturbed - clean).max() <= settings.budget
    assert loss(perturbed) > 1.2 * loss(noisy)
