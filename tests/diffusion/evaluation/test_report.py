from __future__ import annotations

import json

import numpy as np
import pytest
from mos_diffusion.evaluation.evaluating import SINGLE, ConceptCase, ConceptResult
from mos_diffusion.evaluation.grids import COLUMNS, draw_grid
from mos_diffusion.evaluation.pictures import SamplingSettings
from mos_diffusion.evaluation.plots import draw_alignment
from mos_diffusion.evaluation.prompts import PromptSet
from mos_diffusion.evaluation.report import BOUNDS, Report, shares_kept, write_report
from mos_diffusion.evaluation.scores import Scores
from mos_diffusion.provenance import Provenance, read_provenance, save_picture
from PIL import Image

PROMPTS = PromptSet.of("thing", ["a <TOK>", "a red <TOK>"])
SETTINGS = SamplingSettings(seeds=(1, 2))


def scores(text: float, image: float) -> Scores:
    """Two prompts and two seeds that are 0.02 apart."""
    spread = np.array([[-0.01, 0.01], [-0.01, 0.01]])
    return Scores(PROMPTS, (1, 2), {"text": text + spread, "image": image + spread})


def result(name: str, fused: float, **losses: float) -> ConceptResult:
    case = ConceptCase(name, "<v>", "cat", PROMPTS)
    models = {SINGLE: scores(0.7, 0.8), "demo": scores(0.72, fused)}
    return ConceptResult(case, scores(0.8, 0.5), models, losses)


@pytest.fixture
def report(clip):
    def report(*results: ConceptResult) -> Report:
        return Report(SETTINGS, clip, results)

    return report


def test_the_document_has_settings_means_and_every_concept(report, tmp_path):
    write_report(report(result("ada/one", 0.78), result("ada/two", 0.70)), tmp_path / "new")
    document = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert document["settings"]["seeds"] == [1, 2]
    assert document["means"]["demo"]["image"]["mean"] == pytest.approx(0.74)
    assert document["means"][BOUNDS]["text"]["mean"] == pytest.approx(0.8)
    assert document["drop"]["demo"]["image"] == {
        "mean": pytest.approx(0.06),
        "error": pytest.approx(0, abs=1e-9),
    }
    assert [item["name"] for item in document["concepts"]] == ["ada/one", "ada/two"]
    assert document["concepts"][1]["drop"]["demo"]["image"]["mean"] == pytest.approx(0.1)
    assert document["concepts"][0]["models"][SINGLE]["text"]["groups"]["custom"]["mean"] == (
        pytest.approx(0.7)
    )


def test_the_table_shows_the_drop_beside_the_bounds(report):
    heads, rows = report(result("ada/one", 0.78)).table()
    assert heads == [
        *("concept", "model", "text-alignment", "image-alignment", "drop in image-alignment"),
    ]
    assert rows == [
        ["ada/one", BOUNDS, "0.800 ± 0.010", "0.500 ± 0.010", ""],
        ["ada/one", SINGLE, "0.700 ± 0.010", "0.800 ± 0.010", ""],
        ["ada/one", "demo", "0.720 ± 0.010", "0.780 ± 0.010", "0.020 ± 0.000"],
    ]


def test_several_concepts_have_a_mean(report):
    _, rows = report(result("ada/one", 0.78), result("ada/two", 0.70)).table()
    assert rows[-1] == ["mean", "demo", "0.720 ± 0.010", "0.740 ± 0.010", "0.060 ± 0.000"]


def test_identity_kept_is_shown_where_it_was_measured(report):
    losses = {BOUNDS: 0.06, SINGLE: 0.05, "demo": 0.052}
    heads, rows = report(result("ada/one", 0.7, **losses), result("ada/two", 0.7)).table()
    assert heads[-1] == "identity kept"
    assert [row[-1] for row in rows[:6]] == ["", "1.00", "0.80", "", "", ""]


def test_tuning_that_gained_nothing_has_no_share():
    assert shares_kept(result("ada/one", 0.7, **{BOUNDS: 0.05, SINGLE: 0.06, "demo": 0.05})) == {}


def test_markdown_is_well_formed(report):
    text = report(result("ada/one", 0.78)).markdown()
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables[:5]}) == 1
    assert "2 prompts, 2 seeds each" in text


def test_a_model_alone_has_neither_bounds_nor_drop(report):
    alone = ConceptResult(ConceptCase("a/b", "<v>", "cat", PROMPTS), None, {"m": scores(1, 0.5)})
    heads, rows = report(alone).table()
    assert (len(heads), len(rows)) == (4, 1)
    assert report(alone).document()["drop"] == {}


def test_the_plot_shows_a_point_per_model_and_the_same_result_gives_the_same_bytes(tmp_path):
    results = [result("ada/one", 0.78), result("ada/two", 0.70)]
    assert draw_alignment(results, tmp_path / "a.png")
    draw_alignment(results, tmp_path / "b.png")
    draw_alignment(results[:1], tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


def test_what_was_not_measured_is_not_plotted(tmp_path):
    assert not draw_alignment([result("ada/one", 0.7)], tmp_path / "a.png", "dino")
    assert not (tmp_path / "a.png").exists()


def test_a_grid_has_a_row_per_prompt_and_a_column_per_seed(tmp_path):
    made = [[Image.new("RGB", (64, 64), (40 * row, 20 * n, 0)) for n in range(3)] for row in (1, 2)]
    draw_grid(
        made, ["a <TOK>", "a <TOK> that is told of at great length"], (7, 8, 9), tmp_path / "g.png"
    )
    with Image.open(tmp_path / "g.png") as sheet:
        assert sheet.size == (220 + 3 * 64, 18 + 2 * 64)
        assert sheet.getpixel((220 + 2 * 64 + 5, 18 + 64 + 5)) == (80, 40, 0)


def test_a_grid_says_what_its_pictures_say_alike(tmp_path):
    for seed in (3, 4):
        told = Provenance(
            tool=f"older {seed}", model="demo@1", prompt="a dog", seeds=(seed,), steps=20 + seed
        )
        save_picture(Image.new("RGB", (64, 64)), tmp_path / f"{seed}.png", told)
    draw_grid([[tmp_path / "4.png", tmp_path / "3.png"]], ["a dog"], (4, 3), tmp_path / "g.png")
    told = read_provenance(tmp_path / "g.png")
    assert (told.model, told.prompt, told.seeds, told.steps) == ("demo@1", "a dog", (3, 4), None)
    assert told.tool == Provenance().tool


def test_a_grid_of_many_large_pictures_stays_small(tmp_path):
    made = [[Image.new("RGB", (512, 512))] * 50]
    draw_grid(made, ["a <TOK>"], range(50), tmp_path / "g.png")
    with Image.open(tmp_path / "g.png") as sheet:
        assert sheet.width == 220 + COLUMNS * 128
