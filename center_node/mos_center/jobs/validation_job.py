"""The job behind a validation that an API process could not do, or did not live to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial

from mos_protocol.errors import MosError

from mos_center.domain.jobs import VALIDATION, Job, other_job
from mos_center.jobs.durable import Steps
from mos_center.service.validation import ValidationService

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 60.0


class ValidationJob:
    """Validates packages that were left `validating`.

    patience: seconds after which nobody else is thought to be at it: an API process that can do it
    itself has it in that state for a moment.
    """

    def __init__(self, validation: ValidationService, patience: float = _PATIENCE_SECONDS) -> None:
        self._validation = validation
        self._patience = patience
        self._first_seen: dict[str, float] = {}

    def unfinished(self) -> Sequence[Job]:
        """The validations that nobody is at, as far as can be told."""
        now = time.monotonic()
        seen = self._first_seen
        self._first_seen = {name: seen.get(name, now) for name in self._validation.validating()}
        return [
            Job(other_job(VALIDATION, name))
            for name, since in self._first_seen.items()
            if now - since >= self._patience
        ]

    def run(self, submission_id: str, step: Steps) -> None:
        """Validate; a package that is refused says so itself."""
        try:
            step("validate", partial(self._validate, submission_id))
        except MosError as error:
            log.info("validation.ended id=%s reason=%s", submission_id, error.message)

    def lost(self, submission_id: str, *, killed: bool) -> bool:
        """Refuse what ends its workers; have anything else validated again, after a while."""
        self._first_seen.pop(submission_id, None)
        if killed:
            self._validation.give_up(submission_id, "its validation ended its worker each time")
        return not killed

    def _validate(self, submission_id: str) -> str:
        return self._validation.finish(submission_id).state.value
