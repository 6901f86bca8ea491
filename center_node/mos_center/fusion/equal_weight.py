"""What a moment claims of its own size does not count: every concept weighs the same.

The least-squares problem adds moments up, so that one ten times larger outweighs nine others. How
large an input is depends on the layer and hardly on the concept, but a member may write whatever it
likes. So every moment is scaled to a mean diagonal of 1: only its shape is taken from the member.
"""

from __future__ import annotations

from torch import Tensor


def equalised(moment: Tensor) -> Tensor:
    """A moment (d, d) scaled to a trace of d; one without any energy stays as it is."""
    trace = float(moment.diagonal().sum())
    return moment * (len(moment) / trace) if trace > 0 else moment
