"""A whole tuning: it changes only what it should, and goes on exactly after any stop."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mos_client.tuning import Phase, tune
from mos_client.tuning.state import STATE_FILE
from mos_diffusion.base_model import base_digest
from mos_protocol.errors import InvalidRequest
from PIL import Image


class StoppedError(Exception):
    """Raised by a progress callback to stop a tuning at a step."""


def stop_at(step: int):
    def on_progress(progress):
        if progress.phase is Phase.TUNING and progress.step == step:
            raise StoppedError

    return on_progress


def assert_same_weights(one, other):
    assert one.losses == other.losses
    assert torch.equal(
        one.weights.embeddings["text_encoder"], other.weights.embeddings["text_encoder"]
    )
    assert one.weights.lora.keys() == other.weights.lora.keys()
    for layer, factors in one.weights.lora.items():
        assert torch.equal(factors.down, other.weights.lora[layer].down), layer
        assert torch.equal(factors.up, other.weights.lora[layer].up), layer


AUGMENTED = {
    "flip": True,
    "zoom": True,
    "shuffle_captions": True,
    "extra_phrases": True,
    "crop": "random",
    "embedding_first": 0.5,
    "kv_drop": 0.4,
}


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_tuning_stopped_at_any_step_ends_with_the_same_weights(
    tiny_base, make_settings, wide_photos, tmp_path, stop
):
    settings = make_settings(steps=6, **AUGMENTED)
    whole = tune(settings, wide_photos, tmp_path / "whole", base=tiny_base)

    with pytest.raises(StoppedError):
        tune(settings, wide_photos, tmp_path / "cut", stop_at(stop), base=tiny_base)
    resumed = tune(settings, wide_photos, tmp_path / "cut", base=tiny_base)

    assert_same_weights(resumed, whole)


def test_a_tuning_stopped_after_its_norm_stop_ends_with_the_same_weights(
    tiny_base, make_settings, photos, tmp_path
):
    start = tune(make_settings(steps=1), photos, tmp_path / "start", base=tiny_base)
    norm = start.weights.embeddings["text_encoder"].norm(dim=-1).mean().item()
    settings = make_settings(steps=8, embedding_norm_stop=norm + 1e-3)
    messages = []
    whole = tune(settings, photos, tmp_path / "whole", messages.append, base=tiny_base)

    with pytest.raises(StoppedError):
        tune(settings, photos, tmp_path / "cut", stop_at(7), base=tiny_base)
    resumed = tune(settings, photos, tmp_path / "cut", base=tiny_base)

    assert whole.frozen_at is not None
    assert whole.frozen_at < 7
    assert any("only LoRA goes on" in progress.message for progress in messages)
    assert resumed.frozen_at == whole.frozen_at
    assert_same_weights(resumed, whole)


KILLED_RUN = """
import sys
from pathlib import Path
from mos_client.tuning import LearningRates, TuningSettings, tune

settings = TuningSettings(
    name="ada/dot", words=("<dot1>", "<dot2>"), class_word="dog", base=sys.argv[1], rank=2,
    layers="all",
    steps=12, batch_size=2, learning_rates=LearningRates(1e-2, 1e-3, 1e-3),
    embedding_norm_stop=None, seed=3, device="cpu", save_every=1,
)
tune(settings, Path(sys.argv[2]), Path(sys.argv[3]), lambda p: print(p.step, flush=True))
"""


def test_a_tuning_killed_by_the_system_ends_with_the_same_weights(
    tiny_base, tiny_base_folder, make_settings, photos, tmp_path
):
    settings = make_settings(steps=12, save_every=1)
    whole = tune(settings, photos, tmp_path / "whole", base=tiny_base)

    work = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED_RUN, str(tiny_base_folder), str(photos), str(work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "5":
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = []
    resumed = tune(settings, photos, work, lambda p: steps.append(p.step), base=tiny_base)

    assert process.returncode == -signal.SIGKILL
    assert steps[1] >= 5
    assert_same_weights(resumed, whole)


SHARED_RUN = """
import hashlib
import sys
from pathlib import Path
from mos_client.tuning import LearningRates, TuningSettings, tune

