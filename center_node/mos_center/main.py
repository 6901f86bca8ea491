"""`mos-center`: the command line of the center node."""

from __future__ import annotations

import os

from mos_center.cli.app import app


def main() -> None:
    """The entry point."""
    # Read when transformers is imported, which is late: its advice is not for our users.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    app()


if __name__ == "__main__":
    main()
