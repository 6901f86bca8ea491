from __future__ import annotations

import json

import watermark


def test_what_must_be_survived_is_measured(tmp_path, capsys):
    watermark.main(["--quick", "--json", str(tmp_path / "a.json")])
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["read"]["JPEG 75"] >= 0.95
    assert result["read"]["half size"] >= 0.95
    assert result["psnr"]["min"] >= 38
    assert result["false_hits"] == 0
    assert len(result["by_kind"]) == 10
    assert "## Watermark" in capsys.readouterr().out
