"""Fusing package folders: what must hold of the result, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fused_models import (
    dense_moments,
    dense_updates,
    hashes,
    published_deltas,
    read_json,
    weighted,
    write_concept,
)
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_protocol.errors import Conflict, InvalidPackage, InvalidRequest
from mos_protocol.moments import moments_path

WEIGHTS = (1.0, 0.5, 1.0)


def equalised(gram: np.ndarray) -> np.ndarray:
    return gram * (len(gram) / np.trace(gram))


def objectives(tiny, model) -> dict[str, float]:
    """f of every layer from package files and published delta alone; moments weigh alike."""
    moments = [dense_moments(package, tiny.layers) for package in tiny.packages]
    updates = [dense_updates(package, tiny.layers) for package in tiny.packages]
    deltas = published_deltas(model, tiny.layers)
    found = {}
    for layer in tiny.layers.layers():
        grams = [equalised(item[layer.input]) for item in moments]
        target = sum(
            weight * update[layer.name] @ gram
            for weight, update, gram in zip(WEIGHTS, updates, grams, strict=True)
        )
        delta = deltas[layer.name]
        found[layer.name] = float(((delta @ sum(grams) - 2 * target) * delta).sum())
    return found


def test_in_every_layer_closed_form_is_at_most_lbfgs_and_lbfgs_at_most_the_average(tiny, fused):
    closed, lbfgs, average = (
        objectives(tiny, fused[solver]) for solver in ("closed-form", "lbfgs", "average")
    )

    for name in closed:
        assert closed[name] <= lbfgs[name] + 1e-9 * abs(closed[name])
        assert lbfgs[name] <= average[name] + 1e-9 * abs(closed[name])
        assert closed[name] < average[name]


def test_the_report_says_what_the_files_say(tiny, fused):
    for solver in ("closed-form", "lbfgs", "average"):
        found = objectives(tiny, fused[solver])
        baseline = objectives(tiny, fused["average"])
        for layer in read_json(fused[solver] / "report.json")["layers"]:
            name, values = layer["layer"], layer["objective"]
            assert values["result"] == pytest.approx(found[name], rel=1e-9, abs=1e-12)
            assert values["average"] == pytest.approx(baseline[name], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("solver", ["closed-form", "lbfgs"])
def test_a_single_concept_comes_back_as_base_plus_its_update(tiny, tmp_path, solver):
    fuse_local(
        tiny.base, weighted(tiny.packages[:1], [0.8]), FusionSettings(solver), tmp_path / "out"
    )

    deltas = published_deltas(tmp_path / "out", tiny.layers)
    updates = dense_updates(tiny.packages[0], tiny.layers)
    for name in (layer.name for layer in tiny.layers.layers()):
        update = updates[name]
        np.testing.assert_allclose(deltas[name], 0.8 * update, atol=1e-6 * np.abs(update).max())


def test_the_same_input_gives_the_same_bytes_on_any_number_of_threads(tiny, fused, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2 if before == 1 else 1)
    try:
        for solver in ("closed-form", "lbfgs"):
            out = tmp_path / solver
            packages = weighted(tiny.packages, WEIGHTS)
            fuse_local(tiny.base, packages, FusionSettings(solver), out)
            assert hashes(out) == hashes(fused[solver])
    finally:
        torch.set_num_threads(before)


def test_a_prior_makes_the_delta_smaller_on_generic_inputs(tiny, fused, tmp_path):
    write_concept(tmp_path / "generic", tiny.layers, 9)
    prior = {
        block.name: tmp_path / "generic" / moments_path(block.name)
        for block in tiny.layers.all_blocks()
    }
    packages = weighted(tiny.packages, WEIGHTS)

    fuse_local(tiny.base, packages, FusionSettings(prior_weight=5.0), tmp_path / "out", prior=prior)

    generic = dense_moments(tmp_path / "generic", tiny.layers)
    held, free = (
        published_deltas(model, tiny.layers) for model in (tmp_path / "out", fused["closed-form"])
    )
    for layer in tiny.layers.layers():
        gram = generic[layer.input]
        small, large = (delta[layer.name] for delta in (held, free))
        assert ((small @ gram) * small).sum() < ((large @ gram) * large).sum()


def test_progress_counts_up_to_the_number_of_blocks_and_the_writing(tiny, tmp_path):
    seen = []
    packages = weighted(tiny.packages)
    fuse_local(
        tiny.base,
        packages,
        FusionSettings(),
        tmp_path / "out",
        on_progress=lambda done, total, message: seen.append((done, total, message)),
    )

    total = len(tiny.layers.all_blocks()) + 1
    fusing = [item for item in seen if item[1] == total]
    assert [done for done, _, _ in fusing] == list(range(total + 1))
    assert fusing[0] == (0, total, "fuse text_encoder")
    assert seen[-1] == (total, total, "done")


def refused(tiny, tmp_path, packages, error, match, settings=None, **arguments):
    """Fusing raises the error and leaves the folder of the result as it was."""
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(error, match=match):
        fuse_local(
            tiny.base,
            weighted(packages),
            settings or FusionSettings(),
            home / "out",
            **arguments,
        )
    assert list(home.iterdir()) == []


def test_a_word_that_two_concepts_share_is_refused(tiny, tmp_path):
    write_concept(tmp_path / "twin", tiny.layers, 5, words=("<new>", "<c0b>"))
    refused(
        tiny,
        tmp_path,
        [tiny.packages[0], tmp_path / "twin"],
        Conflict,
        r"ada/c0 and ada/c5 share the word <c0b>",
    )


def test_a_word_that_the_base_has_already_is_refused(tiny, fused, tmp_path):
    from mos_center.fusion.embeddings import extended_tokenizer

    with pytest.raises(Conflict, match="<c0a> is already in the model"):
        extended_tokenizer(fused["average"] / "tokenizer", ["<c0a>"], 16)


def test_a_damaged_package_is_refused_by_file_and_leaves_nothing(tiny, tmp_path):
    package = tmp_path / "damaged"
    write_concept(package, tiny.layers, 5)
    path = package / "moments/unet.mid_block.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    refused(
        tiny,
        tmp_path,
        [tiny.packages[0], package],
        InvalidPackage,
        r"moments/unet\.mid_block\.safetensors: content does not match",
    )


def test_a_package_for_another_base_is_refused(tiny, tmp_path):
    other = tiny.layers.model_copy(update={"digest": "0" * 64})
    write_concept(tmp_path / "foreign", other, 5)
    refused(tiny, tmp_path, [tmp_path / "foreign"], InvalidPackage, "tuned on base")


def test_a_failure_in_the_middle_leaves_nothing(tiny, tmp_path):
    def stop(done: int, total: int, message: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(KeyboardInterrupt):
        fuse_local(
            tiny.base,
            weighted(tiny.packages[:1]),
            FusionSettings(),
            home / "out",
            on_progress=stop,
        )
    assert list(home.iterdir()) == []


def test_a_prior_weight_without_prior_moments_is_refused(tiny, tmp_path):
    settings = FusionSettings(prior_weight=0.1)
    refused(tiny, tmp_path, tiny.packages, InvalidRequest, "prior moments", settings)


def test_a_prior_that_lacks_a_block_is_refused(tiny, tmp_path):
    settings = FusionSettings(prior_weight=0.1)
    refused(tiny, tmp_path, tiny.packages, InvalidRequest, "text_encoder", settings, prior={})


def test_fusing_nothing_is_refused(tiny, tmp_path):
    refused(tiny, tmp_path, [], InvalidRequest, "No concept")


def test_an_output_folder_that_exists_is_left_alone(tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("mine")

    with pytest.raises(Conflict, match="is there already"):
        fuse_local(tiny.base, weighted(tiny.packages[:1]), FusionSettings(), tmp_path / "out")

    assert (tmp_path / "out/precious").read_text() == "mine"
