"""Perturbing photos against being learned: `protect(settings, folder, out, work)`."""

from mos_client.protecting.run import Protection, protect
from mos_client.protecting.settings import ProtectionSettings

__all__ = ["Protection", "ProtectionSettings", "protect"]
