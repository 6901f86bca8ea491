"""`fuse` and `fusions`: asking for a fused model, and seeing how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import InvalidRequest, JobFailed, rebuild
from mos_protocol.part_weights import PartWeights, numbers_by_part

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration, facts, moment, table

if TYPE_CHECKING:
    from mos_client.session import Fusion, Session, WeightedConcept


class Priority(StrEnum):
    """Which fusions go first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class FuseMethod(StrEnum):
    """What the center makes of the concepts' changes."""

    GRADIENT = "gradient"
    WEIGHT_AVERAGE = "weight-average"
    CUSTOM_DIFFUSION = "custom-diffusion"
    NONE = "none"


class Solver(StrEnum):
    """How the center solves the layer-wise problem."""

    CLOSED_FORM = "closed-form"
    LBFGS = "lbfgs"
    AVERAGE = "average"
    SUM = "sum"
    CUSTOM_DIFFUSION = "custom-diffusion"
    NONE = "none"


class Export(StrEnum):
    """A format of other tools that the center publishes a model in as well."""

    DIFFUSERS_LORA = "diffusers-lora"
    KOHYA_LORA = "kohya-lora"
    SINGLE_FILE = "single-file"


def fuse(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The fused model's name.")],
    base: Annotated[str, typer.Option(metavar="NAME", help="The base, as the center names it.")],
    concept: Annotated[
        list[str],
        typer.Option(
            metavar="OWNER/NAME[@VERSION][:WEIGHTS]",
            help="A concept; give it once per concept. WEIGHTS is a number, or numbers by part: "
            "text_encoder=0.5,cross_kv=1,spatial=0.",
        ),
    ],
    fuse_method: Annotated[
        FuseMethod | None,
        typer.Option(help="What becomes of the concepts' changes (gradient)."),
    ] = None,
    solver: Annotated[
        Solver | None,
        typer.Option(
            help="How it is solved: closed-form or lbfgs by gradient, average or sum by "
            "weight-average (the method's first)."
        ),
    ] = None,
    prior_weight: Annotated[
        float | None,
        typer.Option(
            min=0, help="How firmly the base is kept where no concept speaks (the center's)."
        ),
    ] = None,
    ridge: Annotated[
        list[str] | None,
        typer.Option(metavar="[PART=]VALUE", help="Regularisation; once per part (the center's)."),
    ] = None,
    lbfgs_steps: Annotated[
        list[str] | None,
        typer.Option(metavar="[PART=]N", help="Steps of lbfgs; once per part (the center's)."),
    ] = None,
    refine_rounds: Annotated[
        int,
        typer.Option(min=0, max=3, help="Record again on the fused model and solve once more."),
    ] = 0,
    export: Annotated[
        list[Export] | None,
        typer.Option(help="Publish it in a format of other tools too; once per format."),
    ] = None,
    previews: Annotated[
        bool | None,
        typer.Option(
            "--previews/--no-previews",
            help="Sample the fused model, for pictures beside the concepts' own (the center's).",
        ),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option(help="Which go first (normal); high is for curators.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is published.")] = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the center to fuse concepts into a new version of MODEL."""
    call = invocation(context, center, token, as_json)
    wanted = [parse_weighted(text) for text in concept]
    ridges = numbers_by_part(ridge or [], float, "ridge")
    steps = numbers_by_part(lbfgs_steps or [], int, "number of steps")
    with call.session() as session:
        fusion = session.request_fusion(
            model,
            base,
            wanted,
            fuse_method=fuse_method.value if fuse_method else None,
            solver=solver.value if solver else None,
            prior_weight=prior_weight,
            ridge=ridges or None,
            lbfgs_steps=steps or None,
            refine_rounds=refine_rounds,
            exports=[item.value for item in export or []],
            previews=previews,
            priority=priority.value if priority else None,
        )
        if wait:
            fusion = follow(session, fusion)
    call.print(fusion.model_dump(mode="json"), outcome(fusion))


def fusions(
    context: typer.Context,
    fusion: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this one in full.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Ask the center to stop it.")] = False,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the fusions that were asked for, or show one."""
    call = invocation(context, center, token, as_json)
    if fusion is None and (wait or cancel):
        raise InvalidRequest("No fusion is named.", hint="`mos-client fusions` lists them.")
    with call.session() as session:
        if fusion is None:
            found = session.fusions(state=state)
            call.print([item.model_dump(mode="json") for item in found], _list(found))
            return
        one = session.cancel_fusion(fusion) if cancel else session.fusion(fusion)
        if wait:
            one = follow(session, one)
    call.print(one.model_dump(mode="json"), _description(one))


def parse_weighted(text: str) -> WeightedConcept:
    """Parse `owner/name[@version][:weights]`; raises `InvalidRequest`, `InvalidName`."""
    from mos_protocol.names import parse_concept_ref

    from mos_client.session import WeightedConcept

    ref, colon, weights = text.partition(":")
    parsed = parse_concept_ref(ref)
    given = PartWeights.parse(weights) if colon else PartWeights()
    return WeightedConcept(str(parsed.concept), parsed.version, given)


def follow(session: Session, fusion: Fusion) -> Fusion:
    """Watch a fusion with a bar; raises `JobFailed` or the center's error when it fails."""
    with ProgressLine("fusing") as line:
        for report in session.watch_fusion(fusion.id):
            progress, fusion = report.progress, report
            text = progress.message or report.state.value
            if report.state == "published":
                line.update(1, 1, report.state.value)
            else:
                line.update(progress.done, progress.total, text)
    if fusion.state == "failed":
        error = fusion.error
        if error is None:
            raise JobFailed(f"The fusion {fusion.id} failed.")
        raise rebuild(error.code, error.message, hint=error.hint, fields={"fusion": fusion.id})
    if fusion.state == "cancelled":
        raise JobFailed(f"The fusion {fusion.id} was cancelled.")
    return fusion


def outcome(fusion: Fusion) -> str:
    """One line on where a fusion stands, and what comes next."""
    if fusion.state == "published":
        ref = f"{fusion.model}@{fusion.model_version}"
        return f"{ref} is published. Fetch it: mos-client pull {ref} --out {fusion.model}"
    return (
        f"Fusion {fusion.id} is {fusion.state.value}. "
        f"Follow it: mos-client fusions {fusion.id} --wait"
    )


def _list(found: list[Fusion]) -> str:
    rows = [
        (
            item.id,
            f"{item.model}@{item.model_version}" if item.model_version else item.model,
            item.state.value,
            f"{item.progress.done}/{item.progress.total}",
            _time_left(item),
            item.priority,
            item.solver,
            ", ".join(concept.ref for concept in item.concepts),
            moment(item.created_at),
        )
        for item in found
    ]
    heads = (
        "FUSION",
        "MODEL",
        "STATE",
        "DONE",
        "LEFT",
        "PRIORITY",
        "SOLVER",
        "CONCEPTS",
        "REQUESTED",
    )
    return table(heads, rows, "No fusion was asked for yet: `mos-client fuse` does.")


def _description(fusion: Fusion) -> str:
    error = fusion.error
    version = f"@{fusion.model_version}" if fusion.model_version else ""
    return facts(
        (
            ("fusion", fusion.id),
            ("model", f"{fusion.model}{version}"),
            ("base", fusion.base),
            ("concepts", "  ".join(f"{item.ref}:{item.weight}" for item in fusion.concepts)),
            ("method", fusion.fuse_method),
            ("solver", fusion.solver),
            ("prior", f"{fusion.prior_weight:g}"),
            ("ridge", _by_part(fusion.ridge)),
            ("steps", _by_part(fusion.lbfgs_steps)),
            ("refined", f"{fusion.refine_rounds} times" if fusion.refine_rounds else ""),
            ("exports", "  ".join(fusion.exports)),
            ("state", fusion.state.value),
            ("done", f"{fusion.progress.done} of {fusion.progress.total}"),
            ("now", fusion.progress.message),
            ("left", _time_left(fusion)),
            ("priority", fusion.priority),
            ("attempts", str(fusion.attempts) if fusion.attempts > 1 else ""),
            ("error", f"{error.message} {error.hint}".strip() if error else ""),
            ("requested by", fusion.requested_by),
            ("requested", moment(fusion.created_at)),
            ("started", moment(fusion.started_at) if fusion.started_at else ""),
            ("finished", moment(fusion.finished_at) if fusion.finished_at else ""),
        )
    )


def _time_left(fusion: Fusion) -> str:
    """How long it still takes, or how many come first."""
    if fusion.seconds_left is not None:
        return f"~{duration(fusion.seconds_left)}"
    return f"number {fusion.queue_position} in the queue" if fusion.queue_position else ""


def _by_part(numbers: Mapping[str, float] | None) -> str:
    return "  ".join(f"{part}={value:g}" for part, value in (numbers or {}).items())
