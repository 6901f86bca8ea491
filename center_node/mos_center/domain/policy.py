"""The rules that an operator sets, as far as the use cases need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mos_center.domain.access import Visibility
from mos_center.domain.compositions import CompositionRules
from mos_center.domain.evaluations import EvaluationRules
from mos_center.domain.webhooks import AddressRules


class Review(StrEnum):
    """What happens to a package that passed validation."""

    AUTOMATIC = "automatic"
    TRUSTED = "trusted"
    MANUAL = "manual"

    def approves(self, *, trusted: bool) -> bool:
        """Whether a package of a member who is `trusted`, or not, needs no reviewer."""
        return self is Review.AUTOMATIC or (self is Review.TRUSTED and trusted)


class Withdrawal(StrEnum):
    """What becomes of the versions that contain a withdrawn concept."""

    TOMBSTONE = "tombstone"
    KEEP = "keep"


class Previews(StrEnum):
    """Whether fused models are sampled, of fusions whose request doesn't say.

    Automatically: where it is quick, on a GPU or with a small base.
    """

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Quota:
    """The most that one member may have; None: no limit.

    `total_bytes` counts all files of the member's packages, `concepts` its concepts whatever their
    versions, `jobs` its unfinished fusions.
    """

    total_bytes: int | None = None
    concepts: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Usage:
    """What one member has, counted as `Quota` limits it."""

    total_bytes: int = 0
    concepts: int = 0
    jobs: int = 0


@dataclass(frozen=True)
class Policy:
    """How this center treats packages, concepts and members.

    `statements`: packages must state a licence and the consent of whoever is shown.
    `open_without_tokens` lets everyone in as long as no token was ever issued; only a center that
    listens on loopback alone may be opened like that.
    """

    review: Review = Review.AUTOMATIC
    visibility: Visibility = Visibility.PRIVATE
    withdrawal: Withdrawal = Withdrawal.TOMBSTONE
    statements: bool = False
    quota: Quota = field(default_factory=Quota)
    compositions: CompositionRules = field(default_factory=CompositionRules)
    evaluations: EvaluationRules = field(default_factory=EvaluationRules)
    webhooks: AddressRules = field(default_factory=AddressRules)
    open_without_tokens: bool = False
