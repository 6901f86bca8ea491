"""What a package is to say and hold beyond the tuned weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mos_diffusion.moments import ACCURACY
from mos_diffusion.previews import PREVIEW_STEPS
from mos_protocol.methods import METHODS, Method

Recording = Literal["data", "paper", "templates"]


@dataclass(frozen=True, kw_only=True)
class PackageOptions:
    """What a package says and holds beyond the tuned weights.

    `recording=None` is the method's own. `"data"` records moments on the noised pictures with
    their captions, each shown `passes` times; `"paper"` on the paper's prompts; `"templates"` on
    pictures of many contexts that are sampled for it, four per pass. `accuracy` is what the
    moments' coding may cost; with `activations="raw"` the recorded inputs themselves are sent
    instead, and reduced on arrival. Previews take `preview_steps` sampling steps. `overwrite`
    replaces another package.
    """

    recording: Recording | None = None
    passes: int = 6
    activations: Literal["moments", "raw"] = "moments"
    accuracy: float = ACCURACY
    preview_steps: int = PREVIEW_STEPS
    licence: str = ""
    consent: str = ""
    description: str = ""
    overwrite: bool = False

    def recording_of(self, method: Method) -> Recording:
        """What is recorded of a concept of this method."""
        return self.recording or METHODS[method].recording
