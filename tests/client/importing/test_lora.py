"""Files that can't become a concept are refused with the reason; ranks are kept or lowered."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from foreign_loras import draw_lora, write_diffusers, write_kohya
from mos_client.importing.lora import read_concept, within_rank
from mos_diffusion.adapters import LoraFactors
from mos_protocol.errors import InvalidRequest
from safetensors.torch import save_file

TO_Q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = {
    "lora_unet_conv_in.lora_down.weight": torch.zeros(2, 4, 3, 3),
    "lora_unet_conv_in.lora_up.weight": torch.zeros(16, 2, 1, 1),
    "lora_unet_conv_in.alpha": torch.tensor(2.0),
}
HADA = {
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k.hada_w1_a": torch.zeros(
        32, 2
    ),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k.hada_w1_b": torch.zeros(
        2, 32
    ),
}
LOKR = {
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k.lokr_w1": torch.zeros(4, 4),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k.lokr_w2": torch.zeros(8, 8),
}


@pytest.fixture
def read(loaded_base, layers, make_settings):
    def read(path: Path, **changes):
        return read_concept(loaded_base, layers, make_settings(path, **changes))

    return read


@pytest.fixture
def one_layer(loaded_base, layers):
    """Factors of a single attention layer."""

    def one_layer(rank: int = 2):
        return draw_lora(loaded_base, layers.layers(), lambda name: name == TO_Q, rank=rank)

    return one_layer


def refusal(read, path: Path, **changes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(path, **changes)
    assert caught.value.hint
    return caught.value


def test_alpha_is_folded_into_the_update(read, one_layer, tmp_path):
    factors = one_layer(rank=4)
    weights, _ = read(write_kohya(tmp_path / "a.safetensors", factors, alpha=1.0))
    down, up = factors[TO_Q]
    found = weights.lora[TO_Q]
    torch.testing.assert_close(found.up @ found.down, up @ down / 4)
    assert weights.rank == 4


@pytest.mark.parametrize("prefix", ["lora_te", "lora_te1"])
def test_both_names_of_the_text_encoder_are_read(loaded_base, layers, read, tmp_path, prefix):
    factors = draw_lora(loaded_base, layers.layers(), lambda name: name.startswith("text"), rank=1)
    path = write_kohya(tmp_path / "a.safetensors", factors, alpha=1.0, prefix=prefix)
    assert read(path)[0].lora.keys() == factors.keys()


@pytest.mark.parametrize(
    ("extra", "named"),
    [(CONV, "lora_unet_conv_in"), (HADA, "attn1_to_k"), (LOKR, "attn1_to_k")],
    ids=["LoCon", "LoHa", "LoKr"],
)
def test_modules_that_are_no_plain_lora_are_refused_by_name_or_left_out_when_told(
    read, one_layer, tmp_path, extra, named
):
    path = write_kohya(tmp_path / "a.safetensors", one_layer(), alpha=2.0, extra=extra)
    error = refusal(read, path)
    assert named in error.message
    assert "--skip-unsupported" in error.hint
    weights, source = read(path, skip_unsupported=True)
    assert weights.lora.keys() == {TO_Q}
    assert source.skipped == 1


def test_dora_is_refused_by_name(read, one_layer, tmp_path):
    module = TO_Q.removeprefix("unet.").replace(".", "_")
    extra = {f"lora_unet_{module}.dora_scale": torch.ones(32, 1)}
    path = write_kohya(tmp_path / "a.safetensors", one_layer(), alpha=2.0, extra=extra)
    assert "attn1_to_q" in refusal(read, path).message
    assert refusal(read, path, skip_unsupported=True)


def test_many_unsupported_modules_are_told_in_one_short_line(read, one_layer, tmp_path):
    extra = {f"lora_unet_m{n}_{'x' * 300}.hada_w1_a": torch.zeros(2, 2) for n in range(50)}
    path = write_kohya(tmp_path / "a.safetensors", one_layer(), alpha=2.0, extra=extra)
    message = refusal(read, path).message
    assert "and 47 more" in message
    assert len(message) < 700


@pytest.mark.parametrize("skip", [False, True])
def test_lora_of_xl_is_refused_whatever_is_skipped(read, one_layer, tmp_path, skip):
    name = "lora_te2_text_model_encoder_layers_0_self_attn_q_proj"
    extra = {
        f"{name}.lora_down.weight": torch.zeros(2, 1280),
        f"{name}.lora_up.weight": torch.zeros(1280, 2),
    }
    path = write_kohya(tmp_path / "a.safetensors", one_layer(), alpha=2.0, extra=extra)
    assert "Stable Diffusion XL" in refusal(read, path, skip_unsupported=skip).message


def test_lora_of_wider_layers_is_for_another_base(read, tmp_path):
    factors = {TO_Q: (torch.zeros(4, 1280), torch.zeros(1280, 4))}
    error = refusal(read, write_diffusers(tmp_path / "a.safetensors", factors))
    assert "another base model" in error.message
    assert "1280x1280" in error.message


def test_rank_above_the_layers_width_is_lowered_without_loss(read, one_layer, tmp_path):
    factors = one_layer(rank=100)
    weights, _ = read(write_diffusers(tmp_path / "a.safetensors", factors))
    down, up = factors[TO_Q]
    found = weights.lora[TO_Q]
    assert len(found.down) == 32
    torch.testing.assert_close(found.up @ found.down, up @ down, rtol=1e-5, atol=1e-6)


def test_rank_that_is_only_on_paper_is_lowered_to_what_it_is():
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(10, 300, generator=generator)
    down = torch.randn(300, 400, generator=generator)
    up = torch.randn(500, 10, generator=generator)
    found = within_rank("layer", LoraFactors(down, up @ mixed))
    assert len(found.down) == 10
    expected = up.double() @ mixed.double() @ down.double()
    error = (found.up.double() @ found.down.double() - expected).abs().max()
    assert error < 1e-5 * expected.abs().max()


def test_rank_above_what_can_be_fused_is_refused():
    generator = torch.Generator().manual_seed(0)
    factors = LoraFactors(
        torch.randn(300, 400, generator=generator), torch.randn(500, 300, generator=generator)
    )
    with pytest.raises(InvalidRequest, match="rank 300 at layer; at most 256"):
        within_rank("layer", factors)


def test_update_of_nothing_keeps_one_rank(read, tmp_path):
    factors = {TO_Q: (torch.zeros(300, 32), torch.zeros(32, 300))}
    weights, _ = read(write_diffusers(tmp_path / "a.safetensors", factors))
    assert len(weights.lora[TO_Q].down) == 1
    assert weights.lora[TO_Q].up.abs().max() == 0


class Bomb:
    """A pickle that would leave a file behind when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickle_is_refused_and_never_opened(read, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "opened")))
    assert "pickle" in refusal(read, path).message
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 7, b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}", b"<html>not found</html>"]
)
def test_what_is_no_lora_is_refused(read, tmp_path, data):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    refusal(read, path)


def test_whole_model_is_no_lora(read, base_folder):
    refusal(read, base_folder / "unet/diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(read, one_layer, tmp_path, value):
    factors = one_layer()
    factors[TO_Q][1][0, 0] = value
    path = write_diffusers(tmp_path / "a.safetensors", factors)
    assert "not finite" in refusal(read, path).message


def test_half_a_factor_is_refused(read, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({f"{TO_Q}.lora_A.weight": torch.zeros(2, 32)}, path)
    refusal(read, path)


def test_truncated_file_is_refused(read, one_layer, tmp_path):
    path = write_diffusers(tmp_path / "a.safetensors", one_layer())
    path.write_bytes(path.read_bytes()[:-1])
    assert "can't be read" in refusal(read, path).message


def test_name_with_control_codes_is_kept_readable(read, one_layer, tmp_path):
    path = write_diffusers(tmp_path / "a\x1b[2J.safetensors", one_layer())
    assert read(path)[1].file == "a?[2J.safetensors"
