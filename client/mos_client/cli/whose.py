"""`whose`: which model made a picture, by its watermark and by what its file says."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from mos_protocol.errors import EDGES, NotFound

from mos_client.cli.invocation import (
    CenterOption,
    Invocation,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.tables import facts
from mos_client.loading import hush_libraries

if TYPE_CHECKING:
    from mos_diffusion.provenance import Provenance

    from mos_client.session import Mark, Session


@dataclass(frozen=True)
class Finding:
    """What is known of one picture; `meaning` is None where no center was asked, or none knows."""

    path: Path
    mark: str | None
    provenance: Provenance | None
    meaning: Mark | None
    asked: bool

    @property
    def is_known(self) -> bool:
        """Whether the picture says anything of itself."""
        return self.mark is not None or self.provenance is not None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        told, meaning = self.provenance, self.meaning
        return {
            "picture": str(self.path),
            "mark": self.mark,
            "center": meaning.model_dump(mode="json", exclude={"mark"}) if meaning else None,
            "provenance": told.model_dump(mode="json", exclude_none=True) if told else None,
        }


def whose(
    context: typer.Context,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG or WebP files.")
    ],
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no center, only look into the pictures.")
    ] = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which model made pictures: their watermark, looked up at the center, and their metadata.

    The center is told the mark, never the picture. Exits with 5 when a picture has neither a mark
    nor metadata of ours.
    """
    call = invocation(context, center, token, as_json)
    hush_libraries()
    with ExitStack() as opened:
        asks = not offline and call.has_center
        session = opened.enter_context(call.session()) if asks else None
        findings = [_look(path, session) for path in pictures]
    _print(call, findings)
    if not all(finding.is_known for finding in findings):
        raise typer.Exit(EDGES[NotFound.code].exit_code)


def _look(path: Path, session: Session | None) -> Finding:
    from mos_diffusion.provenance import open_picture, read_provenance
    from mos_diffusion.watermark import read_sheet

    with open_picture(path) as picture:
        mark = read_sheet(picture)
    meaning = None
    if mark is not None and session is not None:
        try:
            meaning = session.mark(mark)
        except NotFound:
            meaning = None
    return Finding(path, mark, read_provenance(path), meaning, session is not None)


def _print(call: Invocation, findings: list[Finding]) -> None:
    call.print(
        [finding.to_json() for finding in findings],
        "\n\n".join(_described(finding) for finding in findings),
    )


def _described(finding: Finding) -> str:
    pairs = [("picture", str(finding.path)), ("watermark", finding.mark or "none that can be read")]
    meaning = finding.meaning
    if meaning is not None:
        for version in meaning.models:
            gone = " (withdrawn)" if version.tombstoned_at else ""
            pairs += [
                ("model", f"{version.ref}{gone}"),
                ("concepts", ", ".join(version.concepts)),
            ]
        pairs += [
            ("concept", f"{item.ref} ({item.trigger}, {item.state})") for item in meaning.concepts
        ]
        pairs += [("base", name) for name in meaning.bases]
    elif finding.mark is not None and finding.asked:
        pairs.append(("model", "the center knows none, or none that you may see"))
    return facts([*pairs, *_told(finding.provenance)])


def _told(told: Provenance | None) -> list[tuple[str, str]]:
    """What the file says; anybody can have written that, so it is shown as a claim."""
    if told is None:
        return [("metadata", "none of ours")]
    size = f"{told.width}×{told.height}" if told.width and told.height else ""
    named = {
        "tool": told.tool,
        "model": told.model or "",
        "digest": told.digest or "",
        "concepts": ", ".join(told.concepts),
        "prompt": told.prompt or "",
        "negative prompt": told.negative_prompt or "",
        "regions": " | ".join(told.regions),
        "seeds": " ".join(map(str, told.seeds)),
        "steps": "" if told.steps is None else str(told.steps),
        "guidance": "" if told.guidance is None else f"{told.guidance:g}",
        "size": size,
    }
    return [(f"says: {name}", value) for name, value in named.items()]
