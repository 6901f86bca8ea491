from __future__ import annotations

import numpy as np
import pytest
from mos_diffusion.evaluation.alignment import load_dino
from mos_diffusion.evaluation.prompts import Prompt, PromptSet
from mos_diffusion.evaluation.scores import Judge, Scores, average, drop, drop_of_many, estimate
from tiny_clip import write_tiny_dino

PROMPTS = PromptSet("thing", (Prompt("a <TOK>", "a"), Prompt("two <TOK>", "b")), "see ")
VALUES = np.array([[0.2, 0.4, 0.9], [0.0, 0.4, 0.5]])


def scores(values: np.ndarray = VALUES) -> Scores:
    return Scores(PROMPTS, (1, 2, 3), {"text": values, "image": values / 2})


def test_errors_are_over_the_means_of_seeds():
    means = [0.1, 0.4, 0.7]
    assert estimate(VALUES) == {
        "mean": pytest.approx(0.4),
        "error": pytest.approx(np.std(means, ddof=1) / np.sqrt(3)),
    }


def test_one_seed_has_no_error():
    assert estimate(np.array([[1.0], [3.0]])) == {"mean": 2.0, "error": None}


def test_a_summary_has_groups_prompts_and_seeds():
    summary = scores().summary()["image"]
    assert summary["mean"] == pytest.approx(0.2)
    assert summary["groups"]["a"]["mean"] == pytest.approx(0.25)
    assert [row["mean"] for row in summary["prompts"]] == pytest.approx([0.25, 0.15])
    assert summary["prompts"][1] | {"mean": 0, "error": 0} == {
        "prompt": "two <TOK>",
        "group": "b",
        "mean": 0,
        "error": 0,
    }
    assert summary["seeds"] == pytest.approx([0.05, 0.2, 0.35])


def test_what_single_and_fused_share_cancels_in_the_drop():
    lost = drop(scores(), scores(VALUES - 0.1), "text")
    assert lost == {"mean": pytest.approx(0.1), "error": pytest.approx(0, abs=1e-12)}


def test_concepts_count_alike():
    low, high = scores(), scores(VALUES + 0.2)
    assert average([low, high], "text")["mean"] == pytest.approx(0.5)
    lost = drop_of_many([(high, low), (low, low)], "image")
    assert lost["mean"] == pytest.approx(0.05)


def test_a_table_of_pictures_is_scored_by_the_formulas(clip, noise):
    """Against the two means written out."""
    table = [noise[:2], noise[1:]]
    judge = Judge(clip, batch_size=3)
    found = judge.scores(table, PROMPTS, "cat", (5, 6), judge.references(noise[1:]))
    references = clip.pictures(noise[1:]).numpy()
    for row, (paths, text) in enumerate(zip(table, ["see a cat", "see two cat"], strict=True)):
        told = clip.texts([text]).numpy()[0]
        for column, path in enumerate(paths):
            seen = clip.pictures([path]).numpy()[0]
            assert found.values["text"][row, column] == pytest.approx(
                2.5 * max(float(seen @ told), 0), abs=1e-5
            )
            pairs = [max(float(seen @ reference), 0) for reference in references]
            assert found.values["image"][row, column] == pytest.approx(np.mean(pairs), abs=1e-5)
    assert (found.seeds, set(found.values)) == ((5, 6), {"text", "image"})


def test_without_references_only_the_text_counts(clip, noise):
    assert set(Judge(clip).scores([noise, noise], PROMPTS, "cat", (1, 2, 3)).values) == {"text"}


def test_dino_is_a_second_measure(clip, noise, tmp_path):
    dino = load_dino(write_tiny_dino(tmp_path))
    judge = Judge(clip, dino)
    found = judge.scores([noise, noise], PROMPTS, "cat", (1, 2, 3), judge.references(noise))
    rows = dino.pictures(noise).numpy()
    expected = [np.mean([max(float(a @ b), 0) for b in rows]) for a in rows]
    assert found.values["dino"][0].tolist() == pytest.approx(expected, abs=1e-5)
