"""Fetching a base model's prior moments: second moments of what it sees without any concept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from mos_protocol.errors import InvalidPackage, NotFound
from mos_protocol.manifest import FileEntry
from mos_protocol.moments import check_moments, moments_path
from mos_protocol.package import check_identity

from mos_client.session.rest import RestClient
from mos_client.session.results import Base, StoredFile


def fetch_prior(rest: RestClient, base: Base, out: Path) -> Path:
    """Write `out`/moments/<block>.safetensors for every block of `base` and return `out`.

    Each file is checked like a package's: hash, header against the layer map, values.
    """
    if not base.prior:
        raise NotFound(
            f"The base {base.name!r} has no prior moments at this center.",
            hint="Tune without --prior-penalty, or have the base registered with its prior.",
        )
    for block in base.layer_map.blocks:
        stored = base.prior.get(block.name)
        if stored is None:
            raise NotFound(f"The prior of base {base.name!r} lacks the block {block.name!r}.")
        _fetch_block(rest, base, block.name, stored, out)
    return out


def _fetch_block(rest: RestClient, base: Base, block: str, stored: StoredFile, out: Path) -> None:
    entry = FileEntry(path=moments_path(block), size=stored.size, sha256=stored.sha256)
    target = out / entry.path
    if _is_there(target, entry):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    path = f"/v1/bases/{quote(base.name, safe='')}/prior/{quote(block, safe='')}"
    # A folder of its own: several clients of one user fill the same cache at once.
    with TemporaryDirectory(dir=target.parent) as folder:
        partial = Path(folder) / target.name
        with rest.stream(path, {"Accept-Encoding": "identity"}) as response:
            _write(response.iter_bytes(1 << 20), partial, stored.size)
        check_identity(partial, entry)
        check_moments(partial, base.layer_map.block(block), entry.path)
        partial.replace(target)


def _write(pieces: Iterable[bytes], path: Path, limit: int) -> None:
    """Write pieces until more than `limit` bytes have come, which the size check then tells."""
    left = limit
    with path.open("wb") as file:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)


def _is_there(path: Path, entry: FileEntry) -> bool:
    try:
        check_identity(path, entry)
    except InvalidPackage:
        return False
    return True
