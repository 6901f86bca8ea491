"""What a tuning asks of a center beforehand, and the prior moments that it is given."""

from __future__ import annotations

import numpy as np
import pytest
from fake_center import TOKEN
from mos_client.cli.invocation import Invocation
from mos_client.cli.tuning_base import check_may_upload, load_prior
from mos_protocol.errors import InvalidRequest, PermissionDenied
from mos_protocol.moments import MOMENTS_FORMAT
from safetensors.numpy import save
from tiny_package import coded_moment


def test_the_centers_prior_is_fetched_once_and_read_by_block(center, tmp_path):
    for block in center.layer_map.blocks:
        moments = coded_moment(block.inputs[0].name, np.eye(8))
        center.prior[block.name] = save(moments, metadata={"format": MOMENTS_FORMAT})
    call = Invocation(center.url, TOKEN)
    with call.session() as session:
        registered = session.base("tiny")
    prior = load_prior(call, registered, None, cache=tmp_path)
    assert set(prior) == {"text_encoder", "unet.mid_block"}
    assert [moment.shape for block in prior.values() for moment in block.values()] == [(8, 8)] * 2
    folder = tmp_path / "priors" / registered.digest
    assert set(load_prior(call, None, folder)) == set(prior)
    assert set(load_prior(call, None, folder / "moments")) == set(prior)


def test_a_prior_folder_without_moments_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no moments"):
        load_prior(Invocation(), None, tmp_path)


def test_a_concept_that_the_center_would_not_take_is_refused_before_it_is_tuned(center):
    call = Invocation(center.url, TOKEN)
    check_may_upload(call, "ada/potter")
    with pytest.raises(PermissionDenied, match="belong to ben, and you are ada"):
        check_may_upload(call, "ben/potter")
    center.me = {**center.me, "role": "admin"}
    check_may_upload(call, "ben/potter")
    center.me = {**center.me, "scopes": ["concept:read"]}
    with pytest.raises(PermissionDenied, match="lacks the scope concept:write"):
        check_may_upload(call, "ada/potter")
