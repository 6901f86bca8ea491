"""Where the words of an imported concept get their embeddings from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mos_client.importing.words import word_rows
from mos_diffusion.base_model import token_table
from mos_protocol.errors import InvalidRequest
from safetensors.torch import save_file


@pytest.fixture
def rows_of(loaded_base, make_settings):
    """`word_rows` for settings with these changes."""

    def rows_of(bundled=None, **changes):
        changes = {"trigger": None, "class_word": "cat"} | changes
        return word_rows(loaded_base, make_settings(Path("x"), **changes), bundled or {})

    return rows_of


def token_rows(base, text: str) -> torch.Tensor:
    ids = base.tokenizer(text, add_special_tokens=False).input_ids
    return token_table(base.text_encoder).weight[ids]


def write_embedding(path: Path, rows: torch.Tensor, key: str = "emb_params") -> Path:
    save_file({key: rows}, path)
    return path


def test_trigger_gives_each_word_its_token_in_every_layer(rows_of, loaded_base):
    rows, source = rows_of(trigger="red cat")
    assert rows.shape == (2, 16, 32)
    assert torch.equal(rows, token_rows(loaded_base, "red cat")[:, None].expand(-1, 16, -1))
    assert source == "trigger"


@pytest.mark.parametrize(("trigger", "count"), [("cat", 1), ("a red cat", 3), ("zebra", 5)])
def test_trigger_with_more_or_fewer_tokens_than_words_is_refused(rows_of, trigger, count):
    with pytest.raises(InvalidRequest, match=f"has {count} tokens, but there are 2 words"):
        rows_of(trigger=trigger)


@pytest.mark.parametrize("key", ["emb_params", "<cat>", "anything"])
def test_embedding_file_gives_word_j_its_row_j(rows_of, tmp_path, key):
    values = torch.randn(2, 32)
    rows, source = rows_of(embedding=write_embedding(tmp_path / "e.safetensors", values, key))
    assert torch.equal(rows[:, 3], values)
    assert source == "embedding"


def test_embedding_of_one_word_may_be_a_plain_vector(rows_of, tmp_path):
    values = torch.randn(32)
    path = write_embedding(tmp_path / "e.safetensors", values)
    rows, _ = rows_of(embedding=path, words=("<cat>",))
    assert torch.equal(rows[0, 15], values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (torch.zeros(3, 32), "has 3 tokens, but there are 2 words"),
        (torch.zeros(2, 768), "768 wide, this base's are 32"),
        (torch.full((2, 32), torch.nan), "not finite"),
        (torch.zeros(2, 2, 32), "no embedding"),
    ],
)
def test_embedding_that_does_not_fit_is_refused(rows_of, tmp_path, values, told):
    with pytest.raises(InvalidRequest, match=told):
        rows_of(embedding=write_embedding(tmp_path / "e.safetensors", values))


def test_embedding_of_another_models_encoders_is_refused(rows_of, tmp_path):
    path = tmp_path / "e.safetensors"
    save_file({"clip_l": torch.zeros(2, 32), "clip_g": torch.zeros(2, 64)}, path)
    with pytest.raises(InvalidRequest, match="another base model"):
        rows_of(embedding=path)


def test_pickled_embedding_is_refused_and_never_opened(rows_of, tmp_path):
    path = tmp_path / "e.pt"
    torch.save({"string_to_param": {"*": torch.zeros(2, 32)}}, path)
    with pytest.raises(InvalidRequest, match="pickle"):
        rows_of(embedding=path)


def test_bundled_embedding_is_used_when_nothing_else_is_said(rows_of):
    values = torch.randn(2, 32)
    rows, source = rows_of(bundled={"text_encoder.ohwx": values})
    assert torch.equal(rows[:, 0], values)
    assert source == "embedding"
    rows, source = rows_of(bundled={"text_encoder.ohwx": values}, trigger="red cat")
    assert source == "trigger"


@pytest.mark.parametrize("names", [("text_encoder.a", "text_encoder.b"), ("text_encoder_2.a",)])
def test_bundled_embeddings_that_could_mean_anything_are_refused(rows_of, names):
    with pytest.raises(InvalidRequest, match="bundles"):
        rows_of(bundled={name: torch.zeros(2, 32) for name in names})


def test_without_anything_every_word_reads_like_the_class_word(rows_of, loaded_base):
    rows, source = rows_of()
    assert torch.equal(rows, token_rows(loaded_base, "cat")[None].expand(2, 16, -1))
    assert source == "class_word"


def test_class_word_of_several_tokens_is_refused(rows_of):
    with pytest.raises(InvalidRequest, match="'zebra' is 5 tokens"):
        rows_of(class_word="zebra")
