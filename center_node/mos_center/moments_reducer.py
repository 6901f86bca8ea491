"""Reduces raw activations to second moments, in whichever process takes the package.

Only then is torch imported: a process that serves the API starts without it, and stays without
it as long as packages come with moments, which is what clients send unless told otherwise.
"""

from __future__ import annotations

import threading
from pathlib import Path

from mos_protocol.moments import is_raw


class MomentsReducer:
    """Implements `domain.ports.ActivationReducer` with the engine's arithmetic. Thread-safe."""

    def __init__(self) -> None:
        # Reducing takes every core and much memory: one file at a time.
        self._reducing = threading.Lock()

    def reduce(self, path: Path, out: Path) -> bool:
        if not is_raw(path, path.name):
            return False
        from mos_diffusion.moments import reduce_file

        with self._reducing:
            # Another commit of the same package may have ended meanwhile, and the file with it.
            path.stat()
            reduce_file(path, out)
        return True
