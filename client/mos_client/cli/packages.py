"""`package show`, `package check` and `submit`: concept packages on disk and on their way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import InvalidPackage, InvalidRequest

from mos_client.cli.concepts import VisibilityOption
from mos_client.cli.invocation import (
    CenterOption,
    Invocation,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import facts, size, table

if TYPE_CHECKING:
    from mos_protocol.manifest import Manifest

    from mos_client.session import Submission

REVIEW_SECONDS = 5.0

app = typer.Typer(help="Look at a concept package on disk.", no_args_is_help=True)
Package = Annotated[Path, typer.Argument(metavar="PKG", help="The package's folder.")]


@app.command()
def show(context: typer.Context, package: Package, as_json: JsonOption = False) -> None:
    """Print what a package says of itself."""
    from mos_protocol.manifest import read_manifest

    manifest = read_manifest(package)
    call = invocation(context, None, None, as_json)
    call.print(json.loads(manifest.to_bytes()), _description(manifest))


@app.command()
def check(
    context: typer.Context,
    package: Package,
    base: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Check against this base model's folder or hub id."),
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a package as a center would: every file, tensor and value."""
    call = invocation(context, center, token, as_json)
    manifest = _checked(call, package, base)
    result = {"ok": True, "concept": manifest.concept, "digest": manifest.digest()}
    call.print(result, f"{package}: {manifest.concept} is sound ({len(manifest.files)} files).")


def submit(
    context: typer.Context,
    package: Package,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the center has decided about it.")
    ] = False,
    visibility: VisibilityOption = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a package to the center. Run it again to resume; what arrived is not sent twice."""
    call = invocation(context, center, token, as_json)
    submission = send(call, package, wait=wait, visibility=visibility)
    call.print(submission.model_dump(mode="json"), outcome(submission))


def send(
    call: Invocation, package: Path, *, wait: bool = False, visibility: str | None = None
) -> Submission:
    """Upload with a bar; raises `InvalidPackage` when the center rejected the package."""
    with call.session() as session:
        with ProgressLine("uploading") as line:
            submission = session.submit(package, line.transfer, visibility=visibility)
        while wait and submission.state == "pending_review":
            submission = session.submission(submission.id)
            time.sleep(REVIEW_SECONDS)
    if submission.state == "rejected":
        raise InvalidPackage(str(package), f"the center rejected it: {submission.reason}")
    return submission


def outcome(submission: Submission) -> str:
    """One line on where a submission stands, and what comes next."""
    if submission.state == "approved":
        return f"{submission.ref} is at the center and can be fused."
    return f"{submission.ref} is at the center: {submission.state.value.replace('_', ' ')}."


def finish(call: Invocation, package: Path, *, upload: bool, visibility: str | None = None) -> None:
    """Upload a package that was just written, if asked, and print what there is now."""
    from mos_protocol.manifest import read_manifest

    manifest = read_manifest(package)
    result: dict[str, object] = {
        "package": str(package),
        "concept": manifest.concept,
        "digest": manifest.digest(),
        "rank": manifest.rank,
    }
    if manifest.training is not None:
        result["final_loss"] = manifest.training.final_loss
    if manifest.source is not None:
        result["words_from"] = manifest.source.words_from
        result["skipped"] = manifest.source.skipped
    text = f"{manifest.concept} is in {package}."
    if upload:
        submission = send(call, package, visibility=visibility)
        result["submission"] = submission.model_dump(mode="json")
        text += f"\n{outcome(submission)}"
    else:
        text += f"\nBring it to a center: mos-client submit {package}"
    call.print(result, text)


def _checked(call: Invocation, package: Path, base: str | None) -> Manifest:
    if base is not None:
        from mos_client.loading import hush_libraries

        hush_libraries()

        from mos_diffusion.base_model import layer_map_of
        from mos_protocol.package import check_package

        return check_package(package, layer_map_of(base))
    if call.has_center:
        with call.session() as session:
            return session.check(package)
    raise InvalidRequest(
        "There is no base model to check against.",
        hint="Give --base DIR, or --center URL for the base that the center has.",
    )


def _description(manifest: Manifest) -> str:
    pairs = (
        ("concept", manifest.concept),
        ("words", " ".join(manifest.words)),
        ("in prompts", manifest.trigger),
        ("class word", manifest.class_word),
        ("base", f"{manifest.base.name} ({manifest.base.digest[:12]}…)"),
        *_origin(manifest),
        ("moments", f"{manifest.moments.recording}, {manifest.moments.passes} passes"),
        ("licence", manifest.licence),
        ("consent", manifest.consent),
        ("description", manifest.description),
        ("written by", manifest.tool),
        ("digest", manifest.digest()),
    )
    rows = [(entry.path, size(entry.size), entry.sha256[:12]) for entry in manifest.files]
    return f"{facts(pairs)}\n\n{table(('FILE', 'SIZE', 'SHA256'), rows, '')}"


def _origin(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """How the concept was tuned, or where it was imported from."""
    method = f"{manifest.method}, rank {manifest.rank}"
    if (training := manifest.training) is not None:
        return (
            ("method", f"{method}, layers: {training.layers}"),
            (
                "tuned on",
                f"{training.images} images at {training.resolution} px, {training.steps} steps of "
                f"{training.batch_size}, seed {training.seed}",
            ),
            ("final loss", f"{training.final_loss:.4f}"),
            ("prior penalty", _number(training.prior_penalty)),
            ("pictures of the class", _number(training.regularisation_images)),
            ("embeddings first", _number(training.embedding_first)),
            ("K and V dropped", _number(training.kv_drop)),
            ("loss weighting", training.loss_weighting or ""),
        )
    if (source := manifest.source) is not None:
        words = f"trigger {source.trigger!r}" if source.trigger else source.words_from
        return (
            ("method", method),
            ("imported from", f"{source.file} ({source.sha256[:12]}…)"),
            ("words from", words.replace("_", " ")),
            ("modules left out", str(source.skipped) if source.skipped else ""),
        )
    return (("method", method),)


def _number(value: float | None) -> str:
    """A setting that some tunings use, and else nothing."""
    return f"{value:g}" if value else ""
