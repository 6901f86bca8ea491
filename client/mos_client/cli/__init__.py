"""The command line `mos-client`. Nothing heavy is imported before a command needs it."""

from mos_client.cli.app import main

__all__ = ["main"]
