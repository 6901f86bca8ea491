"""The measurement of protection at a tiny size, and how its table is computed."""

from __future__ import annotations

import json

import protect
import pytest
from PIL import Image
from protect_once import Case


def test_a_quick_run_compares_clean_noisy_and_protected_pictures(tmp_path, capsys):
    def run():
        protect.main(["--quick", "--work", str(tmp_path), "--json", str(tmp_path / "a.json")])
        return json.loads((tmp_path / "a.json").read_text())["cases"]

    clean, noise, protected = run()
    assert (clean["largest"], clean["psnr"], noise["largest"]) == (0, None, 8)
    assert 0 < protected["largest"] <= 8
    assert protected["before"] == clean["before"] > 0
    assert "| zigmug: protected 8/255 |" in capsys.readouterr().out
    sheet = tmp_path / "protect-1-1" / "protect.png"
    assert Image.open(sheet).width > 1000

    figures = tmp_path / "protect-1-1" / "figures" / "zigmug-clean-0-ed-lora.json"
    figures.write_text(json.dumps({**clean, "after": 0.5}))
    assert run()[0]["after"] == 0.5


@pytest.mark.parametrize(("after", "kept"), [(0.05, "1.00"), (0.06, "0.00"), (0.08, "-2.00")])
def test_gain_kept_is_relative_to_tuning_on_clean_pictures(after, kept):
    clean, protected = Case("gift", "clean"), Case("gift", "protected", 8)
    figures = {"largest": 8, "psnr": 31.0, "before": 0.06, "after": 0.05, "alignment": 0.5}
    text = protect.section({clean: figures, protected: figures | {"after": after}}, 1, 1)
    assert f"| {kept} |" in text.splitlines()[-1]
