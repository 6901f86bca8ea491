"""Files of other tools: LoRAs and embeddings that come in, exports of a model that go out."""

from mos_diffusion.formats.embedding_file import read_embedding
from mos_diffusion.formats.exporting import EXPORTS, Export, export
from mos_diffusion.formats.foreign_lora import ForeignLora, read_lora

__all__ = ["EXPORTS", "Export", "ForeignLora", "export", "read_embedding", "read_lora"]
