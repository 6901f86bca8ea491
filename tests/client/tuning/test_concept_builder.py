"""A package is whole, checked, the same for the same seed, and never replaced by accident."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
from mos_client import concept_builder
from mos_client.concept_builder import PackageOptions
from mos_client.tuning import Phase, tune
from mos_diffusion.base_model import layer_map
from mos_diffusion.edlora import load_concept
from mos_diffusion.moments import read_moments
from mos_protocol.errors import Conflict, InvalidRequest
from mos_protocol.manifest import MANIFEST_FILE, read_manifest
from mos_protocol.package import check_package
from PIL import Image

QUICK = partial(PackageOptions, passes=1, preview_steps=2)
build_package = partial(concept_builder.build_package, options=QUICK())
tune_concept = partial(concept_builder.tune_concept, options=QUICK())


@pytest.fixture
def settings(make_settings):
    return make_settings(steps=2)


@pytest.fixture
def tuned(tiny_base, settings, photos, tmp_path):
    return tune(settings, photos, tmp_path / "work", base=tiny_base)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_package_passes_the_center_s_checks_and_says_how_it_was_made(
    tiny_base, settings, tuned, tmp_path
):
    out = tmp_path / "packages" / "dot"
    options = QUICK(licence="CC0-1.0", consent="mine", description="a dot")

    manifest = build_package(tuned, settings, out, base=tiny_base, options=options)

    assert check_package(out, layer_map(tiny_base)) == manifest
    assert (manifest.concept, manifest.words) == ("ada/dot", ("<dot1>", "<dot2>"))
    assert (manifest.training.images, manifest.training.steps) == (4, 2)
    assert manifest.training.learning_rate_embedding == 1e-2
    assert len(manifest.training.loss_curve) == 2
    assert (manifest.moments.recording, manifest.moments.passes) == ("data", 1)
    assert (manifest.licence, manifest.consent) == ("CC0-1.0", "mine")
    assert manifest.tool.startswith("mos-client ")
    assert {path for path in contents(out) if path.startswith("previews/")} == {
        "previews/scale_0.0.png",
        "previews/scale_0.7.png",
        "previews/scale_1.0.png",
    }


def test_a_package_holds_the_tuned_weights_and_moments_of_every_input(
    tiny_base, settings, tuned, tmp_path
):
    build_package(tuned, settings, tmp_path / "dot", base=tiny_base)

    weights = load_concept(tmp_path / "dot" / "concept.safetensors", settings.words)
    assert torch.equal(weights.embeddings["text_encoder"], tuned.weights.embeddings["text_encoder"])
    for block in layer_map(tiny_base).blocks:
        moments = read_moments(tmp_path / "dot" / "moments" / f"{block.name}.safetensors")
        assert moments.keys() == {item.name for item in block.inputs}
        assert all(torch.trace(moment) > 0 for moment in moments.values())


def test_previews_differ_with_the_scale_of_the_lora(tiny_base, settings, tuned, tmp_path):
    for factors in tuned.weights.lora.values():
        factors.up.add_(0.3)

    build_package(tuned, settings, tmp_path / "dot", base=tiny_base)

    previews = [
        (tmp_path / "dot" / "previews" / f"scale_{scale}.png").read_bytes()
        for scale in ("0.0", "0.7", "1.0")
    ]
    assert len(set(previews)) == 3
    with Image.open(tmp_path / "dot" / "previews" / "scale_1.0.png") as sheet:
        assert sheet.size == (4 * 32, 32)


def test_the_same_seed_gives_the_same_package_byte_for_byte(tiny_base, settings, photos, tmp_path):
    for name in ("one", "two"):
        tune_concept(settings, photos, tmp_path / name, tmp_path / f"{name}-work", tiny_base)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_paper_s_recording_gives_a_valid_package_with_other_moments(
    tiny_base, settings, tuned, tmp_path
):
    options = QUICK(recording="paper")

    manifest = build_package(tuned, settings, tmp_path / "paper", base=tiny_base, options=options)
    build_package(tuned, settings, tmp_path / "data", base=tiny_base)

    assert manifest.moments.recording == "paper"
    path = "moments/unet.mid_block.safetensors"
    assert contents(tmp_path / "paper")[path] != contents(tmp_path / "data")[path]


def test_templates_give_a_valid_package(tiny_base, settings, tuned, tmp_path):
    options = QUICK(recording="templates")

    manifest = build_package(tuned, settings, tmp_path / "dot", base=tiny_base, options=options)

    assert (manifest.moments.recording, manifest.moments.passes) == ("templates", 1)
    check_package(tmp_path / "dot", layer_map(tiny_base))


def test_raw_activations_make_a_larger_valid_package_of_the_same_moments(
    tiny_base, settings, tuned, tmp_path
):
    raw = build_package(
        tuned, settings, tmp_path / "raw", base=tiny_base, options=QUICK(activations="raw")
    )
    small = build_package(tuned, settings, tmp_path / "small", base=tiny_base, options=QUICK())

    assert (raw.moments.activations, small.moments.activations) == ("raw", "moments")
    check_package(tmp_path / "raw", layer_map(tiny_base))
    path = "moments/unet.mid_block.safetensors"
    assert raw.file(path).size > small.file(path).size
    found, expected = (read_moments(tmp_path / name / path) for name in ("raw", "small"))
    for name, moment in expected.items():
        assert float((found[name] - moment).norm()) < 0.03 * float(moment.norm())


def test_a_finer_accuracy_is_told_and_takes_more_bytes(tiny_base, settings, tuned, tmp_path):
    manifests = [
        build_package(
            tuned,
            settings,
            tmp_path / f"{accuracy}",
            base=tiny_base,
            options=QUICK(accuracy=accuracy),
        )
        for accuracy in (1e-2, 1e-6)
    ]

    assert [manifest.moments.accuracy for manifest in manifests] == [1e-2, 1e-6]
    path = "moments/unet.mid_block.safetensors"
    assert manifests[0].file(path).size < manifests[1].file(path).size


def test_leftovers_of_an_interrupted_build_do_not_matter(tiny_base, settings, tuned, tmp_path):
    out = tmp_path / "dot"
    (tmp_path / ".dot.partial" / "moments").mkdir(parents=True)
    (tmp_path / ".dot.partial" / "stray.bin").write_bytes(b"half a file")

    build_package(tuned, settings, out, base=tiny_base)

    assert check_package(out, layer_map(tiny_base)).concept == "ada/dot"
    assert not (tmp_path / ".dot.partial").exists()
    assert "stray.bin" not in contents(out)


def test_a_build_that_fails_leaves_no_package(tiny_base, settings, tuned, tmp_path):
    broken = dataclasses.replace(tuned, losses=(float("nan"),))

    with pytest.raises(ValueError, match="final_loss"):
        build_package(broken, settings, tmp_path / "dot", base=tiny_base)

    assert not (tmp_path / "dot").exists()


def test_a_replacement_that_was_interrupted_is_put_right(tiny_base, settings, tuned, tmp_path):
    out = tmp_path / "dot"
    build_package(tuned, settings, out, base=tiny_base)
    expected = contents(out)
    out.rename(tmp_path / ".dot.replaced")

    build_package(tuned, settings, out, base=tiny_base)

    assert contents(out) == expected
    assert not (tmp_path / ".dot.replaced").exists()


def test_building_the_same_package_again_mends_damage(tiny_base, settings, tuned, tmp_path):
    out = tmp_path / "dot"
    build_package(tuned, settings, out, base=tiny_base)
    expected = contents(out)
    (out / "concept.safetensors").write_bytes(b"damaged")

    build_package(tuned, settings, out, base=tiny_base)

    assert contents(out) == expected


def test_another_package_in_its_place_is_only_replaced_when_told(
    tiny_base, settings, tuned, tmp_path
):
    out = tmp_path / "dot"
    first = build_package(tuned, settings, out, base=tiny_base)
    other = dataclasses.replace(settings, seed=99)

    with pytest.raises(Conflict, match="another package of ada/dot"):
        build_package(tuned, other, out, base=tiny_base)
    assert read_manifest(out) == first
    assert not (tmp_path / ".dot.partial").exists()

    told = QUICK(overwrite=True)
    second = build_package(tuned, other, out, base=tiny_base, options=told)
    assert read_manifest(out) == second != first


def test_a_place_that_can_not_be_used_is_refused_before_any_tuning(
    tiny_base, settings, photos, tmp_path
):
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "letter.txt").write_text("keep me")

    for overwrite in (False, True):
        options = QUICK(overwrite=overwrite)
        with pytest.raises(Conflict, match="no concept package"):
            tune_concept(settings, photos, folder, tmp_path / "work", tiny_base, options=options)

    assert (folder / "letter.txt").read_text() == "keep me"
    assert not (tmp_path / "work").exists()


def test_a_package_of_another_concept_is_refused_before_any_tuning(
    tiny_base, settings, tuned, photos, tmp_path
):
    build_package(tuned, settings, tmp_path / "dot", base=tiny_base)
    other = dataclasses.replace(settings, name="bob/dot")

    with pytest.raises(Conflict, match="package of ada/dot"):
        tune_concept(other, photos, tmp_path / "dot", tmp_path / "new-work", tiny_base)

    assert not (tmp_path / "new-work").exists()


def test_tuning_and_packing_go_on_after_a_stop_with_the_same_package(
    tiny_base, settings, photos, tmp_path
):
    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.phase is Phase.PREVIEWS:
            raise StoppedError

    whole = tune_concept(settings, photos, tmp_path / "whole", tmp_path / "work1", tiny_base)
    with pytest.raises(StoppedError):
        tune_concept(
            settings, photos, tmp_path / "cut", tmp_path / "work2", tiny_base, on_progress=stop
        )
    assert not (tmp_path / "cut").exists()

    tune_concept(settings, photos, tmp_path / "cut", tmp_path / "work2", tiny_base)

    assert contents(tmp_path / "cut") == contents(whole)


def test_the_phases_are_told_in_order(tiny_base, settings, photos, tmp_path):
    phases = []

    tune_concept(
        settings,
        photos,
        tmp_path / "dot",
        tmp_path / "work",
        tiny_base,
        on_progress=lambda progress: phases.append(progress.phase),
    )

    assert list(dict.fromkeys(phases)) == list(Phase)


def test_unusable_pictures_leave_nothing_behind(tiny_base, settings, tmp_path):
    (tmp_path / "photos").mkdir()

    with pytest.raises(InvalidRequest, match="No pictures"):
        tune_concept(settings, tmp_path / "photos", tmp_path / "dot", tmp_path / "work", tiny_base)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_the_manifest_is_the_last_file_of_a_build(tiny_base, settings, tuned, tmp_path):
    build_package(tuned, settings, tmp_path / "dot", base=tiny_base)

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "dot").rglob("*.*")}
    files = {path: time for path, time in times.items() if path.is_file()}
    assert max(files, key=files.__getitem__).name == MANIFEST_FILE
