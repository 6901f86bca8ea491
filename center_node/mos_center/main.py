"""`mos-center`: the command line of the center node."""

from __future__ import annotations

from mos_center.cli.app import app


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
