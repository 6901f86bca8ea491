"""`evaluation`: having a center evaluate a published version, and reading what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import JobFailed, rebuild

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration, facts, moment, table

if TYPE_CHECKING:
    from mos_client.session import Evaluation, Session
    from mos_client.session.evaluation_results import EvaluationResult, Figures

app = typer.Typer(
    help="Evaluations of published versions, made at the center.", no_args_is_help=True
)

Ref = Annotated[
    str, typer.Argument(metavar="MODEL[@VERSION|ALIAS]", help="The latest when only named.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `evaluation list` shows it.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]


@app.command()
def request(
    context: typer.Context,
    ref: Ref,
    prompts: Annotated[
        str | None,
        typer.Option(metavar="SET", help="A set of prompts that the center knows (by class word)."),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="A prompt of your own with <TOK> for the concept; repeat it."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, max=50, help="Pictures of each prompt (2).")
    ] = None,
    wait: Wait = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the center evaluate a version; one at a time per version."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.request_evaluation(ref, prompts=prompts, texts=prompt or (), seeds=seeds)
        if wait:
            found = _follow(session, found)
    text = _description(found) if wait else _outcome(found)
    call.print(found.model_dump(mode="json"), text)


@app.command()
def show(
    context: typer.Context,
    evaluation: Id,
    wait: Wait = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an evaluation and what came of it."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.evaluation(evaluation)
        if wait:
            found = _follow(session, found)
    call.print(found.model_dump(mode="json"), _description(found))


@app.command("list")
def list_evaluations(
    context: typer.Context,
    ref: Ref,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the evaluations of a version."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.evaluations(ref)
    rows = [
        (
            item.id,
            item.ref,
            item.state.value,
            f"{item.progress.done}/{item.progress.total}",
            str(item.seeds),
            item.prompts or ("own" if item.texts else "by class word"),
            item.requested_by,
            moment(item.created_at),
        )
        for item in found
    ]
    heads = ("EVALUATION", "VERSION", "STATE", "DONE", "SEEDS", "PROMPTS", "BY", "REQUESTED")
    empty = f"{ref} was not evaluated yet: `mos-client evaluation request {ref}`."
    call.print([item.model_dump(mode="json") for item in found], table(heads, rows, empty))


@app.command()
def cancel(
    context: typer.Context,
    evaluation: Id,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop an evaluation; the pictures that are being made are finished first."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.cancel_evaluation(evaluation)
    call.print(found.model_dump(mode="json"), f"The evaluation of {found.ref} is cancelled.")


def _follow(session: Session, evaluation: Evaluation) -> Evaluation:
    """Watch it with a bar; raises `JobFailed` or the center's error when it fails."""
    with ProgressLine("evaluating") as line:
        for report in session.watch_evaluation(evaluation.id):
            progress, evaluation = report.progress, report
            line.update(progress.done, progress.total, progress.message or report.state.value)
    error = evaluation.error
    if error is not None:
        fields: dict[str, object] = {"evaluation": evaluation.id}
        raise rebuild(error.code, error.message, hint=error.hint, fields=fields)
    if evaluation.result is None:
        raise JobFailed(f"The evaluation {evaluation.id} was {evaluation.state.value}.")
    return evaluation


def _outcome(evaluation: Evaluation) -> str:
    return (
        f"The evaluation of {evaluation.ref} is {evaluation.state.value}. "
        f"Follow it: mos-client evaluation show {evaluation.id} --wait"
    )


def _description(evaluation: Evaluation) -> str:
    error, left = evaluation.error, evaluation.seconds_left
    pairs = (
        ("evaluation", evaluation.id),
        ("version", evaluation.ref),
        ("state", evaluation.state.value),
        ("done", f"{evaluation.progress.done} of {evaluation.progress.total} pictures"),
        ("now", "" if evaluation.state.final else evaluation.progress.message),
        ("left", "" if left is None else f"~{duration(left)}"),
        ("prompts", evaluation.prompts or "  ".join(evaluation.texts) or "by class word"),
        ("seeds", str(evaluation.seeds)),
        ("error", f"{error.message} {error.hint}".strip() if error else ""),
        ("requested by", evaluation.requested_by),
        ("requested", moment(evaluation.created_at)),
        ("finished", moment(evaluation.finished_at) if evaluation.finished_at else ""),
    )
    return "\n\n".join(
        (facts(pairs), *([_figures(evaluation.result)] if evaluation.result else []))
    )


def _figures(result: EvaluationResult) -> str:
    """A line per concept: identity and text by class word, in its own model, in the version."""
    rows = [
        (
            item.concept,
            "–" if item.kept is None else f"{100 * item.kept:.0f} %",
            *_means(item.identity),
            *_means(item.text),
        )
        for item in result.concepts
    ]
    models = ("CLASS WORD", "OWN", "FUSED")
    heads = ("CONCEPT", "KEPT", *(f"IDENTITY {name}" for name in models),
             *(f"TEXT {name}" for name in models))  # fmt: skip
    return table(heads, rows, "no concepts")


def _means(figures: Figures) -> tuple[str, str, str]:
    means = (figures.class_word.mean, figures.own.mean, figures.fused.mean)
    first, second, third = (f"{mean:.3f}" for mean in means)
    return first, second, third
