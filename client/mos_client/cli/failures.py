"""The edge: what an error becomes for the person at the terminal, and for the shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from mos_protocol.errors import EDGES, MosError

from mos_client.cli.tables import printable

INTERRUPTED = 130


def run(command: Callable[[], object], as_json: bool) -> int:
    """Run the command line and return the exit code; user errors never show a trace."""
    try:
        command()
    except MosError as error:
        _tell(error, as_json)
        return EDGES[error.code].exit_code
    except OSError as error:
        _tell(_from_system(error), as_json)
        return EDGES[MosError.code].exit_code
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code == INTERRUPTED:
            _say("interrupted. The same command goes on where this one stopped.")
        return code
    except KeyboardInterrupt:
        _say("interrupted.")
        return INTERRUPTED
    return 0


def _tell(error: MosError, as_json: bool) -> None:
    if as_json:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps({"error": told}), file=sys.stderr)
        return
    _say(f"error: {error.message}")
    if error.hint:
        _say(f"       {error.hint}")


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _from_system(error: OSError) -> MosError:
    where = f"{error.filename}: " if error.filename else ""
    return MosError(f"{where}{error.strerror or error}.")
