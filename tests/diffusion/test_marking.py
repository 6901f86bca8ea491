from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL
from mos_diffusion.base_model import BaseModel, base_digest
from mos_diffusion.composing import compose
from mos_diffusion.edlora import attach_concept
from mos_diffusion.marking import mark_of, marked, model_digest
from mos_diffusion.published_identity import PublishedIdentity
from mos_diffusion.sampling import sample
from mos_diffusion.watermark import read
from mos_protocol.names import Digest
from mos_protocol.scene import Scene
from PIL import Image, ImageChops

BUILD = Digest("0123456789abcdef" * 4)
LARGE = Image.new("RGB", (512, 512), "teal")
SMALL = Image.new("RGB", (512, 256), "teal")


@pytest.fixture
def large_base(base: BaseModel) -> BaseModel:
    """The tiny base with another decoder, which makes pictures of 512×512 from few latents."""
    torch.manual_seed(0)
    base.vae = AutoencoderKL(
        block_out_channels=(8,) * 7,
        down_block_types=("DownEncoderBlock2D",) * 7,
        up_block_types=("UpDecoderBlock2D",) * 7,
        norm_num_groups=4,
        sample_size=512,
    ).eval()
    return base


def test_a_base_marks_with_the_digest_over_its_weights(base):
    (picture,) = marked(base, [LARGE])
    assert read(picture) == base_digest(base)[:12]


def test_a_concept_that_is_attached_does_not_change_the_mark(base, random_concept):
    alone = model_digest(base)
    with attach_concept(base, random_concept()):
        assert model_digest(base) == alone


def test_a_published_model_marks_with_its_build(base):
    base.published = PublishedIdentity(BUILD, ("ada/potter@1",))
    (picture,) = marked(base, [LARGE])
    assert read(picture) == "0123456789ab"


def test_a_stock_pipeline_is_known_by_the_folder_it_came_from(base, base_folder, tmp_path):
    pipe = base.pipeline()
    assert model_digest(pipe) == base_digest(base)
    (tmp_path / "concepts.json").write_text(f'{{"build": "{BUILD}", "concepts": []}}')
    pipe.register_to_config(_name_or_path=str(tmp_path))
    assert model_digest(pipe) == BUILD


def test_a_package_is_named_by_whoever_attached_it(base):
    package = Digest("fedcba987654" + "0" * 52)
    (picture,) = marked(base, [LARGE], package)
    assert read(picture) == mark_of(package) == "fedcba987654"


def test_small_pictures_stay_as_they_are(base):
    small, large = marked(base, [SMALL, LARGE])
    assert small is SMALL
    assert large is not LARGE


def test_samples_are_marked_unless_told_otherwise(large_base):
    large_base.published = PublishedIdentity(BUILD, ())
    (picture,) = sample(large_base, "a cat", seeds=[1], steps=1)
    (plain,) = sample(large_base, "a cat", seeds=[1], steps=1, watermark=False)
    assert picture.size == (512, 512)
    assert (read(picture), read(plain)) == (BUILD[:12], None)
    assert ImageChops.difference(picture, plain).getbbox() is not None
    package = Digest("f" * 64)
    (own,) = sample(large_base, "a cat", seeds=[1], steps=1, made_by=package)
    assert read(own) == "f" * 12


def test_compositions_are_marked_unless_told_otherwise(large_base):
    large_base.published = PublishedIdentity(BUILD, ())
    scene = Scene(prompt="a cat", size=(512, 512), seeds=(1,), steps=1)
    (picture,) = compose(large_base, scene)
    (plain,) = compose(large_base, scene, watermark=False)
    assert (read(picture), read(plain)) == (BUILD[:12], None)
