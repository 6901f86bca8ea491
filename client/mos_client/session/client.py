"""A session with one center: the whole of what a client can ask of it."""

from __future__ import annotations

from mos_client.session.compositions import CompositionCalls
from mos_client.session.concepts import ConceptCalls
from mos_client.session.evaluations import EvaluationCalls
from mos_client.session.fusions import FusionCalls
from mos_client.session.members import MemberCalls
from mos_client.session.models import ModelCalls
from mos_client.session.packages import PackageCalls


class Session(
    PackageCalls,
    ConceptCalls,
    FusionCalls,
    ModelCalls,
    EvaluationCalls,
    CompositionCalls,
    MemberCalls,
):
    """REST and gRPC to the center at `center`; a context manager. Raises `MosError`s only.

    `token` goes with every call. `grpc_target` overrides the address that the center tells for
    uploads. `timeout` is seconds without an answer, `backoff` how long an absent center is waited
    for while something runs. `tls` says whom to trust at an https address, and what to prove
    oneself with there.
    """
