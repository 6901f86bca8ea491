"""The audit log in words: what somebody did, to what, where that is shown, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from mos_center.dashboard.rendering import page_path
from mos_center.domain.events import AuditEvent, Snapshot

MOST_ITEMS = 8
# The rest of a long reason stands where it was given.
MOST_CHARACTERS = 300
_THING, _MEMBER = "{}", "{member}"
SENTENCES = {
    "alias.moved": "moved the alias {}",
    "alias.removed": "removed the alias {}",
    "base.added": "registered the base {}",
    "base.measured": "measured the base {}",
    "concept.shared": "shared {} with {member}",
    "concept.shown": "changed who sees {}",
    "concept.unshared": "stopped sharing {} with {member}",
    "composition.requested": "asked for a scene drawn with {}",
    "composition.queued": "queued a scene of {} again",
    "composition.running": "began to draw with {}",
    "composition.done": "drew with {}",
    "composition.failed": "could not draw with {}",
    "composition.cancelled": "cancelled a scene of {}",
    "composition.released": "let go of pictures drawn with {}",
    "concept_audit.queued": "asked for an audit of {}",
    "concept_audit.running": "began to audit {}",
    "concept_audit.done": "audited {}",
    "concept_audit.failed": "could not audit {}",
    "evaluation.requested": "asked for an evaluation of {}",
    "evaluation.queued": "queued the evaluation of {} again",
    "evaluation.running": "began to evaluate {}",
    "evaluation.done": "evaluated {}",
    "evaluation.failed": "could not evaluate {}",
    "evaluation.cancelled": "cancelled the evaluation of {}",
    "fusion.requested": "requested a fusion into {}",
    "fusion.queued": "queued the fusion into {} again",
    "fusion.running": "began the fusion into {}",
    "fusion.published": "published {}",
    "fusion.failed": "gave up the fusion into {}",
    "fusion.cancelled": "cancelled the fusion into {}",
    "invitation.created": "invited {}",
    "invitation.revoked": "took back the invitation of {}",
    "invitation.used": "used the invitation of {}",
    "member.added": "added the member {}",
    "member.changed": "changed the member {}",
    "submission.uploading": "began to upload {}",
    "submission.validating": "sent the last file of {}",
    "submission.pending_review": "passed {} on to review",
    "submission.approved": "approved {}",
    "submission.rejected": "rejected {}",
    "submission.withdrawn": "withdrew {}",
    "token.created": "created the token {}",
    "token.revoked": "revoked the token {}",
    "version.released": "deleted the files of {}",
    "version.tombstoned": "tombstoned {}",
    "webhook.added": "added the webhook {}",
    "webhook.pinged": "tested the webhook {}",
    "webhook.removed": "removed the webhook {}",
}


@dataclass(frozen=True)
class Difference:
    """A property of the thing, before and after; "" where it was not told."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Wording:
    """A change as a sentence: `verb`, `thing`, `rest`. `path` is the thing's page, "" for none."""

    verb: str
    thing: str
    rest: str
    path: str
    differences: tuple[Difference, ...]


def worded(event: AuditEvent) -> Wording:
    """Say it; an action that is not known (any more) is named as it stands."""
    told = {**(event.before or {}), **(event.after or {})}
    noun, _, name = event.resource.partition("/")
    thing, path, said = _thing(noun, name, told)
    sentence = SENTENCES.get(event.action, f"did {event.action.replace(_THING, '')} to {_THING}")
    verb, _, rest = sentence.partition(_THING)
    if _MEMBER in rest:
        rest, said = rest.replace(_MEMBER, str(told.get("member"))), said | {"member"}
    differences = _differences(event.before or {}, event.after or {}, said)
    return Wording(verb.strip(), thing, rest.strip(), path, differences)


def _thing(noun: str, name: str, told: Snapshot) -> tuple[str, str, frozenset[str]]:
    """What it is called, its page, and what of the snapshots the name says already."""
    if noun in ("submission", "concept_audit"):
        concept, version = told.get("concept"), told.get("version")
        called = f"{concept}@{version}" if concept and version else str(concept or name)
        if noun == "submission":
            return called, page_path("submissions", name), frozenset({"concept", "version"})
        return called, _concept_page(called), frozenset({"concept"})
    if noun in ("composition", "evaluation"):
        called = str(told.get("version") or name)
        return called, _page("model", called), frozenset({"version"})
    if noun == "fusion":
        model, version = told.get("model"), told.get("version")
        called = f"{model}@{version}" if model and version else str(model or name)
        return called, page_path("fusions", name), frozenset({"model", "version"})
    if noun == "invitation":
        return str(told.get("name") or "a newcomer"), "members", frozenset({"name"})
    return name or noun, _page(noun, name), frozenset()


def _page(noun: str, name: str) -> str:
    """Where a thing is shown that is called as its resource says; "" for nowhere."""
    first, _, rest = name.partition("/")
    if noun == "model":
        return page_path("models", *name.split("@", 1))
    if noun == "concept" and rest:
        return _concept_page(name)
    if noun == "token" and rest:
        return f"tokens?{urlencode({'member': first})}"
    return {"member": page_path("members", name), "base": "system#bases"}.get(noun, "")


def _concept_page(called: str) -> str:
    """The page of `owner/name` or `owner/name@version`; "" when it is neither."""
    name, _, version = called.partition("@")
    if name.count("/") != 1:
        return ""
    return page_path("concepts", name, version) if version else page_path("concepts", name)


def _differences(before: Snapshot, after: Snapshot, said: frozenset[str]) -> tuple[Difference, ...]:
    names = [name for name in dict.fromkeys((*after, *before)) if name not in said]
    told = (Difference(name, _text(before.get(name)), _text(after.get(name))) for name in names)
    return tuple(one for one in told if one.before != one.after)


def _text(value: object) -> str:
    """A value as people read it; "" for nothing."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(_text(one) for one in value[:MOST_ITEMS])
        more = len(value) - MOST_ITEMS
        return f"{shown} and {more} more" if more > 0 else shown
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
