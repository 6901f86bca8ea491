from __future__ import annotations

import json

import recording


def test_recording_is_compared_with_forward_passes_alone(tmp_path, capsys):
    recording.main(["--quick", "--json", str(tmp_path / "a.json")])
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["inputs"] == 80
    assert result["forward_seconds"] > 0
    assert result["recorded_seconds"] > 0
    assert result["overhead"] > -1
    assert "## Recording moments" in capsys.readouterr().out
