"""One edge client: submits a package and notes every file that it begins to send.

`python client.py CENTER PACKAGE LOG`, with the token in MOS_TOKEN. It may be killed at any moment
and started again; the log is only ever appended to.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mos_client.session import Session, TransferProgress, upload
from mos_client.session.retry import Backoff
from mos_protocol.errors import MosError

# Long enough for a replica, a database and a store that are started again one after the other.
PATIENCE = Backoff(attempts=40, first=0.1, longest=3.0)
# Real packages take minutes to send. With small pieces and a pause after the first one of each
# file, kills hit files in the middle too.
PIECE_BYTES = 2048
PACE_SECONDS = 0.15


class SentFiles:
    """Writes a line whenever another file is begun."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._path = ""

    def __call__(self, progress: TransferProgress) -> None:
        if progress.path and progress.path != self._path:
            self.note(began=progress.path)
            time.sleep(PACE_SECONDS)
        self._path = progress.path

    def note(self, **fields: object) -> None:
        """Append one line, at once on disk."""
        with self._log.open("a") as log:
            log.write(json.dumps(fields) + "\n")


def main(center: str, package: Path, log: Path) -> int:
    """Submit until the center answers; 0 once the package is accepted, 3 when it is refused."""
    sent = SentFiles(log)
    upload.CHUNK = PIECE_BYTES
    try:
        with Session(center, os.environ["MOS_TOKEN"], backoff=PATIENCE) as session:
            submission = session.submit(package, sent)
    except MosError as error:
        sent.note(error=error.code, message=str(error))
        return 3 if error.code == "invalid_package" else 7
    sent.note(accepted=submission.id, state=submission.state.value)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
