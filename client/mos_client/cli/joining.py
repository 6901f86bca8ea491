"""`join`, `whoami`, `logout` and `centers`: the centers that the user takes part in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import NotFound, Unavailable

from mos_client.cli.invocation import (
    CenterOption,
    Certificates,
    Invocation,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.tables import facts, moment, size, table

if TYPE_CHECKING:
    from mos_client.credentials import SavedCenter
    from mos_client.session import Base, Me, Session

JOIN_PREFIX = "mos_join_"


def join(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The center's address.")],
    token: Annotated[
        str,
        typer.Argument(metavar="TOKEN", help="The join token, or an API token that you have."),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What you want to be called, if the invitation leaves it to you."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The center's own CA, a PEM file (env: MOS_CA)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Become a member of a center: later commands then need neither address nor token."""
    from mos_client.session.rest import center_url

    call = _to(invocation(context, center_url(url), None, as_json), ca)
    call.credentials.check_writable()
    saved = _exchange(call, token, name)
    # At once: the token is told only this time.
    call.credentials.save(saved)
    with replace(call, token=saved.token).session() as session:
        me, bases = session.me(), session.bases()
        _check_uploads(session, saved)
    document = {
        "center": saved.url,
        "member": saved.member,
        "role": me.role,
        "scopes": list(me.scopes),
        "bases": [base.name for base in bases],
        "credentials": str(call.credentials.path),
    }
    call.print(document, _welcome(saved, me, bases, call.credentials.path))


def whoami(
    context: typer.Context,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who you are at the center, what your token is good for, and what you use."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        me = session.me()
    where = call.center or (call.saved.url if call.saved else "")
    call.print({"center": where, **me.model_dump(mode="json")}, _person(where, me))


def logout(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The center (the default one).")
    ] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Have the center refuse the token from now on, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a center and its token here."""
    call = replace(invocation(context, url, None, as_json), token=None)
    saved = call.saved
    if saved is None:
        raise NotFound(
            f"You have not joined {url}." if url else "You have joined no center.",
            hint="`mos-client centers` lists those you have.",
        )
    if revoke:
        with call.session() as session:
            session.revoke_token(session.me().token_id or "")
    call.credentials.remove(saved.url)
    left = "" if revoke else " Its token is still good; `--revoke` would have ended it."
    result = {"center": saved.url, "revoked": revoke}
    call.print(result, f"{saved.url} is forgotten here.{left}")


def centers(
    context: typer.Context,
    use: Annotated[
        str | None, typer.Option(metavar="URL", help="Make this one the default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the centers that you joined."""
    from mos_client.session.rest import center_url

    call = invocation(context, None, None, as_json)
    if use is not None:
        call.credentials.use(center_url(use))
    default = call.credentials.default()
    found = call.credentials.all()
    rows = [(item.url, item.member, "default" if item == default else "") for item in found]
    documents = [
        {"center": item.url, "member": item.member, "default": item == default} for item in found
    ]
    empty = "You have joined no center: `mos-client join URL TOKEN`."
    call.print(documents, table(("CENTER", "MEMBER", ""), rows, empty))


def _to(call: Invocation, ca: Path | None) -> Invocation:
    """The call with this CA; what was saved for the address earlier does not count."""
    given = call.certificates
    chosen = Certificates(ca or given.ca, given.cert, given.key)
    return replace(call, certificates=chosen)


def _exchange(call: Invocation, token: str, name: str | None) -> SavedCenter:
    """Turn a join token into a membership, or look up whose API token it is."""
    from mos_client.credentials import SavedCenter

    with replace(call, token=None if token.startswith(JOIN_PREFIX) else token).session() as session:
        if token.startswith(JOIN_PREFIX):
            welcome = session.join(token, name)
            member, secret, token_id = welcome.member, welcome.token, welcome.token_id
        else:
            me = session.me()
            member, secret, token_id = me.member, token, me.token_id or ""
    given = call.certificates
    return SavedCenter(
        url=call.center or "",
        member=member,
        token=secret,
        token_id=token_id,
        ca=given.ca.read_text() if given.ca else None,
        client_cert=given.cert.absolute() if given.cert else None,
        client_key=given.key.absolute() if given.key else None,
    )


def _check_uploads(session: Session, saved: SavedCenter) -> None:
    try:
        session.check_uploads()
    except Unavailable as error:
        raise Unavailable(
            f"You are {saved.member} at {saved.url} now, but nothing can be uploaded: "
            f"{error.message}",
            hint=error.hint,
        ) from None


def _welcome(saved: SavedCenter, me: Me, bases: list[Base], path: Path) -> str:
    names = ", ".join(base.name for base in bases) or "none yet (its operator adds them)"
    return "\n".join(
        (
            f"You are {saved.member} ({me.role}) at {saved.url}. It answers REST and gRPC.",
            f"Your token is in {path}; commands use it by themselves.",
            f"Base models there: {names}.",
            "Next, tune a concept on pictures that stay here, and bring it to the center:",
            f"  mos-client tune PICTURES --base DIR --name {saved.member}/NAME "
            '--word "<name1> <name2>" --class WORD --upload',
            "See what there is: mos-client concepts, mos-client models. Who am I: mos-client "
            "whoami.",
        )
    )


def _person(where: str, me: Me) -> str:
    usage, limits = me.usage, me.limits
    return facts(
        (
            ("center", where),
            ("member", me.member),
            ("role", me.role),
            ("scopes", " ".join(me.scopes)),
            ("token", me.token_id or "none needed"),
            ("expires", moment(me.token_expires_at) if me.token_expires_at else ""),
            ("files", _of(size(usage.bytes or 0), limits.bytes and size(limits.bytes))),
            ("concepts", _of(str(usage.concepts or 0), limits.concepts)),
            ("fusions", _of(f"{usage.jobs or 0} unfinished", limits.jobs)),
        )
    )


def _of(used: str, limit: object) -> str:
    return used if limit is None else f"{used} of {limit}"
