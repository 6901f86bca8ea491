"""Provenance in a PNG's metadata: which model made the picture, and how.

    mos-provenance          (iTXt) the fields below as JSON
    XML:com.adobe.xmp       (iTXt) an XMP packet with IPTC's digital source type, which tells
                            platforms that the picture was made by a model

Nothing in here knows the time or the machine: the same picture is the same file.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Annotated, Literal, Self

from mos_protocol.errors import InvalidRequest
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mos_diffusion.published_identity import PublishedIdentity

KEY = "mos-provenance"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_MAX_TEXT = 20_000
_XMP_KEY = "XML:com.adobe.xmp"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="{tool}"
    Iptc4xmpExt:DigitalSourceType="{source}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def _printable(text: str) -> str:
    """The text without control characters: it is shown in terminals, whoever wrote it."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


Text = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_printable)]


def _tool() -> str:
    return f"mos-federation {importlib.metadata.version('mos-federation')}"


class Provenance(BaseModel):
    """What made a picture; None where it is not told.

    model: the name by which it was asked for; digest: its build, package or base digest. regions:
    the prompts of a scene's regions. seeds: one, or those of the pictures that a sheet shows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["mos-provenance/1"] = "mos-provenance/1"
    source_type: Text = SOURCE_TYPE
    tool: Text = Field(default_factory=_tool)
    model: Text | None = None
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    concepts: tuple[Text, ...] = ()
    prompt: Text | None = None
    negative_prompt: Text | None = None
    regions: tuple[Text, ...] = ()
    seeds: tuple[int, ...] = ()
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None

    @classmethod
    def of(cls, published: PublishedIdentity | None, model: str | None = None) -> Self:
        """Of a picture that a model made, which is called `model` by whoever asks for it."""
        if published is None:
            return cls(model=model)
        return cls(model=model, digest=published.build, concepts=published.concepts)

    def without_prompts(self) -> Self:
        """The same without what was asked for."""
        return self.model_copy(update={"prompt": None, "negative_prompt": None, "regions": ()})


def save_picture(picture: Image.Image, path: Path, provenance: Provenance) -> None:
    """Write a PNG that says where it comes from, beside its place, and move it there."""
    information = PngInfo()
    told = provenance.model_copy(update={"width": picture.width, "height": picture.height})
    information.add_itxt(KEY, told.model_dump_json(exclude_none=True))
    information.add_itxt(_XMP_KEY, _XMP.format(tool=escape(provenance.tool), source=SOURCE_TYPE))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    picture.save(partial, format="PNG", pnginfo=information)
    partial.replace(path)


def read_provenance(path: Path) -> Provenance | None:
    """What the picture says of itself; None where it says nothing that can be understood."""
    with open_picture(path) as picture:
        text = getattr(picture, "text", {}).get(KEY)
    try:
        return None if text is None else Provenance.model_validate_json(text)
    except ValidationError:
        return None


def shared_provenance(pictures: Iterable[Image.Image | Path]) -> Provenance:
    """Of a sheet that is made now: what its pictures say of themselves alike, and all their seeds.

    They may be of several versions of this tool: an evaluation goes on after an upgrade.
    """
    told = [read_provenance(path) for path in pictures if isinstance(path, Path)]
    known = [one for one in told if one is not None]
    if not known:
        return Provenance()
    own = Provenance.model_fields.keys() - {"format", "source_type", "tool", "seeds"}
    values = {name: {getattr(one, name) for one in known} for name in own}
    alike = {name: found.pop() for name, found in values.items() if len(found) == 1}
    seeds = tuple(sorted({seed for one in known for seed in one.seeds}))
    return Provenance().model_copy(update=alike | {"seeds": seeds})


def open_picture(path: Path) -> Image.Image:
    """Open a picture and read its pixels; raise `InvalidRequest` when it is none."""
    try:
        picture = Image.open(path)
        picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        known = isinstance(error, OSError) and not isinstance(error, UnidentifiedImageError)
        reason = (error.strerror if isinstance(error, OSError) and known else "") or "no picture"
        raise InvalidRequest(
            f"{path} can't be read: {reason}.", hint="Give a PNG, JPEG or WebP file."
        ) from error
    return picture
