from __future__ import annotations

import copy

import pytest
import torch
from mos_diffusion.base_model import base_digest, load_base
from mos_diffusion.evaluation.subjects import concept_subject, model_subject
from mos_protocol.errors import InvalidRequest


def test_copies_are_the_same_subject_and_any_change_makes_another(base):
    subject = model_subject(base)
    assert model_subject(copy.deepcopy(base)).digest == subject.digest
    for part in ("unet", "text_encoder", "vae"):
        changed = copy.deepcopy(base)
        parameter = next(getattr(changed, part).parameters())
        with torch.no_grad():
            parameter.add_(1)
        assert model_subject(changed).digest != subject.digest
    assert model_subject(base).base == base_digest(base)


def test_a_package_is_a_subject_of_its_own_while_it_is_attached(edge, packages):
    base = load_base(edge.base)
    plain, digests = model_subject(base), set()
    for package in packages:
        with concept_subject(plain, package) as subject:
            assert f"<{package.name}1>" in subject.model.tokenizer.get_vocab()
            digests.add(subject.digest)
    assert len(digests | {plain.digest}) == 3
    assert model_subject(base).digest == plain.digest


def test_a_concept_of_another_base_is_refused(base, packages):
    with torch.no_grad():
        base.unet.conv_out.bias.add_(1)
    with (
        pytest.raises(InvalidRequest, match="ada/mittens was made for the base with digest"),
        concept_subject(model_subject(base), packages[0]),
    ):
        pass
