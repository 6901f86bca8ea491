"""A LoRA of another trainer becomes a package, and means the same as where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from foreign_loras import draw_lora, write_diffusers, write_kohya
from mos_client.importing import import_concept
from mos_diffusion.adapters import changed_layers
from mos_diffusion.edlora import attach_concept, load_concept
from mos_diffusion.moments import read_moments
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import Conflict, InvalidRequest
from mos_protocol.manifest import read_manifest, sha256_of
from mos_protocol.package import check_package
from PIL import Image

PROMPTS = ["a photo of a red cat on the beach", "red cat"]
OURS = ["a photo of a <ohwx> <cat> on the beach", "<ohwx> <cat>"]


@torch.no_grad()
def stock_outputs(base_folder: Path, lora: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Text states and UNet output of the LoRA in stock diffusers."""
    pipe = StableDiffusionPipeline.from_pretrained(
        base_folder, safety_checker=None, requires_safety_checker=False
    )
    pipe.load_lora_weights(lora.parent, weight_name=lora.name)
    ids = pipe.tokenizer(PROMPTS, padding="max_length", return_tensors="pt").input_ids
    states = pipe.text_encoder(ids)[0]
    return states, pipe.unet(noise(), 500, states).sample


@torch.no_grad()
def our_outputs(base, package: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with the package's concept attached, prompted by its words."""
    weights = load_concept(package / "concept.safetensors", read_manifest(package).words)
    with attach_concept(base, weights):
        prompts = layerwise(base)
        states = prompts.encode(OURS)
        result = base.unet(noise(), 500, states).sample
        prompts.remove()
    return states.unflatten(1, (16, -1))[:, 7], result


def noise() -> torch.Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


KINDS = {
    "everything": lambda name: True,
    "attention only": lambda name: (
        not any(p in name for p in ("ff.", "proj_in", "proj_out", "mlp"))
    ),
    "no text encoder": lambda name: name.startswith("unet."),
    "text encoder only": lambda name: name.startswith("text_encoder."),
}


@pytest.mark.parametrize("write", ["diffusers", "kohya"])
@pytest.mark.parametrize("kind", KINDS)
def test_package_gives_what_stock_diffusers_gives(
    base, base_folder, layers, make_settings, tmp_path, kind, write
):
    factors = draw_lora(base, layers.layers(), KINDS[kind], rank=16)
    if write == "diffusers":
        file = write_diffusers(tmp_path / "cat.safetensors", factors)
    else:
        file = write_kohya(tmp_path / "cat.safetensors", factors, alpha=6.0)
    import_concept(make_settings(file), tmp_path / "package", base=base)

    manifest = check_package(tmp_path / "package", layers)
    expected_states, expected = stock_outputs(base_folder, file)
    states, result = our_outputs(base, tmp_path / "package")
    torch.testing.assert_close(states, expected_states, rtol=0, atol=1e-5)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    plain = base.unet(noise(), 500, states.detach()).sample
    assert kind == "text encoder only" or not torch.allclose(plain, result, atol=1e-3)
    assert manifest.rank == 16


def test_package_says_where_it_comes_from(base, layers, make_settings, tmp_path):
    factors = draw_lora(base, layers.layers(), KINDS["attention only"], rank=4)
    file = write_kohya(tmp_path / "My LoRA (final).safetensors", factors, alpha=1.0)
    settings = make_settings(file, licence="CC0", consent="mine", description="a cat")
    manifest = import_concept(settings, tmp_path / "package", base=base)
    assert (manifest.method, manifest.training, manifest.rank) == ("imported", None, 4)
    assert manifest.source.file == "My LoRA (final).safetensors"
    assert manifest.source.sha256 == sha256_of(file)
    assert (manifest.source.words_from, manifest.source.trigger) == ("trigger", "red cat")
    assert manifest.source.skipped == 0
    assert (manifest.class_word, manifest.licence) == ("cat", "CC0")
    assert (manifest.moments.recording, manifest.moments.passes) == ("paper", 1)
    assert b"training" not in (tmp_path / "package/manifest.json").read_bytes()


def test_moments_of_extra_blocks_are_there_only_where_they_are_changed(
    base, layers, make_settings, tmp_path
):
    changed = "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.2"
    factors = draw_lora(base, layers.layers(), lambda name: name == changed, rank=2)
    file = write_diffusers(tmp_path / "ff.safetensors", factors)
    manifest = import_concept(make_settings(file), tmp_path / "package", base=base)
    moments = {entry.path for entry in manifest.files if entry.path.startswith("moments/")}
    extra = "moments/unet.mid_block.feed_forward.safetensors"
    assert moments == {*(f"moments/{block.name}.safetensors" for block in layers.blocks), extra}
    matrices = read_moments(tmp_path / "package" / extra)
    source = "unet.mid_block.attentions.0.transformer_blocks.0.ff.out"
    assert matrices[source].shape == (128, 128)
    assert torch.linalg.eigvalsh(matrices[source]).max() > 0


def test_templates_are_recorded_on_without_pictures(base, layers, make_settings, tmp_path):
    factors = draw_lora(base, layers.layers(), KINDS["attention only"], rank=2)
    file = write_kohya(tmp_path / "cat.safetensors", factors, alpha=2.0)
    path = "moments/unet.mid_block.safetensors"
    for recording in ("templates", "paper"):
        settings = make_settings(file, recording=recording, passes=1)
        manifest = import_concept(settings, tmp_path / recording, base=base)
        assert (manifest.moments.recording, manifest.moments.passes) == (recording, 1)
    assert check_package(tmp_path / "templates", layers).method == "imported"
    read = (tmp_path / "templates" / path).read_bytes()
    assert read != (tmp_path / "paper" / path).read_bytes()


def test_pictures_are_recorded_on_when_they_are_given(base, layers, make_settings, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40), (200, 60 * number, 30)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"<TOK> {'of grass' * 9}")
    factors = draw_lora(base, layers.layers(), rank=2)
    file = write_kohya(tmp_path / "cat.safetensors", factors, alpha=2.0)
    settings = make_settings(file, recording="data", images=pictures, passes=2)
    told: list[str] = []
    manifest = import_concept(settings, tmp_path / "package", base=base, tell=told.append)
    assert sum("tokens was cut to 32" in message for message in told) == 1
    assert (manifest.moments.recording, manifest.moments.passes) == ("data", 2)
    assert check_package(tmp_path / "package", layers) == manifest


