"""Where to look at the crowd: every page's addresses, with much, little and nothing to show."""

from __future__ import annotations

from collections.abc import Mapping

from crowd.filling import Crowd
from crowd.people import CURATOR, MEMBER

NOTHING = "nothing-is-called-so"


def addresses(crowd: Crowd) -> Mapping[str, list[str]]:
    """The addresses to try, by the page's path template, below the dashboard's root."""
    concept, model = f"/concepts/{crowd.concept}", f"/models/{crowd.model}"
    unversioned = concept.rpartition("/")[0]
    version = f"{model}/3"
    ref = f"{unversioned.removeprefix('/concepts/')}@{crowd.concept.rpartition('/')[2]}"
    return {
        "/login": ["/login"],
        "/": ["/"],
        "/concepts": [
            "/concepts",
            *(f"/concepts?after={key}" for key in crowd.submissions),
            "/concepts?sort=name",
            f"/concepts?sort=name&after={crowd.submissions[0]}",
            f"/concepts?q={NOTHING}",
            "/concepts?q=cat",
            "/concepts?state=pending_review",
            "/concepts?state=rejected",
            "/concepts?state=approved&base=sd15&visibility=public",
            f"/concepts?owner={MEMBER}",
            f"/concepts?owner={NOTHING}",
            f"/concepts?class_word=dog&q={NOTHING}",
        ],
        "/concepts/{owner}/{name}": [unversioned],
        "/concepts/{owner}/{name}/{version}": [concept],
        "/concepts/{owner}/{name}/{version}/models": [f"{concept}/models"],
        "/concepts/{owner}/{name}/{version}/manifest.json": [f"{concept}/manifest.json"],
        "/concepts/{owner}/{name}/{version}/previews/{file}": [
            f"{concept}/previews/scale_0.7.png?width=320"
        ],
        "/concepts/{owner}/{name}/{version}/withdraw": [f"{concept}/withdraw"],
        "/submissions/{submission_id}": [f"/submissions/{crowd.submission}"],
        "/fusions": [
            "/fusions",
            *(f"/fusions?after={key}" for key in crowd.fusions),
            "/fusions?state=running",
            "/fusions?state=published&base=sd15",
            f"/fusions?requested_by={MEMBER}",
            f"/fusions?q={NOTHING}",
            f"/fusions?q={crowd.model}",
            f"/fusions?concept={ref.partition('@')[0]}",
            f"/fusions?concept={NOTHING}/{NOTHING}",
        ],
        "/fusions/new": [
            "/fusions/new",
            f"/fusions/new?concept={ref}",
            "/fusions/new?base=sd21",
            f"/fusions/new?from={crowd.published}",
            f"/fusions/new?from={crowd.running}",
        ],
        "/fusions/{fusion_id}": [
            f"/fusions/{key}" for key in (crowd.running, crowd.failed, crowd.published)
        ],
        "/models": [
            "/models",
            *(f"/models?after={key}" for key in crowd.models),
            "/models?sort=name",
            *(f"/models?sort=name&after={key}" for key in crowd.models),
            f"/models?q={NOTHING}",
            f"/models?q={crowd.model}",
            "/models?q=model",
            f"/models?owner={MEMBER}",
            f"/models?concept={ref.partition('@')[0]}",
            f"/models?concept={NOTHING}/{NOTHING}",
        ],
        "/models/compare": [
            f"/models/compare?left={crowd.model}@2&right={crowd.model}@3",
            "/models/compare",
        ],
        "/models/{name}": [model],
        "/models/{name}/{revision}": [version, f"{model}/1", f"{model}/latest"],
        "/models/{name}/{revision}/card": [f"{version}/card"],
        "/models/{name}/{revision}/layers": [f"{version}/layers?block=unet.mid_block"],
        "/models/{name}/{revision}/pictures/{path:path}": [f"{version}/pictures/quality.png"],
        "/models/{name}/{revision}/tombstone": [f"{version}/tombstone"],
        "/evaluations/{evaluation_id}/grids/{number}": [
            f"/evaluations/{crowd.evaluation}/grids/0?width=640"
        ],
        "/compositions": [
            "/compositions",
            *(f"/compositions?after={key}" for key in crowd.compositions),
        ],
        "/compositions/new": [
            "/compositions/new",
            f"/compositions/new?model={crowd.model}&version=3",
        ],
        "/compositions/{composition_id}": [f"/compositions/{key}" for key in crowd.compositions],
        "/compositions/{composition_id}/pictures/{number}": [
            f"/compositions/{crowd.compositions[0]}/pictures/7?width=320"
        ],
        "/tokens": ["/tokens", f"/tokens?member={MEMBER}"],
        "/members": [
            "/members",
            *(f"/members?after={key}" for key in crowd.members),
            f"/members?q={NOTHING}",
            "/members?q=alex",
            "/members?role=curator",
        ],
        "/members/{name}": [f"/members/{MEMBER}", f"/members/{CURATOR}"],
        "/audit": [
            "/audit",
            *(f"/audit?before={key}" for key in crowd.entries),
            "/audit?actor=anna",
            f"/audit?actor={NOTHING}",
            "/audit?action=token.revoked",
            "/audit?action=fusion.",
            f"/audit?resource=model/{crowd.model}",
            "/audit?resource=model/",
            f"/audit?resource={NOTHING}",
            "/audit?actor=anna&action=alias.moved",
            f"/audit?actor={NOTHING}&action=fusion.requested",
            f"/audit?actor=anna&resource=model/{crowd.model}",
            "/audit?since=2020-01-01&until=2020-01-02",
        ],
        "/audit/chain": ["/audit/chain"],
        "/system": ["/system"],
        "/system/health": ["/system/health"],
    }
