from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mos_diffusion.edlora import attach_concept
from mos_diffusion.evaluation.evaluating import bounds, caption_loss, evaluate
from mos_diffusion.evaluation.identity import held_out_loss
from mos_diffusion.evaluation.pictures import PictureCache, SamplingSettings
from mos_diffusion.evaluation.scores import Judge
from mos_diffusion.evaluation.subjects import model_subject
from mos_diffusion.prompts import layerwise

SETTINGS = SamplingSettings(seeds=(1, 2), steps=1, guidance=1.0, negative_prompt="")


@pytest.fixture
def judge(clip):
    return Judge(clip)


def test_bounds_are_the_base_with_the_class_word(base, judge, case, tmp_path):
    cache, subject = PictureCache(tmp_path), model_subject(base)
    found = bounds(judge, cache, SETTINGS, case, subject)
    pictures = cache.table(subject, SETTINGS, case.prompts.texts("man"))
    expected = judge.scores(pictures, case.prompts, "man", (1, 2), judge.references(case.pictures))
    for measure in ("text", "image"):
        np.testing.assert_array_equal(found.values[measure], expected.values[measure])


def test_a_concept_is_named_by_its_trigger_and_described_by_its_class(
    base, random_concept, judge, case, tmp_path
):
    cache = PictureCache(tmp_path)
    with attach_concept(base, random_concept()):
        subject = model_subject(base)
        found = evaluate(judge, cache, SETTINGS, case, subject)
        pictures = cache.table(subject, SETTINGS, case.prompts.texts("<potter1> <potter2>"))
    assert all(path.is_file() for row in pictures for path in row)
    first = (
        judge.clip.pictures([pictures[0][0]])[0]
        @ judge.clip.texts(["A photo depicts a man on the beach"])[0]
    )
    assert found.values["text"][0, 0] == pytest.approx(2.5 * max(first.item(), 0), abs=1e-5)


def test_references_may_be_other_pictures_and_be_embedded_once(base, judge, case, noise, tmp_path):
    references = judge.references(noise[:1])
    found = evaluate(
        judge, PictureCache(tmp_path), SETTINGS, case, model_subject(base), references=references
    )
    own = evaluate(judge, PictureCache(tmp_path), SETTINGS, case, model_subject(base))
    assert found.mean("image") != own.mean("image")
    assert found.mean("text") == own.mean("text")


def test_a_concept_without_pictures_is_measured_by_text_alone(base, judge, case, tmp_path):
    bare = dataclasses.replace(case, pictures=())
    found = evaluate(judge, PictureCache(tmp_path), SETTINGS, bare, model_subject(base))
    assert set(found.values) == {"text"}


def test_held_out_captions_call_the_concept_by_the_name_given(base):
    latents = torch.randn(2, 4, 8, 8)
    found = caption_loss(base, latents, ["a <TOK>", "a red <TOK>"], "cat")
    expected = held_out_loss(base, layerwise(base), latents, ["a cat", "a red cat"], seed=0)
    assert found == pytest.approx(expected, rel=1e-6)
    assert caption_loss(base, latents, ["a <TOK>", "a red <TOK>"], "dog") != found
