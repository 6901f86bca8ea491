from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from mos_center.domain.models import Submission, TokenRecord
from mos_center.opening import OpenedData
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError


def test_a_reader_sees_the_state_from_before_while_another_writes(data: OpenedData) -> None:
    with data.database.write() as writing:
        writing.tokens.add(TokenRecord("ada", "0" * 64, datetime.now(UTC)))
        with data.database.read() as reading:
            assert reading.tokens.all() == ()

    assert [token.name for token in data.center().tokens.all()] == ["ada"]


def test_an_error_undoes_the_transaction(
    data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submission = submit()

    with pytest.raises(RuntimeError):
        _forget_and_fail(data, submission)

    with data.database.write() as transaction:
        assert len(transaction.submissions.forget_files(submission.id)) == 4


def test_foreign_keys_are_enforced(data: OpenedData) -> None:
    with (
        pytest.raises(IntegrityError),
        data.database.engine.begin() as connection,
    ):
        connection.execute(
            text("INSERT INTO aliases (model, alias, version) VALUES ('demo', 'champion', 1)")
        )


def test_writers_in_many_threads_wait_for_each_other(data: OpenedData) -> None:
    tokens = data.center().tokens
    threads = [
        threading.Thread(target=tokens.create, args=(f"member-{number}",)) for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tokens.all()) == 12


def _forget_and_fail(data: OpenedData, submission: Submission) -> None:
    with data.database.write() as transaction:
        transaction.submissions.forget_files(submission.id)
        raise RuntimeError("killed")
