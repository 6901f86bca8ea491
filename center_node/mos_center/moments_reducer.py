"""Reduces raw activations to second moments, in whichever process takes the package.

Only then is torch imported: a process that serves the API starts without it, and stays without
it as long as packages come with moments, which is what clients send unless told otherwise. Raw
activations are left to the workers where torch is not installed, and by a process that runs no
worker: the engine takes more memory than all the rest of it.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

from mos_protocol.moments import is_raw

from mos_center.domain.errors import LeftToWorkers


class MomentsReducer:
    """Implements `domain.ports.ActivationReducer` with the engine's arithmetic. Thread-safe.

    is_here: False leaves activations to the workers even where torch is installed.
    """

    def __init__(self, *, is_here: bool = True) -> None:
        self._is_here = is_here
        # Reducing takes every core and much memory: one file at a time.
        self._reducing = threading.Lock()

    def reduce(self, path: Path, out: Path) -> bool:
        if not is_raw(path, path.name):
            return False
        if not self._is_here or find_spec("torch") is None:
            raise LeftToWorkers("Raw activations are reduced by a worker.")
        from mos_diffusion.moments import reduce_file

        with self._reducing:
            # Another commit of the same package may have ended meanwhile, and the file with it.
            path.stat()
            reduce_file(path, out)
        return True
