"""Compositions on a tiny model: what regions do, and what they leave as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mos_diffusion.composing import compose, compose_latents
from mos_diffusion.edlora import attach_concept
from mos_diffusion.sampling import sample, sample_latents
from mos_protocol.errors import InvalidRequest
from mos_protocol.scene import Region, Scene
from PIL import Image

TRIGGER = "<potter1> <potter2>"
LEFT = Region(id="left", box=(0, 0, 16, 32), prompt="a cat", negative_prompt="red")
RIGHT = Region(id="right", box=(16, 0, 32, 32), prompt="a dog")
STEPS = 3


def scene(*regions: Region, **changes) -> Scene:
    plain = {"prompt": "a photo of a man", "size": (64, 64), "steps": STEPS, "seeds": (0, 1)}
    return Scene(**(plain | {"regions": regions} | changes))


def latents(base, wanted: Scene, **options) -> torch.Tensor:
    return compose_latents(base, wanted, **options)


def test_a_scene_without_regions_gives_the_pictures_of_sample_exactly(base, random_concept):
    wanted = scene(prompt=f"a {TRIGGER} on the beach", size=(64, 96), seeds=(3, 4, 5))
    with attach_concept(base, random_concept()):
        found = compose(base, wanted, batch_size=2)
        expected = sample(
            base, wanted.prompt, seeds=wanted.seeds, steps=STEPS, width=64, height=96, batch_size=2
        )
    assert [np.array(a).tolist() for a in found] == [np.array(b).tolist() for b in expected]


def test_a_region_of_the_whole_picture_is_its_own_prompt(base, random_concept):
    whole = Region(
        id="all", box=(0, 0, 64, 64), prompt=f"a {TRIGGER} on the beach", negative_prompt="red"
    )
    with attach_concept(base, random_concept()):
        found = latents(base, scene(whole))
        expected = sample_latents(
            base,
            whole.prompt,
            negative_prompt="red",
            seeds=(0, 1),
            steps=STEPS,
            width=64,
            height=64,
        )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_seeds_of_one_batch_are_those_of_single_pictures(base):
    wanted = scene(LEFT, RIGHT, self_attention="regions", size=(96, 64))
    together = latents(base, wanted)
    apart = [latents(base, wanted.model_copy(update={"seeds": (seed,)})) for seed in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-3, atol=1e-3)


def test_a_region_changes_its_own_part_most(base):
    one = latents(base, scene(LEFT, steps=1, self_attention="regions"))
    other = latents(
        base,
        scene(
            LEFT.model_copy(update={"prompt": "a chair on the grass"}),
            steps=1,
            self_attention="regions",
        ),
    )
    change = (one - other).abs().mean((0, 1))
    # The whole picture changes a little, through what lies around attention.
    assert change[:8, :4].mean() > change[8:, 8:].mean()


def test_the_negative_prompt_of_a_region_counts(base):
    without = LEFT.model_copy(update={"negative_prompt": None})
    assert not torch.equal(latents(base, scene(LEFT)), latents(base, scene(without)))
    same = LEFT.model_copy(update={"negative_prompt": "blue"})
    torch.testing.assert_close(
        latents(base, scene(same, negative_prompt="blue")),
        latents(base, scene(without, negative_prompt="blue")),
    )


def test_a_share_of_the_steps_lies_between_none_and_all(base):
    free, half, all_ = (
        latents(base, scene(LEFT, RIGHT, self_attention=kind, self_attention_share=share))
        for kind, share in (("free", 1.0), ("regions", 0.3), ("regions", 1.0))
    )
    assert not torch.equal(free, half)
    assert not torch.equal(half, all_)
    none = latents(base, scene(LEFT, RIGHT, self_attention="regions", self_attention_share=0.0))
    assert torch.equal(none, free)


def test_the_model_is_left_as_it_was(base):
    before = dict(base.unet.attn_processors)
    latents(base, scene(LEFT, RIGHT, self_attention="regions"))
    assert base.unet.attn_processors == before


def test_steps_are_told_over_all_batches_and_can_be_ended(base):
    told = []
    compose(base, scene(LEFT), batch_size=1, on_step=lambda done, steps: told.append((done, steps)))
    assert told == [(number, 2 * STEPS) for number in range(1, 2 * STEPS + 1)]

    def end(done: int, steps: int) -> None:
        raise KeyboardInterrupt

    before = dict(base.unet.attn_processors)
    with pytest.raises(KeyboardInterrupt):
        compose(base, scene(LEFT), on_step=end)
    assert base.unet.attn_processors == before


def test_a_mask_file_is_a_region(base, tmp_path):
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 16, 32))
    mask.save(tmp_path / "left.png")
    masked = LEFT.model_copy(update={"box": None, "mask": "left.png"})
    found = latents(base, scene(masked), folder=tmp_path)
    torch.testing.assert_close(found, latents(base, scene(LEFT)))


def test_masks_that_cannot_be_used_are_told(base, tmp_path):
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    Image.new("L", (32, 64), 255).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, reason in (
        ("black", "is black"),
        ("small", "has 32×64 pixels"),
        ("text", "it is no PNG"),
        ("none", "No such file"),
    ):
        masked = LEFT.model_copy(update={"box": None, "mask": f"{name}.png"})
        with pytest.raises(InvalidRequest, match=rf"region `left`.*{reason}"):
            compose(base, scene(masked), folder=tmp_path)


def test_words_that_the_model_does_not_know_are_refused(base, random_concept):
    wanted = scene(LEFT.model_copy(update={"prompt": f"a {TRIGGER}"}))
    with pytest.raises(InvalidRequest, match="region `left`: the model doesn't know <potter1>"):
        compose(base, wanted)
    with attach_concept(base, random_concept()):
        assert len(compose(base, wanted)) == 2