settings = TuningSettings(
    name="ada/dot", words=("<dot1>",), class_word="dog", base=sys.argv[1], rank=2, steps=3,
    layers="all",
    batch_size=4, learning_rates=LearningRates(1e-2, 1e-3, 1e-3), device="cpu",
)
tuned = tune(settings, Path(sys.argv[2]), Path(sys.argv[3]))
content = hashlib.sha256(repr(tuned.losses).encode())
for layer, factors in sorted(tuned.weights.lora.items()):
    content.update(factors.up.numpy().data)
sys.stdout.write(f"weights {content.hexdigest()} {tuned.losses[0]:.4f}\\n")
"""


def test_two_processes_share_a_batch_and_end_with_one_result(tiny_base_folder, photos, tmp_path):
    script = tmp_path / "shared_run.py"
    script.write_text(SHARED_RUN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    arguments = [str(tiny_base_folder), str(photos), str(tmp_path / "work")]

    result = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [line for line in result.stdout.splitlines() if line.startswith("weights ")]
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(lines) == 2
    assert lines[0] == lines[1]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tiny_base, make_settings, photos, tmp_path
):
    first, second, other = (
        tune(make_settings(seed=seed), photos, tmp_path / str(number), base=tiny_base)
        for number, seed in enumerate((1, 1, 2))
    )

    assert_same_weights(first, second)
    assert first.losses != other.losses


def test_tuning_leaves_the_base_as_it_was(tiny_base, make_settings, photos, tmp_path):
    models = {"unet": tiny_base.unet, "text": tiny_base.text_encoder, "vae": tiny_base.vae}
    before = {
        f"{name}.{key}": tensor.clone()
        for name, model in models.items()
        for key, tensor in model.state_dict().items()
    }
    digest, tokens = base_digest(tiny_base), len(tiny_base.tokenizer)
    processors = [type(item) for item in tiny_base.unet.attn_processors.values()]

    tuned = tune(make_settings(), photos, tmp_path / "work", base=tiny_base)

    after = {
        f"{name}.{key}": tensor
        for name, model in models.items()
        for key, tensor in model.state_dict().items()
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())
    assert (base_digest(tiny_base), len(tiny_base.tokenizer)) == (digest, tokens)
    assert [type(item) for item in tiny_base.unet.attn_processors.values()] == processors
    untouched = {name for name, lora in tuned.weights.lora.items() if not lora.up.abs().sum() > 0}
    # The middle of the tiny UNet is one pixel, which attends to itself whatever q and k are.
    alone = "unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    assert untouched == {f"{alone}.to_q", f"{alone}.to_k"}


def test_a_failed_tuning_leaves_the_base_usable(tiny_base, make_settings, photos, tmp_path):
    with pytest.raises(StoppedError):
        tune(make_settings(), photos, tmp_path / "one", stop_at(1), base=tiny_base)

    tune(make_settings(), photos, tmp_path / "two", base=tiny_base)


def test_layers_cross_adapts_keys_values_and_the_text_encoder_only(
    tiny_base, make_settings, photos, tmp_path
):
    tuned = tune(make_settings(layers="cross"), photos, tmp_path / "work", base=tiny_base)

    kinds = {
        "text" if layer.startswith("text_encoder.") else layer.split(".attn", 1)[1]
        for layer in tuned.weights.lora
    }
    assert kinds == {"text", "2.to_k", "2.to_v"}


def test_a_finished_tuning_is_not_tuned_again(tiny_base, make_settings, photos, tmp_path):
    first = tune(make_settings(), photos, tmp_path / "work", base=tiny_base)
    written = (tmp_path / "work" / STATE_FILE).stat().st_mtime_ns

    again = tune(make_settings(), photos, tmp_path / "work", base=tiny_base)

    assert_same_weights(again, first)
    assert (tmp_path / "work" / STATE_FILE).stat().st_mtime_ns == written


def test_other_settings_or_pictures_in_the_same_work_folder_are_refused(
    tiny_base, make_settings, photos, tmp_path
):
    work = tmp_path / "work"
    tune(make_settings(), photos, work, base=tiny_base)

    with pytest.raises(InvalidRequest, match="--restart"):
        tune(make_settings(rank=3), photos, work, base=tiny_base)
    (photos / "0.txt").write_text("another <TOK>")
    with pytest.raises(InvalidRequest, match="--restart"):
        tune(make_settings(), photos, work, base=tiny_base)

    restarted = tune(make_settings(rank=3), photos, work, base=tiny_base, restart=True)
    assert restarted.weights.rank == 3


def test_how_often_it_is_saved_may_change_between_runs(tiny_base, make_settings, photos, tmp_path):
    settings = make_settings()
    with pytest.raises(StoppedError):
        tune(settings, photos, tmp_path / "work", stop_at(3), base=tiny_base)

    resumed = tune(
        dataclasses.replace(settings, save_every=1), photos, tmp_path / "work", base=tiny_base
    )

    assert len(resumed.losses) == 4


def test_sample_pictures_are_written_while_tuning(tiny_base, make_settings, photos, tmp_path):
    reports = []

    tune(make_settings(sample_every=2), photos, tmp_path / "work", reports.append, base=tiny_base)

    samples = [report.sample for report in reports if report.sample]
    assert [path.name for path in samples] == ["step-000002.png", "step-000004.png"]
    with Image.open(samples[0]) as sheet:
        assert sheet.size == (4 * 32, 32)


def test_the_base_is_loaded_from_the_settings_when_none_is_given(
    tiny_base, make_settings, photos, tmp_path
):
    given = tune(make_settings(), photos, tmp_path / "given", base=tiny_base)

    assert_same_weights(tune(make_settings(), photos, tmp_path / "loaded"), given)


@pytest.mark.parametrize("resolution", [30, 12])
def test_a_resolution_that_does_not_fit_the_base_is_refused(
    tiny_base, make_settings, photos, tmp_path, resolution
):
    with pytest.raises(InvalidRequest, match="multiple of 4; its own size is 32"):
        tune(make_settings(resolution=resolution), photos, tmp_path, base=tiny_base)


def test_a_caption_that_is_too_long_is_a_warning(tiny_base, make_settings, photos, tmp_path):
    (photos / "2.txt").write_text("<TOK> " + "on the beach " * 20)

    tuned = tune(make_settings(), photos, tmp_path / "work", base=tiny_base)

    assert any("2.png: the caption has" in warning for warning in tuned.warnings)


def test_precision_that_the_device_lacks_is_refused(make_settings, photos, tmp_path: Path):
    with pytest.raises(InvalidRequest, match="fp16 tuning needs a CUDA device"):
        tune(make_settings(mixed_precision="fp16"), photos, tmp_path / "work")


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(make_settings, photos, tmp_path, device):
    with pytest.raises(InvalidRequest, match="device"):
        tune(make_settings(device=device), photos, tmp_path / "work")


def test_reports_come_step_by_step_with_an_estimate(tiny_base, make_settings, photos, tmp_path):
    reports = []
    started = time.monotonic()

    tune(make_settings(steps=3), photos, tmp_path / "work", reports.append, base=tiny_base)

    tuning = [report for report in reports if report.phase is Phase.TUNING]
    assert [report.step for report in tuning] == [1, 2, 3]
    assert tuning[-1].eta_seconds == 0
    assert tuning[-1].steps_per_second >= 3 / (time.monotonic() - started)
    assert reports[0].message == "4 pictures, 3 steps"
