"""Concepts from LoRAs that other tools tuned: `import_concept(settings, out)` → a package."""

from mos_client.importing.package import import_concept
from mos_client.importing.settings import ImportSettings

__all__ = ["ImportSettings", "import_concept"]
