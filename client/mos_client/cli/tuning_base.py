"""What a tuning needs beside the pictures: a base model here, and what the center knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mos_protocol.errors import InvalidRequest, PermissionDenied
from mos_protocol.names import check_slug, parse_concept_name, parse_words

from mos_client.cli.invocation import Invocation

if TYPE_CHECKING:
    from mos_client.session import Base
    from mos_client.tuning.penalty import Prior

WRITE = "concept:write"


def check_words(name: str, word: str) -> None:
    """Refuse malformed names before anything heavy is loaded."""
    parse_concept_name(name)
    parse_words(word)


def check_places(call: Invocation, data: Path, base: str, *, upload: bool) -> None:
    """Refuse what can be seen to be wrong at once. Raises `InvalidRequest`."""
    if not data.is_dir():
        raise InvalidRequest(f"{data} is no folder.", hint="Give the folder with the pictures.")
    check_base(call, base, upload=upload)


def check_base(call: Invocation, base: str, *, upload: bool) -> None:
    """Refuse a base that is not here, and an upload to nowhere. Raises `InvalidRequest`."""
    if upload and not call.has_center:
        raise InvalidRequest(
            "No center is named to upload to.", hint="Give --center http://host:8000."
        )
    if Path(base).is_dir() or "/" in base:
        return
    known = None
    if call.has_center:
        check_slug(base, "base name")
        with call.session() as session:
            known = next((item for item in session.bases() if item.name == base), None)
    if known is None:
        raise InvalidRequest(
            f"There is no base model {base!r} here.",
            hint="Give a folder in diffusers layout, or a hub id such as owner/model.",
        )
    raise InvalidRequest(
        f"The center has registered {base!r} (digest {known.digest[:12]}…), but tuning needs its "
        "weights here, and a center does not hand them out.",
        hint="Get the model from its publisher and give its folder or hub id: --base DIR.",
    )


def check_may_upload(call: Invocation, name: str) -> None:
    """Refuse a concept that the center would not take from this member, before hours of tuning.

    Raises `PermissionDenied`.
    """
    owner = parse_concept_name(name).owner
    with call.session() as session:
        me = session.me()
    if me.role != "admin" and me.member != owner:
        raise PermissionDenied(
            f"{name} would belong to {owner}, and you are {me.member} at this center.",
            hint=f"Name the concept {me.member}/…, or leave --upload out.",
        )
    if WRITE not in me.scopes:
        raise PermissionDenied(
            f"Your token is not good for uploads: it lacks the scope {WRITE}.",
            hint=f"Make one: `mos-client token create NAME --scope {WRITE}`.",
        )


def needs_center(upload: bool, penalised: bool, prior: Path | None) -> bool:
    """Whether the base must be one that the center has."""
    return upload or (penalised and prior is None)


def registered_base(call: Invocation, base: str, *, required: bool = True) -> Base | None:
    """The center's record of the base model `base`, found by its digest.

    When it has none: None, or if it is required `InvalidRequest`, before hours of tuning.
    """
    with call.session() as session:
        bases = session.bases()

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_diffusion.base_model import layer_map_of

    digest = layer_map_of(base).digest
    for item in bases:
        if item.digest == digest:
            return item
    if not required:
        return None
    names = ", ".join(f"{item.name} ({item.digest[:12]}…)" for item in bases) or "none"
    raise InvalidRequest(
        f"The center has no base model with the digest of {base} ({digest[:12]}…); "
        f"it has: {names}.",
        hint="Tune on one of those, or have yours registered: mos-center base add NAME PATH.",
    )


def load_prior(
    call: Invocation, registered: Base | None, folder: Path | None, cache: Path | None = None
) -> Prior:
    """The prior moments from `folder`, or the center's by way of `cache` (None: the user's own)."""
    from mos_diffusion.moments import read_moments

    if folder is None:
        from platformdirs import user_cache_path

        assert registered is not None
        priors = (cache or user_cache_path("mos-client")) / "priors"
        with call.session() as session:
            folder = session.base_prior(registered.name, priors / registered.digest)
    files = sorted((folder / "moments").glob("*.safetensors"))
    files = files or sorted(folder.glob("*.safetensors"))
    if not files:
        raise InvalidRequest(f"{folder} has no moments files.", hint="Leave --prior out.")
    return {path.stem: read_moments(path) for path in files}
