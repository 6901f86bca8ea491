"""`tune`: wrong calls end before anything heavy starts; a right one ends with a package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mos_protocol.errors import EDGES
from mos_protocol.manifest import read_manifest
from PIL import Image
from tiny_base import write_tiny_base

INVALID = EDGES["invalid_request"].exit_code


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40), (200, 40 * number, 30)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def wanted(pictures, base, tmp_path) -> list:
    """A small tuning that takes seconds."""
    what = ["--base", base, "--name", "ada/dog", "--word", "<dog1> <dog2>", "--class", "dog"]
    how = ["--steps", 2, "--batch-size", 1, "--rank", 1, "--out", tmp_path / "package"]
    return ["tune", pictures, *what, *how]


@pytest.fixture
def known_base(center, base) -> str:
    """The center has registered the tiny base, without a prior."""
    from mos_diffusion.base_model import layer_map, load_base

    center.layer_map = layer_map(load_base(base))
    return "tiny"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"--name": "dog"}, "owner/name"),
        ({"--word": "dog"}, "angle brackets"),
        ({"--base": "tinyworld"}, "There is no base model 'tinyworld' here."),
        ({"--upload": None}, "No center is named to upload to."),
    ],
)
def test_a_wrong_call_is_refused_at_once(run, wanted, change, told):
    arguments = list(wanted)
    for option, value in change.items():
        if value is None:
            arguments.append(option)
        else:
            arguments[arguments.index(option) + 1] = value
    outcome = run(*arguments)
    assert outcome.code == INVALID
    assert told in outcome.err


def test_a_folder_that_is_not_there_is_refused(run, wanted, tmp_path):
    wanted[1] = tmp_path / "nothing"
    outcome = run(*wanted)
    assert outcome.code == INVALID
    assert "is no folder" in outcome.err


def test_a_base_that_only_the_center_has_is_told_how_to_get(ask, center, wanted):
    wanted[wanted.index("--base") + 1] = "tiny"
    outcome = ask(*wanted)
    assert outcome.code == INVALID
    assert center.layer_map.digest[:12] in outcome.err
    assert "--base DIR" in outcome.err


def test_a_base_that_the_center_lacks_is_refused_before_tuning(ask, wanted, tmp_path):
    outcome = ask(*wanted, "--upload")
    assert outcome.code == INVALID
    assert "it has: tiny" in outcome.err
    assert not (tmp_path / "package.work").exists()


def test_a_prior_penalty_needs_a_prior_somewhere(ask, wanted, known_base):
    outcome = ask(*wanted, "--prior-penalty", "0.1")
    assert outcome.code == EDGES["not_found"].exit_code
    assert "no prior" in outcome.err


@pytest.fixture
def prior(base, tmp_path) -> Path:
    """A folder of prior moments of the tiny base: every channel for itself."""
    from mos_diffusion.base_model import blocks, load_base
    from mos_diffusion.moments import write_moments

    moments = {
        block.name: {item.name: torch.eye(item.width, dtype=torch.float64) for item in block.inputs}
        for block in blocks(load_base(base))
    }
    write_moments(moments, tmp_path / "prior")
    return tmp_path / "prior"


@pytest.mark.parametrize(
    ("more", "penalty", "layers"),
    [
        ((), 0.5, "keys-values"),
        (("--prior-penalty", "0"), 0, "keys-values"),
        (("--as-published",), 0, "all"),
    ],
)
def test_a_prior_at_hand_is_used_unless_told_otherwise(
    run, wanted, prior, tmp_path, more, penalty, layers
):
    assert run(*wanted, "--prior", prior, *more).code == 0
    training = read_manifest(tmp_path / "package").training
    assert (training.prior_penalty, training.layers) == (penalty, layers)


def test_baselines_are_tuned_as_published_even_with_a_prior(run, wanted, prior, tmp_path):
    wanted[wanted.index("<dog1> <dog2>")] = "<dog1>"
    assert run(*wanted, "--prior", prior, "--method", "lora").code == 0
    assert read_manifest(tmp_path / "package").training.prior_penalty == 0


def test_a_center_with_a_prior_gives_it_whether_or_not_the_concept_is_uploaded(
    ask, center, wanted, known_base, prior, tmp_path
):
    center.prior = {path.stem: path.read_bytes() for path in (prior / "moments").iterdir()}
    assert ask(*wanted).code == 0
    assert read_manifest(tmp_path / "package").training.prior_penalty == 0.5
    # The same command goes on where the first one ended.
    outcome = ask(*wanted, "--upload", "--overwrite")
    assert (outcome.code, "ada/dog@1 is at the center" in outcome.out) == (0, True)


def test_a_center_that_lacks_the_base_is_no_matter_without_an_upload(ask, wanted, tmp_path):
    assert ask(*wanted).code == 0
    assert read_manifest(tmp_path / "package").training.prior_penalty == 0


def test_tune_with_upload_ends_with_a_concept_at_the_center(ask, wanted, known_base, tmp_path):
    outcome = ask(*wanted, "--upload", "--licence", "CC0")
    assert (outcome.code, outcome.err.count("error")) == (0, 0)
    manifest = read_manifest(tmp_path / "package")
    assert (manifest.concept, manifest.base.name, manifest.licence) == ("ada/dog", "tiny", "CC0")
    assert manifest.training.steps == 2
    assert "ada/dog@1 is at the center and can be fused." in outcome.out
    assert "tuning: 100 % step 2/2  loss" in outcome.err
    assert "recording\n" in outcome.err
    assert "Loading" not in outcome.err


def test_tune_without_a_center_says_how_to_bring_the_package_there(run, wanted, tmp_path):
    outcome = run(*wanted, "--json")
    assert outcome.code == 0
    assert outcome.json["package"] == str(tmp_path / "package")
    checked = run("package", "check", tmp_path / "package", "--base", wanted[3])
    assert checked.code == 0


def test_tune_can_be_told_how_to_keep_what_it_records(run, wanted, tmp_path):
    outcome = run(*wanted, "--activations", "raw", "--moments-accuracy", "0.001")
    assert outcome.code == 0
    told = read_manifest(tmp_path / "package").moments
    assert (told.recording, told.activations, told.accuracy) == ("data", "raw", 0.001)


def test_an_accuracy_out_of_range_is_refused_at_once(run, wanted):
    assert run(*wanted, "--moments-accuracy", "0.5").code == 2


def test_a_method_and_what_it_leaves_open_can_be_told(run, wanted, tmp_path):
    changed = [*wanted, "--method", "lora", "--kv-drop", "0.5", "--embedding-first", "0.5"]
    changed[changed.index("<dog1> <dog2>")] = "<dog1>"
    outcome = run(
        *changed,
        "--layers",
        "cross",
        "--lr-unet",
        "2e-4",
        "--noise-offset",
        "0.05",
        "--loss-weighting",
        "debiased",
    )
    assert outcome.code == 0
    manifest = read_manifest(tmp_path / "package")
    training = manifest.training
    assert (manifest.method, manifest.words, manifest.rank) == ("lora", ("<dog1>",), 1)
    assert (training.learning_rate_embedding, training.learning_rate_unet) == (5e-4, 2e-4)
    assert (training.noise_offset, training.layers) == (0.05, "cross")
    assert training.loss_weighting == "debiased"
    assert (training.kv_drop, training.embedding_first) == (0.5, 0.5)


def test_a_package_says_how_prompts_name_its_concept(run, wanted, pictures, tmp_path):
    place = wanted.index("--rank")
    wanted[place : place + 2] = ["--method", "custom-diffusion"]
    wanted[wanted.index("<dog1> <dog2>")] = "<dog1>"
    outcome = run(*wanted, "--regularisation", pictures)
    assert outcome.code == 0
    assert outcome.out.count("ada/dog is in") == 1
    shown = run("package", "show", tmp_path / "package")
    assert "<dog1> dog" in shown.out
    assert "custom-diffusion, rank 32, layers: keys-values" in shown.out
    assert "paper, 1 passes" in shown.out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--method", "p-plus"), "p-plus teaches one word, and <dog1> <dog2> are 2."),
        (("--layers", "keys-values", "--kv-drop", "1"), "kv_drop 1 no layer would ever be tuned"),
        (("--regularisation", "nowhere"), "nowhere is no folder."),
    ],
)
def test_settings_that_a_method_has_no_use_for_are_refused(run, wanted, tmp_path, change, told):
    outcome = run(*wanted, *change)
    assert outcome.code == INVALID
    assert told in " ".join(outcome.err.split())
    assert not (tmp_path / "package.work").exists()
