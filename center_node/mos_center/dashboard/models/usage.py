"""How to get a model version and use it: commands and files, for this version at this address."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from mos_center.domain.models import Export, ModelVersion

_ORGANISATION = "mos"
_EXPORTS = "exports"
_EMBEDDINGS = "embeddings"
_FILES = {
    Export.DIFFUSERS_LORA: "pytorch_lora_weights.safetensors",
    Export.KOHYA_LORA: "kohya_lora.safetensors",
    Export.SINGLE_FILE: "checkpoint.safetensors",
}

_SNIPPET = """from diffusers import StableDiffusionPipeline
from mos_diffusion import layerwise

pipe = StableDiffusionPipeline.from_pretrained("{folder}")
image = pipe(**layerwise(pipe)("a photo of a {trigger}")).images[0]"""


@dataclass(frozen=True)
class ExportedFile:
    """What another tool opens; `is_published`: the version has it, else `command` makes it."""

    path: str
    embeddings: str
    command: str
    is_published: bool


@dataclass(frozen=True)
class Usage:
    """Commands to copy; `words` and `trigger` are those of the version's first concept."""

    pull: str
    hub: str
    snippet: str
    lora: ExportedFile
    checkpoint: ExportedFile
    words: tuple[str, ...]
    trigger: str

    @property
    def embeddings(self) -> str:
        """The concept as ComfyUI's prompts name it."""
        return " ".join(
            f"embedding:{word.strip('<>')}" if word in self.words else word
            for word in self.trigger.split()
        )


def usage_of(version: ModelVersion, address: str) -> Usage:
    """How to use the version, from the center at this address."""
    folder = f"./{version.model}-{version.version}"
    first = version.concepts[0] if version.concepts else None
    trigger = first.trigger if first else ""
    return Usage(
        pull=f"mos-client pull {version.model}@{version.version} --out {folder}",
        hub=f"HF_ENDPOINT={address} hf download {_ORGANISATION}/{version.model} "
        f"--revision v{version.version} --local-dir {folder}",
        snippet=_SNIPPET.format(folder=folder, trigger=trigger),
        lora=_exported(version, Export.KOHYA_LORA, folder),
        checkpoint=_exported(version, Export.SINGLE_FILE, folder),
        words=first.words if first else (),
        trigger=trigger,
    )


def address_of(request: Request) -> str:
    """The center's address as the browser reached it."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _exported(version: ModelVersion, export: Export, folder: str) -> ExportedFile:
    inside = f"{_EXPORTS}/{export}"
    is_published = version.file(f"{inside}/{_FILES[export]}") is not None
    place = f"{folder}/{inside}" if is_published else f"{folder}-{export}"
    return ExportedFile(
        path=f"{place}/{_FILES[export]}",
        embeddings=f"{place}/{_EMBEDDINGS}",
        command=f"mos-client export {folder} --format {export} --out {place}",
        is_published=is_published,
    )
