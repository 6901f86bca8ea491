from __future__ import annotations

import threading
from pathlib import Path

from center_steps import send_files, stored, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center


def test_a_file_that_is_offered_while_it_is_deleted_is_kept_or_asked_for(
    center: Center, data: OpenedData, base: BaseRecord, tmp_path: Path
) -> None:
    """Two packages with the same tensors: one is rejected while the other is being submitted."""
    for round_number in range(15):
        first = write_package(tmp_path / f"a{round_number}", concept="ada/one", seed=round_number)
        second = write_package(tmp_path / f"b{round_number}", concept="bob/two", seed=round_number)
        rejected = send_files(center, first)
        reject = threading.Thread(
            target=center.submissions.reject, args=(rejected.id, "spam", LOCAL)
        )
        reject.start()
        accepted = submit_folder(center, second)
        reject.join()

        assert accepted.state is SubmissionState.APPROVED
        assert {entry.sha256 for entry in accepted.manifest.files} <= stored(data)


def test_a_released_blob_is_forgotten_only_when_nothing_refers_to_it(
    center: Center, data: OpenedData, base: BaseRecord, tmp_path: Path
) -> None:
    one = submit_folder(center, write_package(tmp_path / "one", concept="ada/one", seed=1))
    two = submit_folder(center, write_package(tmp_path / "two", concept="ada/two", seed=1))
    with data.database.write() as transaction:
        digests = transaction.submissions.forget_files(one.id)
        assert transaction.blobs.release(digests) == ()
        transaction.submissions.forget_files(two.id)
        assert set(transaction.blobs.release(digests)) == set(digests)
        assert transaction.blobs.release(digests) == ()
