"""Pictures of the class are sampled once, or given, and learned beside the concept."""

from __future__ import annotations

import pytest
import torch
from mos_client.tuning import tune
from mos_client.tuning.batches import Batches
from mos_client.tuning.dataset import read_dataset
from mos_client.tuning.loop import TuningLoop
from mos_client.tuning.precision import choose_machine
from mos_client.tuning.regularisation import (
    read_regularisation,
    regularisation_batches,
    sample_regularisation,
)
from mos_diffusion.edlora import new_concept
from mos_diffusion.prompts import layerwise
from mos_diffusion.provenance import read_provenance
from mos_protocol.errors import InvalidRequest
from PIL import Image

DIGEST = "ab" * 32


def told(message: str) -> None:
    """Nobody listens."""


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_pictures_are_sampled_once_and_the_missing_ones_again(tiny_base, make_settings, tmp_path):
    settings = make_settings(regularisation_images=9)
    messages = []

    folder = sample_regularisation(tiny_base, DIGEST, settings, 32, tmp_path, messages.append)
    first = contents(folder)
    (folder / "00009.png").unlink()
    again = sample_regularisation(tiny_base, DIGEST, settings, 32, tmp_path, messages.append)

    assert again == folder
    assert contents(folder) == first
    assert len(first) == 9
    assert len(set(first.values())) == 9
    told = read_provenance(folder / "00009.png")
    assert (told.digest, told.prompt, told.seeds) == (DIGEST, "a photo of a dog", (9,))
    assert messages == [f"sampling pictures of a dog: {done} of 9" for done in (0, 8, 8)]


def test_another_class_or_base_gets_pictures_of_its_own(tiny_base, make_settings, tmp_path):
    folders = {
        sample_regularisation(tiny_base, digest, settings, 32, tmp_path, told)
        for digest, settings in (
            (DIGEST, make_settings(regularisation_images=1)),
            ("cd" * 32, make_settings(regularisation_images=1)),
            (DIGEST, make_settings(regularisation_images=1, class_word="cat")),
        )
    }

    assert len(folders) == 3


def test_captions_of_a_folder_speak_of_the_class(make_settings, photos):
    (photos / "0.txt").unlink()

    found = read_regularisation(photos, make_settings())

    captions = [picture.caption for picture in found.pictures]
    assert captions[:2] == ["a photo of a dog", "dog on the beach"]
    assert not any("<TOK>" in caption for caption in captions)
    assert found.warnings == ()


def test_a_folder_that_is_not_there_is_refused_before_anything_heavy(
    make_settings, photos, tmp_path
):
    settings = make_settings(base="nowhere/at-all")

    with pytest.raises(InvalidRequest, match="is no folder"):
        tune(settings, photos, tmp_path / "work", regularisation=tmp_path / "nothing")


def test_a_step_minimises_the_sum_of_both_losses(tiny_base, make_settings, photos, tmp_path):
    others = tmp_path / "dogs"
    others.mkdir()
    Image.new("RGB", (32, 32), (9, 200, 120)).save(others / "one.png")
    settings = make_settings()
    batches = Batches(tiny_base, read_dataset(photos, settings.words), settings, 32)
    data = read_regularisation(others, settings)
    beside = regularisation_batches(tiny_base, data, settings, 32)
    accelerator = choose_machine(settings).accelerator

    def gradient(classes):
        """AdamW's first moments after one step are a tenth of the step's gradient."""
        with new_concept(tiny_base, settings.words, "dog", rank=2, seed=0) as concept:
            loop = TuningLoop(tiny_base, concept, batches, settings, 4, accelerator, None, classes)
            loop.step()
            moments = loop.state().optimizer
            found = {name: moments[name] for name in moments if name.endswith(".exp_avg")}
        layerwise(tiny_base).remove()
        return found

    own, both = gradient(None), gradient(beside)

    differ = {name.partition(".")[0] for name in own if not torch.equal(own[name], both[name])}
    # Captions of the class name no concept word: they teach its embeddings nothing.
    assert differ == {"text_encoder", "unet"}
    torch.testing.assert_close(both["embedding.0.exp_avg"], own["embedding.0.exp_avg"])


def test_pictures_of_the_class_change_what_the_layers_learn(
    tiny_base, make_settings, photos, tmp_path
):
    alone = tune(make_settings(), photos, tmp_path / "alone", base=tiny_base)
    settings = make_settings(regularisation_images=2)

    both = tune(settings, photos, tmp_path / "both", base=tiny_base)
    given = tune(
        make_settings(), photos, tmp_path / "given", base=tiny_base,
        regularisation=next((tmp_path / "both" / "regularisation").iterdir()),
    )  # fmt: skip

    assert (alone.regularisation_images, both.regularisation_images) == (0, 2)
    assert both.losses[0] == alone.losses[0]
    assert both.losses[1:] != alone.losses[1:]
    assert given.losses == both.losses
