"""Writes what was found into a document's generated parts, and the plots beside it.

A part begins with `<!-- reproduced: NAME -->` and ends with `<!-- end -->`; all else of the
document is written by hand and stays. A document that isn't there is made of its parts alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mos_protocol.errors import InvalidRequest

from reproduction.plots import draw_alignments, draw_scaling
from reproduction.results import Cell, Line, Mean, Results
from reproduction.scaling import Scaled

ALL = "all"


def write_document(results: Results, document: Path) -> Path:
    """Replace the parts of what was measured; returns the document.

    Raises `InvalidRequest` when the document has no place for a part.
    """
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    parts = {name: text for name, text in _parts(results, images).items() if text}
    if document.exists():
        text = document.read_text(encoding="utf-8")
    else:
        text = "\n\n".join(f"<!-- reproduced: {name} -->\n<!-- end -->" for name in parts) + "\n"
    for name, part in parts.items():
        mark = re.compile(rf"(<!-- reproduced: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not mark.search(text):
            raise InvalidRequest(
                f"{document} has no part {name!r}.",
                hint=f"Write `<!-- reproduced: {name} -->` and `<!-- end -->` where it belongs.",
            )
        text = mark.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    document.write_text(text, encoding="utf-8")
    return document


def _parts(results: Results, images: Path) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    if results.methods is not None and results.bound is not None:
        draw_alignments(results.methods, results.bound[ALL], images / "evaluation.png")
        parts["table"] = _table(results.methods, results.bound)
        parts["ablations"] = _table(results.ablations or [], results.bound)
        parts["size"] = f"{results.concepts} concepts, 20 prompts, {results.seeds} seeds"
    if results.scaling is not None:
        draw_scaling(results.scaling, images / "evaluation-scaling.png")
        parts["scaling"] = _scaling(results.scaling)
    if results.tuning is not None:
        parts["tuning"] = _scaling(results.tuning)
    return parts


def _table(lines: Sequence[Line], bound: Mapping[str, Cell]) -> str:
    """One table per kind of concept: single, fused, and how far image-alignment fell."""
    tables = []
    # Of one kind alone, its table would be that of all.
    kinds = list(bound) if len(bound) > 2 else [ALL]
    for kind in kinds:
        head = ["method", "text, single", "text, fused", "image, single", "image, fused", "drop"]
        rows = [[
            "class word (bounds)", _said(bound[kind].text), "",
            _said(bound[kind].image), "", "",
        ]]  # fmt: skip
        for line in lines:
            one, other = line.single[kind], line.fused[kind]
            # + 0.0: what rounds to nothing has no sign.
            drop = round(one.image.value - other.image.value, 3) + 0.0
            rows.append([
                line.label, _said(one.text), _said(other.text),
                _said(one.image), _said(other.image), f"{drop:+.3f}",
            ])  # fmt: skip
        title = "All concepts" if kind == ALL else f"{kind.capitalize()}s"
        tables.append(f"**{title}**\n\n{_markdown(head, rows)}")
    return "\n\n".join(tables)


def _scaling(found: Mapping[tuple[str, str], Sequence[Scaled]]) -> str:
    """Kept at every size; at the largest the worst concept, gains, losses and alignments."""
    sizes = [scaled.size for scaled in next(iter(found.values()))]
    head = [
        "tuned", "fused", *(f"kept, {size}" for size in sizes), "worst", "gain, own",
        "gain, fused", "generic loss", "text", "image", "image, own",
    ]  # fmt: skip
    rows = []
    for (recipe, fusion), line in found.items():
        last = line[-1]
        rows.append([
            recipe, fusion, *(f"{scaled.kept:.2f}" for scaled in line), f"{last.worst:.2f}",
            f"{1000 * last.own:.1f}", f"{1000 * last.gain:.1f}", f"{1000 * last.generic:.1f}",
            f"{last.text:.3f}", f"{last.image:.3f}", f"{last.own_image:.3f}",
        ])  # fmt: skip
    return _markdown(head, rows)


def _said(mean: Mean) -> str:
    return f"{mean.value:.3f} ±{mean.error:.3f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