def test_base_is_left_as_it_was_and_the_same_import_gives_the_same_bytes(
    base, layers, make_settings, tmp_path
):
    factors = draw_lora(base, layers.layers(), KINDS["attention only"], rank=2)
    file = write_diffusers(tmp_path / "cat.safetensors", factors)
    first = import_concept(make_settings(file), tmp_path / "one", base=base)
    assert not changed_layers(base)
    assert import_concept(make_settings(file), tmp_path / "two", base=base) == first


def test_another_package_is_replaced_only_when_told(base, layers, make_settings, tmp_path):
    factors = draw_lora(base, layers.layers(), KINDS["text encoder only"], rank=2)
    file = write_diffusers(tmp_path / "cat.safetensors", factors)
    import_concept(make_settings(file), tmp_path / "package", base=base)
    other = make_settings(file, name="bob/cat")
    with pytest.raises(Conflict, match="package of ada/cat"):
        import_concept(other, tmp_path / "package", base=base)
    told = make_settings(file, name="bob/cat", overwrite=True)
    assert import_concept(told, tmp_path / "package", base=base).concept == "bob/cat"


def test_size_that_the_autoencoder_can_not_divide_is_refused_at_once(
    base, layers, make_settings, tmp_path
):
    file = write_diffusers(tmp_path / "cat.safetensors", {})
    with pytest.raises(InvalidRequest, match="33 pixels"):
        import_concept(make_settings(file, resolution=33), tmp_path / "package", base=base)
    assert not (tmp_path / "package").exists()


def test_what_happens_is_told(base, layers, make_settings, tmp_path):
    factors = draw_lora(base, layers.layers(), KINDS["text encoder only"], rank=2)
    extra = {"lora_unet_conv_in.lora_down.weight": torch.zeros(2, 4, 3, 3)}
    extra["lora_unet_conv_in.lora_up.weight"] = torch.zeros(16, 2, 1, 1)
    file = write_kohya(tmp_path / "cat.safetensors", factors, alpha=2.0, extra=extra)
    told: list[str] = []
    settings = make_settings(file, skip_unsupported=True)
    manifest = import_concept(settings, tmp_path / "package", base=base, tell=told.append)
    assert told[0] == "modules left out, for they hold no plain LoRA: 1"
    assert manifest.source.skipped == 1
