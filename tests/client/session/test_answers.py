"""The client's values fit what the center answers: every field that they need is there."""

from __future__ import annotations

import pytest
from mos_center.api.rest import (
    about,
    aliases,
    bases,
    concepts,
    fusions,
    invitations,
    join,
    lineage,
    me,
    members,
    models,
    submissions,
    tokens,
    withdrawal,
)
from mos_client.session import member_results, registry_results, results
from pydantic import BaseModel

PAIRS = [
    (results.CenterInfo, about.CenterInfo),
    (results.Base, bases.Base),
    (results.Concept, concepts.Concept),
    (results.ConceptDetail, concepts.ConceptDetail),
    (results.Submission, submissions.Submission),
    (results.Fusion, fusions.Fusion),
    (results.FusionProgress, fusions.Progress),
    (results.ModelVersion, models.ModelVersion),
    (results.ModelFile, models.File),
    (registry_results.ConceptOverview, concepts.ConceptOverview),
    (registry_results.Withdrawn, withdrawal.Withdrawn),
    (registry_results.AffectedVersion, withdrawal.AffectedVersion),
    (registry_results.AliasMove, aliases.AliasMove),
    (registry_results.Lineage, lineage.Lineage),
    (registry_results.VersionRef, lineage.VersionRef),
    (member_results.Me, me.Me),
    (member_results.Amounts, me.Amounts),
    (member_results.Member, members.Member),
    (member_results.Token, tokens.Token),
    (member_results.NewToken, tokens.NewToken),
    (member_results.Invitation, invitations.NewInvitation),
    (member_results.Welcome, join.Welcome),
]


@pytest.mark.parametrize(("read", "sent"), PAIRS, ids=lambda kind: kind.__name__)
def test_every_field_that_the_client_knows_is_sent(
    read: type[BaseModel], sent: type[BaseModel]
) -> None:
    assert read.model_fields.keys() <= sent.model_fields.keys()


def test_what_a_lineage_says_of_a_concept_is_understood() -> None:
    known = registry_results.Ingredient.model_fields.keys() - {"words", "trigger"}
    assert known <= lineage.Ingredient.model_fields.keys()
