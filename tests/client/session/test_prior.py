"""The base's prior moments: fetched once, checked like a package's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mos_protocol.errors import InvalidPackage, NotFound
from mos_protocol.moments import MOMENTS_FORMAT
from safetensors.numpy import save
from tiny_package import coded_moment

FORMAT = {"format": MOMENTS_FORMAT}


@pytest.fixture
def prior(center) -> dict[str, bytes]:
    for block in center.layer_map.blocks:
        tensors = {}
        for item in block.inputs:
            tensors |= coded_moment(item.name, np.eye(item.width))
        center.prior[block.name] = save(tensors, metadata=FORMAT)
    return center.prior


def priors_fetched(center) -> int:
    return sum("/prior/" in path for _, path, _, _ in center.requests)


def test_every_block_is_fetched_once(session, center, prior, tmp_path):
    out = session.base_prior("tiny", tmp_path)
    assert (out / "moments/unet.mid_block.safetensors").read_bytes() == prior["unet.mid_block"]
    session.base_prior("tiny", tmp_path)
    assert priors_fetched(center) == len(prior)


def test_a_base_without_a_prior_is_told(session, tmp_path):
    with pytest.raises(NotFound, match="no prior"):
        session.base_prior("tiny", tmp_path)


def test_a_prior_of_wrong_tensors_is_refused(session, prior, tmp_path):
    prior["unet.mid_block"] = save({"other": np.ones(3, np.float32)}, metadata=FORMAT)
    with pytest.raises(InvalidPackage, match="lacks tensor"):
        session.base_prior("tiny", tmp_path)
    assert not (tmp_path / "moments/unet.mid_block.safetensors").exists()


def test_clients_that_fill_one_folder_at_once_do_not_disturb_each_other(session, prior, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(session.base_prior, "tiny", tmp_path) for _ in range(8)]
        assert [run.result() for run in runs] == [tmp_path] * 8
    assert sorted(path.stem for path in (tmp_path / "moments").iterdir()) == sorted(prior)
