"""Evaluations of model versions at a center: asking for one, following it, cancelling it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mos_protocol.names import parse_model_ref

from mos_client.session.connection import Connection, quoted
from mos_client.session.evaluation_results import Evaluation
from mos_client.session.watching import each_change


class EvaluationCalls(Connection):
    """What a session can ask about evaluations."""

    def request_evaluation(
        self,
        ref: str,
        *,
        prompts: str | None = None,
        texts: Sequence[str] = (),
        seeds: int | None = None,
        idempotency_key: str | None = None,
    ) -> Evaluation:
        """Have the center evaluate `demo@7`; returns the one that is under way from now on.

        Every concept is sampled with a set of prompts by its name, with `texts` of your own with
        `<TOK>` where the concept stands, or with the set that suits its class word; each prompt
        once per seed. A connection that breaks is tried again with the same idempotency key.
        """
        chosen = {"prompts": prompts, "texts": list(texts) or None, "seeds": seeds}
        body = {name: value for name, value in chosen.items() if value is not None}
        return self._rest.change("POST", Evaluation, _path(ref), body, idempotency_key or "")

    def evaluations(self, ref: str) -> list[Evaluation]:
        """The evaluations of a version without their results, the newest first."""
        return list(self._rest.pages(Evaluation, _path(ref)))

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """One evaluation as it stands now, with its result once it is done."""
        return self._rest.get(Evaluation, f"/v1/evaluations/{quoted(evaluation_id)}")

    def cancel_evaluation(self, evaluation_id: str) -> Evaluation:
        """Ask the center to stop an evaluation."""
        return self._rest.change(
            "POST", Evaluation, f"/v1/evaluations/{quoted(evaluation_id)}/cancel"
        )

    def watch_evaluation(self, evaluation_id: str) -> Iterator[Evaluation]:
        """The evaluation each time it changes, until it is final.

        A center that is restarted is waited for.
        """
        return each_change(
            lambda: self.evaluation(evaluation_id), lambda found: found.state.final, self._backoff
        )


def _path(ref: str) -> str:
    parsed = parse_model_ref(ref)
    return f"/v1/models/{parsed.name}/{parsed.revision}/evaluations"
