from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from center_steps import send_files, stored, submit_folder
from concept_packages import MID_BLOCK, edit_tensors, reseal, small_layer_map
from mos_center.domain.access import LOCAL
from mos_center.domain.errors import LeftToWorkers
from mos_center.domain.models import Submission
from mos_center.domain.states import SubmissionState
from mos_center.moments_reducer import MomentsReducer
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_diffusion.moments import read_moments
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import MomentsSummary
from mos_protocol.moments import check_moments

RAW = MomentsSummary(recording="data", passes=1, activations="raw")
BLOCK = small_layer_map().block("unet.mid_block")
TOKENS = np.random.default_rng(3)


def to_activations(package: Path, tokens: int = 50) -> dict[str, np.ndarray]:
    """Put activations in place of a block's moments; return the moments they have."""
    moments = {}

    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors.clear()
        for item in BLOCK.inputs:
            rows = TOKENS.standard_normal((tokens, item.width)).astype(np.float16)
            tensors[f"{item.name}.activations"] = rows
            moments[item.name] = rows.T.astype(float) @ rows.astype(float) / tokens

    edit_tensors(package / MID_BLOCK, change)
    reseal(package, moments=RAW)
    return moments


def test_activations_become_the_mean_of_their_products(package: Path, tmp_path: Path) -> None:
    moments = to_activations(package)

    assert MomentsReducer().reduce(package / MID_BLOCK, tmp_path / "reduced.safetensors")

    check_moments(tmp_path / "reduced.safetensors", BLOCK, "reduced")
    reduced = read_moments(tmp_path / "reduced.safetensors")
    for name, expected in moments.items():
        np.testing.assert_allclose(reduced[name].numpy(), expected, atol=0.02)


def test_a_process_that_is_no_worker_leaves_activations_to_the_workers(
    package: Path, tmp_path: Path
) -> None:
    to_activations(package)

    with pytest.raises(LeftToWorkers):
        MomentsReducer(is_here=False).reduce(package / MID_BLOCK, tmp_path / "reduced.safetensors")


def test_a_file_of_moments_stays_as_it_is(package: Path, tmp_path: Path) -> None:
    assert not MomentsReducer().reduce(package / MID_BLOCK, tmp_path / "reduced.safetensors")
    assert not (tmp_path / "reduced.safetensors").exists()


def test_what_is_no_moments_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x80\x04\x95 a pickle")

    with pytest.raises(InvalidPackage):
        MomentsReducer().reduce(tmp_path / "file", tmp_path / "reduced.safetensors")


def test_a_package_of_activations_is_kept_as_moments(
    center: Center, data: OpenedData, package: Path
) -> None:
    to_activations(package, tokens=2000)
    raw = (package / MID_BLOCK).stat().st_size

    submission = submit_folder(center, package)

    assert submission.state is SubmissionState.APPROVED
    with data.database.read() as transaction:
        digest = transaction.submissions.files(submission.id)[MID_BLOCK]
    with data.blobs.local_path(digest) as path:
        check_moments(path, BLOCK, MID_BLOCK)
        assert path.stat().st_size < raw / 5
    listed = {entry.sha256 for entry in submission.manifest.files}
    assert len(stored(data) - listed) == 1
    assert len(listed - stored(data)) == 1


def test_a_package_of_activations_that_is_committed_twice_at_once_is_kept_once(
    center: Center, data: OpenedData, package: Path
) -> None:
    to_activations(package)
    submission = send_files(center, package)

    with ThreadPoolExecutor() as threads:
        commits = [
            threads.submit(center.validation.commit, submission.id, caller=LOCAL) for _ in range(4)
        ]

    assert {commit.result().version for commit in commits} == {1}
    assert len(stored(data)) == len(submission.manifest.files)


@pytest.mark.parametrize("value", [np.nan, np.inf, 6e4])
def test_activations_that_no_model_has_are_refused(
    center: Center, data: OpenedData, package: Path, value: float
) -> None:
    to_activations(package)
    edit_tensors(package / MID_BLOCK, lambda t: next(iter(t.values())).__setitem__((0, 0), value))
    reseal(package, moments=RAW)

    with pytest.raises(InvalidPackage, match=r"not finite|has a value"):
        submit_folder(center, package)

    assert stored(data) == set()


def test_taking_packages_of_moments_needs_no_torch(
    submit: Callable[..., Submission], settings: object
) -> None:
    """What the API imports and opens in a process of its own."""
    submit()
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mos_center.processes import serving\n"
        "from mos_center.moments_reducer import MomentsReducer\n"
        "for path in Path(sys.argv[1]).glob('*/moments/*'):\n"
        "    assert not MomentsReducer().reduce(path, Path('/nowhere'))\n"
        "assert 'torch' not in sys.modules\n"
    )
    folder = Path(settings.data).parent

    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
